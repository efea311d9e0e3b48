from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.scenario import catalogue
from callwright.scenario.actions import Accept, Call, Register, Wait
from callwright.scenario.document import (
    MAX_ACTIONS,
    MAX_CONDITIONS,
    MAX_PARTIES,
    MAX_TAGS,
    check,
    load,
    read_credentials,
)
from callwright.scenario.fields import MAX_PROBLEMS
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import MAX_DEPTH, DocumentError, Problem
from callwright.sip.headers import COMPACT_NAMES
from tests.kit.examples import examples

BASIC = catalogue.text("basic_call")


def call_of(scenario: Scenario, address: str = "step.1.0") -> Call:
    action = scenario.action(address)
    assert isinstance(action, Call)
    return action


def one_call(parameters: str) -> str:
    return f"name: t\nsteps:\n  - call: {{{parameters}}}\n"


def only(text: str, **more: Any) -> Problem:
    problems = check(text, **more)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    "written",
    ["0043123", "+43 1 234-56", '"007"', "18003", "1_000", "0x1F", "12e3", "no", "on", "1:30", "~bob"],
)
def test_a_destination_is_a_text_whatever_yaml_would_make_of_it(written: str) -> None:
    wanted = {"+43 1 234-56": "+43123456", '"007"': "007"}.get(written, written)
    assert (
        call_of(load(f"name: t\nsteps:\n  - call:\n      to: {written}\n"), "step.0.0").dial_destination
        == wanted
    )


def test_no_is_a_word_for_a_text_and_false_for_a_yes_or_no() -> None:
    action = call_of(load(one_call("to: no, media: no, caller_id: no")), "step.0.0")
    assert (action.dial_destination, action.media, action.caller_id) == ("no", False, "no")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("2", 2.0), ("2 s", 2.0), ("250 ms", 0.25), ("1.5 min", 90.0), ("0.5", 0.5), ("1h", 3600.0)],
)
def test_durations_are_seconds_or_bear_their_unit(written: str, seconds: float) -> None:
    assert call_of(load(one_call(f"to: a, max_duration: {written}")), "step.0.0").max_duration == seconds


def test_the_addresses_of_basic_call_are_register_accept_call() -> None:
    scenario = load(BASIC)
    kinds = {action.address: type(action) for action in scenario.actions()}
    assert kinds == {"step.0.0": Register, "step.0.1": Accept, "step.1.0": Call}


def test_an_override_is_typed_as_if_it_stood_in_the_document() -> None:
    scenario = load(BASIC, overrides={"step.1.0.dial_destination": "0043123", "step.1.0.max_total_calls": 10})
    assert (call_of(scenario).dial_destination, call_of(scenario).max_total_calls) == ("0043123", 10)


def test_an_override_may_add_what_the_document_leaves_out() -> None:
    assert call_of(load(BASIC, overrides={"step.1.0.dtmf": "12#"})).dtmf == "12#"


def test_an_override_may_use_the_other_name_of_a_parameter() -> None:
    assert call_of(load(BASIC, overrides={"step.1.0.to": "bob"})).dial_destination == "bob"


def test_an_override_mends_what_is_wrong_in_the_document() -> None:
    broken = BASIC.replace("max_duration: 6 s", "max_duration: soon")
    assert check(broken)
    assert call_of(load(broken, overrides={"step.1.0.max_duration": "5"})).max_duration == 5


@pytest.mark.parametrize(
    ("address", "value", "words"),
    [
        ("step.1.0.max_duration", "soon", "soon"),
        ("step.1.0.codecs", "PCMUU", "Did you mean PCMU?"),
        ("step.1.0.max_total_calls", "ten", "not a whole number"),
        ("step.1.0.max_total_calls", "0", "Permitted: 1 to 1000000"),
        ("step.1.0.dial_destinaton", "1", "Did you mean dial_destination?"),
        ("step.7.0.play", "tone", "no action step.7.0"),
        ("step.1.5.play", "tone", "Permitted: step.0.0, step.0.1, step.1.0"),
        ("party.carol.user", "1", "carol"),
        ("taget", "pbx", "Did you mean target?"),
        ("step.1", "1", "not an address"),
        ("../etc", "1", "not an address"),
    ],
)
def test_a_wrong_override_names_its_address_and_what_is_permitted(
    address: str, value: str, words: str
) -> None:
    problem = only(BASIC, overrides={address: value})
    assert problem.origin == f"--set {address}"
    assert words in problem.message
    assert problem.address is not None


def test_every_error_is_told_at_once_with_its_line_and_column() -> None:
    text = """name: t
parties: [alice, bob]
stepps: 1
steps:
  - - acept: {party: bob}
    - accept: {party: bbo, ring: soon}
  - - call:
        codecs: [PCMA, PCMUU, G722]
        max_duration: 3,9
        paly: tone
conditions:
  - callee.mos >= 3,9
  - callee.moss >= 4
"""
    seen = [(p.line, p.column, p.key, p.nearest) for p in check(text)]
    assert seen == [
        (3, 1, "stepps", "steps"),
        (5, 7, "acept", "accept"),
        (6, 23, "bbo", "bob"),
        (6, 34, "soon", None),
        (7, 7, "dial_destination", None),
        (8, 24, "PCMUU", "PCMU"),
        (9, 23, "3,9", None),
        (10, 9, "paly", "play"),
        (12, 5, "3,9", None),
        (13, 5, "moss", "mos"),
    ]


def test_the_sentences_are_those_an_editor_shows() -> None:
    codec = only(one_call("to: a, codecs: [PCMA, PCMUU]"))
    assert (
        codec.message == "PCMUU is not a codec we have. Did you mean PCMU? Permitted: "
        "PCMU, PCMA, G722, opus, AMR, GSM, G726-32, iLBC, G729, AMR-WB."
    )
    number = only(one_call("to: a") + "conditions: ['mos >= 3,9']\n")
    assert number.message == "3,9 is not a number. Write 3.9, with a point."


def test_a_duplicate_key_is_an_error_that_names_the_first() -> None:
    problem = only("name: a\nname: b\nsteps:\n  - wait: 1\n")
    assert (problem.line, problem.message) == (2, "name is given twice; the first stands in line 1.")


def test_two_names_of_one_parameter_are_an_error() -> None:
    assert "mean the same" in only(one_call("to: a, dial_destination: b")).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("- a\n", "block of keys"),
        ("name: t\n", "needs steps"),
        ("name: t\nsteps: []\n", "needs steps"),
        ("steps:\n  - wait: 1\n", "needs a name"),
        ("name: t\nsteps:\n\t- wait: 1\n", "Indent with spaces"),
        ("name: 'open\n", "not YAML"),
        ("name: t\n---\nname: u\n", "second document"),
        ("a: &a [*a]\n", "inside what it names"),
        ("a: *nothing\n", "no anchor"),
        ("name: !!python/object/apply:os.system [ls]\nsteps:\n  - wait: 1\n", "Python"),
        ("name: !env X\nsteps:\n  - wait: 1\n", "tag"),
        ("name: t\x01\n", "does not permit"),
        ("name: t\nversion: 2\nsteps:\n  - wait: 1\n", "not a known version"),
        ("name: t\nsteps:\n  - wait: 1\n    call: 2\n", "put a dash before it"),
        (
            "name: t\nparties: {step: {}}\nsteps:\n  - wait: {party: step, seconds: 1}\n",
            "word of the language",
        ),
    ],
)
def test_what_is_no_document_is_told_in_a_sentence(text: str, words: str) -> None:
    assert any(words in problem.message for problem in check(text)), check(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases counted" in check("\n".join(lines))[0].message


def test_deep_nesting_is_refused() -> None:
    assert f"deeper than {MAX_DEPTH}" in check("[" * 100_000)[0].message


def test_a_huge_document_is_refused() -> None:
    assert "characters" in check("# " + "x" * 300_000)[0].message


def test_ten_thousand_steps_are_refused_or_read_but_never_crash() -> None:
    text = "name: t\nsteps:\n" + "  - wait: 1\n" * 10_000
    assert "more than" in check(text)[0].message


def test_anchors_and_merge_keys_save_typing() -> None:
    text = """name: t
steps:
  - - accept: &usual {party: bob, codecs: [PCMA], play: tone}
    - accept: {<<: *usual, play: silence}
"""
    second = load(text).action("step.0.1")
    assert isinstance(second, Accept)
    assert (second.codecs, second.play) == (("PCMA",), "silence")


def test_variables_come_from_the_environment_that_is_handed_in() -> None:
    text = "name: t\nparties: {alice: {user: '4101', password: '${PW}'}}\nsteps:\n  - register: alice\n"
    assert load(text, environment={"PW": "geheim"}).account("alice").password == "geheim"


def test_a_variable_that_is_not_set_is_an_error() -> None:
    problem = only(one_call("to: '${DESTINATON}'"), environment={"DESTINATION": "1"})
    assert problem.message == "The environment variable DESTINATON is not set. Did you mean DESTINATION?"


def test_without_an_environment_variables_are_left_alone() -> None:
    assert check(one_call("to: a, max_duration: '${LONG}'")) == ()


def test_a_value_from_a_variable_is_typed_too() -> None:
    assert (
        "not a duration"
        in only(one_call("to: a, max_duration: '${LONG}'"), environment={"LONG": "x"}).message
    )


def test_a_doubled_dollar_keeps_the_braces() -> None:
    text = one_call("to: a, caller_id: 'a $${X}'")
    assert call_of(load(text, environment={}), "step.0.0").caller_id == "a ${X}"


def test_secrets_are_never_shown() -> None:
    text = BASIC.replace("  alice:\n", "  alice: {user: '4101', password: geheim}\n")
    scenario = load(text, overrides={"bob": "4102:auch-geheim"})
    shown = f"{scenario.shown_parameters()}{[view.to_json() for view in scenario.parameters()]}"
    assert "geheim" not in shown
    assert scenario.shown_parameters()["party.alice.password"] == "(secret)"
    assert "geheim" not in repr(scenario.account("alice"))
    assert scenario.secrets() == {"geheim", "auch-geheim"}


def test_a_variable_is_shown_by_its_name() -> None:
    scenario = load(one_call("to: '${WHOM}'"), environment={"WHOM": "secret-number"})
    assert scenario.shown_parameters() == {"step.0.0.dial_destination": "${WHOM}"}


def test_variables_within_headers_are_shown_by_their_names() -> None:
    text = one_call("to: a, headers: {X-A: 'b ${TOKEN}', X-C: d}")
    scenario = load(text, environment={"TOKEN": "geheim"})
    assert scenario.shown_parameters()["step.0.0.headers"] == "X-A: b ${TOKEN}, X-C: d"
    listed = load(one_call("to: a, headers: ['X-A: ${TOKEN}', 'X-C: d']"), environment={"TOKEN": "geheim"})
    assert listed.shown_parameters()["step.0.0.headers"] == "X-A: ${TOKEN}, X-C: d"


def test_credentials_fill_what_a_party_leaves_out() -> None:
    credentials = read_credentials("office: {user: 0043, password: yes, registrar: pbx.example.com}\n")
    text = "name: t\nparties: {alice: {credentials: office, password: no}}\nsteps:\n  - register: alice\n"
    account = load(text, credentials=credentials).account("alice")
    assert (account.user, account.password, account.domain) == ("0043", "no", "pbx.example.com")


def test_unknown_credentials_are_an_error_with_the_nearest_name() -> None:
    text = "name: t\nparties: {alice: {credentials: ofice}}\nsteps:\n  - register: alice\n"
    assert only(text, credentials={"office": {}}).nearest == "office"


def test_basic_call_goes_to_ones_own_pbx_with_three_settings() -> None:
    overrides = {"target": "pbx.example.com", "alice": "4101:one", "bob": "4102:two"}
    scenario = load(BASIC, overrides=overrides)
    assert not scenario.needs_pbx
    assert scenario.account("bob").password == "two"
    assert scenario.destinations() == [
        ("step.0.0", "sip:pbx.example.com"),
        ("step.1.0", "sip:4102@pbx.example.com"),
    ]


@pytest.mark.parametrize(
    ("dialled", "uri"),
    [
        ("bob", "sip:1002@pbx:5070"),
        ("0043123", "sip:0043123@pbx:5070"),
        ("carol@other.example", "sip:carol@other.example"),
        ("sip:9@192.0.2.1:5080;transport=tcp", "sip:9@192.0.2.1:5080;transport=tcp"),
        ("tel:+43123", "sip:+43123@pbx:5070"),
        ("a#b", "sip:a%23b@pbx:5070"),
    ],
)
def test_what_is_dialled_becomes_a_sip_uri(dialled: str, uri: str) -> None:
    scenario = load(BASIC).on_pbx("pbx:5070", {})
    assert scenario.uri(dialled, scenario.account("alice")) == uri


def test_the_simplest_test_needs_no_parties() -> None:
    scenario = load("name: t\nsteps:\n  - [register, accept]\n  - call: callee\n")
    assert list(scenario.parties) == ["caller", "callee"]
    assert [action.party for action in scenario.actions()] == ["callee", "callee", "caller"]


def test_a_step_may_have_a_name() -> None:
    scenario = load("name: t\nsteps:\n  - name: Rest\n    actions:\n      - wait: 2 s\n")
    assert scenario.steps[0].name == "Rest"
    assert isinstance(scenario.action("step.0.0"), Wait)


def test_parameters_list_every_address_with_type_default_value_and_help() -> None:
    views = {view.address: view for view in load(BASIC).parameters()}
    duration = views["step.1.0.max_duration"]
    assert (duration.type, duration.default, duration.value, duration.unit) == ("duration", 10.0, 6.0, "s")
    assert (duration.minimum, duration.maximum, duration.given) == (0.1, 86400, True)
    assert views["step.1.0.dial_destination"].required
    assert views["step.1.0.codecs"].choices[:5] == ("PCMU", "PCMA", "G722", "opus", "AMR")
    assert views["step.0.0.regexpire"].value == 3600
    assert "party.alice.password" in views
    assert all(view.help for view in views.values())


@pytest.mark.parametrize("header", ["no colon", "Bad Name: x", "X-A: a\r\nX-B: b"])
def test_headers_that_would_break_the_message_are_refused(header: str) -> None:
    assert check(BASIC, overrides={"step.1.0.headers": [header]})


@pytest.mark.parametrize("form", [str, str.upper, str.title])
def test_compact_form_of_a_header_is_refused_where_its_full_name_is(form: Callable[[str], str]) -> None:
    """In answers; a request may have any header, and the policy is asked about what it names."""
    refused = set()

    def problems(header: object) -> list[str]:
        accept = f"accept: {{party: bob, headers: {json.dumps([header])}}}"
        text = f"name: t\nparties: [bob]\nsteps:\n  - - {accept}\n"
        return [str(problem) for problem in check(text)]

    for compact, full in COMPACT_NAMES.items():
        for written in (f"{form(compact)}: x", f" {form(compact)}  : x", {form(compact): "x"}):
            by_compact = problems(written)
            by_full = problems(f"{full}: x")
            assert bool(by_compact) == bool(by_full)
            if by_compact:
                assert "is written by the call itself" in by_compact[0]
                refused.add(compact)
    assert refused == set("vftimlc")


def test_extra_headers_are_a_block_or_a_list() -> None:
    block = call_of(load(one_call("to: a, headers: {X-Test: yes, X-Two: 0012}")), "step.0.0").headers
    assert block == (("X-Test", "yes"), ("X-Two", "0012"))
    listed = call_of(load(one_call("to: a, headers: ['X-Test: a: b']")), "step.0.0").headers
    assert listed == (("X-Test", "a: b"),)


@settings(max_examples=examples(150), deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_list_of_problems(text: str) -> None:
    for problem in check(text):
        assert problem.message


@settings(max_examples=examples(150), deadline=None)
@given(
    st.text(alphabet="0123456789eE+-._xsm, naif", max_size=12), st.sampled_from(["max_duration", "call_rate"])
)
def test_any_value_is_a_number_in_range_or_a_problem(value: str, name: str) -> None:
    try:
        scenario = load(BASIC, overrides={f"step.1.0.{name}": value})
    except DocumentError:
        return
    assert 0 < getattr(call_of(scenario), name) <= 86400


def _steps(count: int) -> str:
    return "name: t\nsteps:\n" + "  - wait: 1 s\n" * count


def _under(key: str, lines: Iterable[str]) -> str:
    return f"name: t\nsteps: [wait: 1 s]\n{key}:\n" + "".join(f"  {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_steps(MAX_ACTIONS + 1), "more than 1000 actions"),
        ("name: t\nsteps:\n  - [" + "wait: 1 s, " * (MAX_ACTIONS + 1) + "]\n", "more than 1000 actions"),
        (_under("parties", (f"p{n}:" for n in range(MAX_PARTIES + 1))), "1001 parties; at most 1000"),
        (_under("conditions", ["- calls >= 0"] * (MAX_CONDITIONS + 1)), "more than 1000 conditions"),
        (_under("tags", (f"- t{n}" for n in range(MAX_TAGS + 1))), "101 tags; at most 100"),
        (
            one_call("to: a, headers: {" + ", ".join(f"X-{n}: 1" for n in range(101)) + "}"),
            "At most 100 headers",
        ),
        (_under("title", ["t" * 201]), "201 characters; at most 200"),
        (_under("description", ["d" * 10_001]), "10001 characters; at most 10000"),
        (one_call("to: a, headers: {X-A: " + "a" * 17_000 + "}"), "16384 characters"),
    ],
)
def test_what_a_document_may_ask_for_is_bounded(text: str, words: str) -> None:
    (problem,) = check(text)
    assert words in problem.message
    assert problem.line


def test_a_document_at_its_bounds_is_read() -> None:
    assert len(load(_steps(MAX_ACTIONS)).steps) == MAX_ACTIONS
    assert len(load(_under("conditions", ["- calls >= 0"] * MAX_CONDITIONS)).conditions) == MAX_CONDITIONS


def test_a_document_that_is_wrong_everywhere_tells_the_first_hundred_problems() -> None:
    text = "name: t\nsteps:\n" + "".join(f"  - wiat{n}: 1 s\n" for n in range(3_000))
    problems = check(text)
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == "There are more than 100 problems; the rest is not listed."


def test_the_environment_cannot_blow_a_document_up() -> None:
    text = "name: t\nsteps: [wait: 1 s]\nparties:\n" + "".join(
        f"  p{n}: {{user: '{'${A}' * 200}'}}\n" for n in range(100)
    )
    problems = check(text, environment={"A": "x" * 100_000})
    assert "adds more than 262144 characters" in problems[-1].message


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("srtp: required, load: yes", "srtp of a load: the load engine sends and takes plain RTP only."),
        ("srtp: sometimes", "sometimes"),
        ("srtp: optional, srtp_suite: F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80"),
        ("srtp_suite: AEAD_AES_128_GCM", "srtp_suite needs SRTP: write srtp: optional, or required."),
        ("rekey_after: 2 s", "rekey_after needs SRTP"),
    ],
)
def test_srtp_that_cannot_be_is_refused_by_name(parameters: str, words: str) -> None:
    problem = only(one_call(f"dial_destination: 1002, {parameters}"))
    assert words in problem.message
