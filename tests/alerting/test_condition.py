"""Conditions of alerts as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.alerting.condition import FIGURES, RANGES, Condition, ConditionError, parse

HOLDS = st.one_of(st.just(0.0), st.integers(1, 2_592_000).map(float))
QUORUMS = st.one_of(
    st.integers(1, 1_000).map(lambda needed: (needed, None)),
    st.integers(1, 1_000).flatmap(lambda of: st.tuples(st.integers(1, of), st.just(of))),
)


def limits(figure: str) -> st.SearchStrategy[float]:
    least, most = RANGES.get(figure, (0.0, 10_000.0))
    return st.integers(round(100 * least), round(100 * most)).map(lambda n: n / 100)


CONDITIONS = st.one_of(
    st.builds(
        lambda limited, operator, hold, quorum: Condition(limited[0], operator, limited[1], hold, *quorum),
        st.sampled_from(sorted(FIGURES)).flatmap(lambda what: st.tuples(st.just(what), limits(what))),
        st.sampled_from(["<", "<=", ">", ">="]),
        HOLDS,
        QUORUMS,
    ),
    st.builds(lambda hold, quorum: Condition("unreachable", "", None, hold, *quorum), HOLDS, QUORUMS),
    st.builds(lambda days: Condition("certificate", "<", float(days)), st.integers(1, 1_000)),
    st.builds(lambda hold: Condition("no data", hold=float(hold)), st.integers(1, 2_592_000)),
)


@given(CONDITIONS)
def test_a_condition_is_what_its_text_says(condition: Condition) -> None:
    assert parse(str(condition)) == condition
    assert str(parse(str(condition))) == str(condition)


WORDS = ["mos", "<", "3.9", "for", "3m", "on", "2", "of", "servers", "no", "data", "%", "certificate", "14d"]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))


def place_of(text: str) -> int | None:
    """Where the error is; None: there is none."""
    try:
        parse(text)
    except ConditionError as error:
        return error.at
    return None


@given(TEXTS)
def test_any_text_is_a_condition_or_an_error_with_its_place(text: str) -> None:
    place = place_of(text)
    assert place is None or 0 <= place <= len(text)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("mos < 3.9 for 3m on 2 of 3 servers", Condition("mos", "<", 3.9, 180.0, 2, 3)),
        ("loss > 2 % for 5m", Condition("loss", ">", 2.0, 300.0)),
        ("LOSS>2%", Condition("loss", ">", 2.0)),
        ("rtt >= 0.3 s", Condition("rtt", ">=", 300.0)),
        ("mos < threshold", Condition("mos", "<", None)),
        ("unreachable", Condition("unreachable")),
        ("certificate < 14d", Condition("certificate", "<", 14.0)),
        ("no data for 10m", Condition("no data", hold=600.0)),
        ("unreachable on 1 server", Condition("unreachable")),
    ],
)
def test_what_people_write(text: str, condition: Condition) -> None:
    assert parse(text) == condition


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("moss < 3", 0),
        ("mos ~ 3", 4),
        ("mos < bad", 6),
        ("mos < 3 for 3", 13),
        ("mos < 3 for 3y", 13),
        ("mos < 3 on 4 of 3 servers", 25),
        ("mos < 3 on 2 planets", 13),
        ("no data", 7),
        ("rtt < threshold", 6),
        ("mos < 3 now", 8),
        ("mos < 39", 6),
        ("mos > 0.9", 6),
        ("loss > 101 %", 7),
        ("r_factor < 393", 11),
    ],
)
def test_an_error_names_the_place(text: str, at: int) -> None:
    with pytest.raises(ConditionError) as error:
        parse(text)
    assert error.value.at == at


def test_an_endpoint_that_nobody_reaches_has_the_worst_mos_and_loses_all() -> None:
    assert parse("mos < 2").value("failed", "failed", {}) == 1.0
    assert parse("loss > 5").value("failed", "failed", {}) == 100.0
    assert parse("rtt > 5").value("failed", "failed", {}) is None
    for what in ("mos < 2", "unreachable"):
        assert parse(what).value("missed", "", {}) is None
        assert parse(what).value("done", "invalid", {"mos": 1.0}) is None


def test_the_loss_is_in_percent_and_a_certificate_in_days() -> None:
    assert parse("loss > 2 %").value("done", "passed", {"sent": 50, "lost": 1}) == 2.0
    figures = {"certificate": {"days_left": 13.5}}
    assert parse("certificate < 14d").holds(parse("certificate < 14d").value("done", "", figures))


def test_a_kept_condition_with_an_odd_limit_still_reads() -> None:
    assert parse("loss > 200 %", bounded=False).limit == 200.0
