"""Patterns of documents: one syntax under both engines, and no pattern that hangs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.outcome.call import CallOutcome
from callwright.outcome.terms import Direction
from callwright.scenario import pattern
from callwright.scenario.condition import parse_condition
from callwright.scenario.pattern import MAX_TEXT, Pattern, PatternError, PatternTimeout, compile_pattern
from callwright.scenario.source import NOWHERE, Text
from tests.kit.examples import examples

ENGINES: list[Any] = [pattern._Re2, pattern._Regex]
#: Each takes a time that doubles with every character, in an engine that tries one way after the other.
SLOW = [
    "^(a|aa)*c",
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(aa+)+b",
    "^(([a-z])+.)+[A-Z]$",
    "(.*a){20}b",
    "(a?){30}a{30}b",
]
READ = [
    *("a", "", "a|b|", "(a)(?:b)", "(?P<n>a)", "(?<n>a)", "a*?b+?c??", "a{2}", "a{2,}", "a{2,3}?", "a{,3}"),
    *(r"\d\D\w\W\s\S", r"\bx\B", r"\Aa\z", "^a$", "[a-z]", "[^a]", "[]a]", "[a-]", "[[:alpha:][:^digit:]]"),
    *(
        r"\pL",
        r"\p{Greek}",
        r"\P{L}",
        r"\p{^L}",
        r"\x41\x{e9}\101\0",
        r"\Q.*\Ea",
        "(?i)a",
        "(?i:a)b",
        "(?s).",
        "(?)",
    ),
    *(r"\.\-\_\/", "(?m)^a$", "(?U)a*", "(?-i)a", "{", "}", "]", "é", "a{1000}"),
]
REFUSED = [
    *(
        "(",
        ")",
        "[",
        "[b-a]",
        "*",
        "a**",
        "a|*",
        "(*)",
        "a{2}{3}",
        "a{1001}",
        "(a{100}){11}",
        "a{3,2}",
        "a++",
        "a?+",
    ),
    *(
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?#a)",
        "(?P=n)",
        "(?P>n)",
        "(?R)",
        "(?1)",
        "(?x)a",
        "(?|a)",
    ),
    *(
        r"(a)\1",
        r"\8",
        r"\Z",
        r"\G",
        r"\K",
        r"\h",
        r"\R",
        r"\X",
        r"\u0041",
        r"\N{BULLET}",
        r"\p",
        r"\p{Nope}",
        "\\",
    ),
    *("[[:nope:]]", "(?P<>a)", r"\x{110000}", "(?(1)a|b)", "\ud800"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", READ)
def test_what_re2_reads_is_read_by_both_engines(engine: Any, text: str) -> None:
    engine(text, False)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", REFUSED)
def test_what_re2_does_not_read_is_refused_by_both_engines(engine: Any, text: str) -> None:
    with pytest.raises(PatternError):
        engine(text, False)


_PIECES = [
    *"ab1_ é-^$.|()[]*+?{}\\,\n",
    *(
        "(?:",
        "(?P<n>",
        "(?i)",
        "(?s)",
        "(?m)",
        "(?U)",
        "(?-i)",
        "(?i:",
        "(?=",
        "(?!",
        "(?>",
        "(?#",
        "(?",
        "[^",
    ),
    *(r"\d", r"\W", r"\s", r"\b", r"\A", r"\z", r"\Z", r"\pL", r"\p{Greek}", r"\P{L}", r"\1", r"\01", r"\12"),
    *(
        r"\x41",
        r"\x{e9}",
        r"\Q",
        r"\E",
        "[[:alpha:]]",
        "[:alpha:]",
        "[:^digit:]",
        "{2}",
        "{2,}",
        "{2,3}",
        "{,2}",
    ),
    *("a-z", "z-a", r"\-", r"\_", r"\n", r"[\D]"),
]


@settings(max_examples=examples(300))
@given(
    st.lists(st.sampled_from(_PIECES), max_size=8).map("".join),
    st.booleans(),
    st.text(alphabet="aAbB1_ éÉ-\nαz,", max_size=10),
)
def test_both_engines_mean_the_same_by_a_pattern(text: str, ignore_case: bool, searched: str) -> None:
    answers: list[object] = []
    for engine in ENGINES:
        try:
            answers.append(engine(text, ignore_case).search(searched))
        except PatternError:
            answers.append(None)
        except PatternTimeout:
            return
    assert answers[0] == answers[1]


@pytest.mark.parametrize("text", SLOW)
def test_no_pattern_makes_a_search_slow(text: str) -> None:
    assert compile_pattern(text).search("a" * (MAX_TEXT - 1) + "!") is False


def test_only_the_beginning_of_a_text_is_searched() -> None:
    assert not compile_pattern("b").search("a" * MAX_TEXT + "b")


def test_texts_that_are_no_unicode_can_be_searched() -> None:
    assert compile_pattern("a").search("\ud800a")


def test_a_pattern_that_needs_much_memory_is_refused() -> None:
    with pytest.raises(PatternError, match="too large"):
        compile_pattern(r"(\pL{9}){100}")


def test_a_condition_searches_with_the_engine_that_cannot_hang() -> None:
    for text in ("header X-A ~ /^(a|aa)*c/", "user_agent ~ /(a+)+$/i", "dtmf !~ (a*)*b", "caller_id ~ ^1"):
        assert isinstance(parse_condition(Text(text, NOWHERE)).value, Pattern)


@pytest.mark.parametrize("operator", ["~", "!~"])
def test_a_search_that_was_given_up_satisfies_no_condition(
    operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pattern, "_compile", pattern._Regex)
    condition = parse_condition(Text(f"user_agent {operator} /(x+x+)+y/", NOWHERE))
    call = CallOutcome(id="c", user_agent="x" * MAX_TEXT, direction=Direction.OUTGOING)
    outcome = condition.evaluate([call])
    assert (outcome.passed, outcome.seen) == (False, "undecided: the search took too long")
