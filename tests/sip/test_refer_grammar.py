"""Refer-To, Replaces, message/sipfrag, Event and Subscription-State as they come from the wire."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.notice import EventName, SubscriptionState
from callwright.sip.refer import ReferTo, Replaces, fragment, fragment_of
from callwright.sip.uri import Uri

TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=40)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=80)


def refer_to(value: str) -> ReferTo:
    return ReferTo.of(Headers([("Refer-To", value)]))


@given(TOKENS, TOKENS, TOKENS, st.booleans())
def test_a_dialog_comes_back_from_a_refer_to_as_it_was(call: str, to: str, by: str, early: bool) -> None:
    named = Replaces(call + "@192.0.2.7", to, by, early)
    wanted = ReferTo(Uri.parse("sip:carol@192.0.2.3:5070;transport=tcp"), named)
    assert refer_to(str(wanted)) == wanted
    assert Replaces.parse(str(named)) == named


@pytest.mark.parametrize("value", ["", "carol", "<sip:carol@x?Replaces=a>", "<sip:carol@x;method=BYE>", "<"])
def test_a_refer_to_that_asks_for_no_invite_is_refused(value: str) -> None:
    with pytest.raises(SipSyntaxError):
        refer_to(value)


def test_two_places_at_once_are_refused() -> None:
    with pytest.raises(SipSyntaxError):
        ReferTo.of(Headers([("Refer-To", "<sip:a@x>"), ("Refer-To", "<sip:b@x>")]))


@given(TEXTS)
def test_any_text_is_a_refer_to_or_a_syntax_error(text: str) -> None:
    with contextlib.suppress(SipSyntaxError):
        refer_to(text)


@given(st.integers(100, 699), st.one_of(st.none(), st.text("abc XYZ", max_size=30)))
def test_a_fragment_tells_the_status_that_was_written(status: int, reason: str | None) -> None:
    told = fragment_of(fragment(status, reason))
    assert told is not None
    assert told.status == status
    assert reason is None or told.reason == reason.strip()


@given(st.binary(max_size=200))
def test_any_octets_are_a_fragment_or_none(body: bytes) -> None:
    told = fragment_of(body)
    assert told is None or 100 <= told.status <= 699


@given(TEXTS)
def test_any_text_is_an_event_and_a_state_or_none(text: str) -> None:
    headers = Headers([("Event", text), ("Subscription-State", text)])
    event, state = EventName.of(headers), SubscriptionState.of(headers)
    assert (event is None) == (state is None)


def test_what_ends_a_subscription_is_read() -> None:
    headers = Headers(
        [("Event", "Refer;ID=7"), ("Subscription-State", "Terminated;reason=noresource;retry-after=9")]
    )
    assert EventName.of(headers) == EventName("refer", "7")
    state = SubscriptionState.of(headers)
    assert state == SubscriptionState("terminated", None, "noresource", 9)
    assert state.terminated
    assert SubscriptionState.of(Headers([("Subscription-State", "active;expires=99999999999999999999")])) == (
        SubscriptionState("active")
    )
