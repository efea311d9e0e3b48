"""RAck, RSeq, Session-Expires and Min-SE, whatever a peer writes into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.config import EndpointConfig
from callwright.sip.events import CallReceived
from callwright.sip.fields import CSeq, RAck
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.session_timer import session_expires
from tests.kit.peer import LOCAL, Peer, request, tag_of

KNOWING = EndpointConfig(supported=("100rel", "timer"))
LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
PLAUSIBLE = st.one_of(
    LINES,
    st.integers(-5, 2**70).map(str),
    st.builds(
        "{} {} {}".format, st.integers(0, 2**33), st.integers(0, 2**33), st.sampled_from(["INVITE", "x"])
    ),
    st.builds("{};refresher={}".format, st.integers(0, 2**40), st.sampled_from(["uac", "uas", "", "x"])),
)


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_rack_is_read_as_it_is_written(number: int, cseq: int) -> None:
    rack = RAck(number, CSeq(cseq, "INVITE"))
    assert RAck.parse(str(rack)) == rack


@given(LINES)
def test_any_other_rack_is_a_syntax_error(text: str) -> None:
    try:
        read = RAck.parse(text)
    except SipSyntaxError:
        return
    assert RAck.parse(str(read)) == read


@given(PLAUSIBLE)
def test_any_session_expires_is_read_or_is_none(text: str) -> None:
    found = session_expires(Headers([("Session-Expires", text)]))
    assert found is None or (0 <= found[0] <= 2**31 and found[1] in (None, "uac", "uas"))


@given(PLAUSIBLE, PLAUSIBLE, PLAUSIBLE)
def test_a_caller_may_write_anything_and_is_always_answered(rack: str, expires: str, least: str) -> None:
    peer = Peer(KNOWING)
    extra = f"Supported: timer\nRequire: 100rel\nSession-Expires: {expires}\nMin-SE: {least}"
    said = peer.send(request("INVITE", body="offer", extra=extra))
    if not any(isinstance(event, CallReceived) for event in peer.heard):
        assert said[-1].start in ("422 INVITE", "400 INVITE")
        return
    call = peer.one(CallReceived).call
    call.ring(now=peer.now)
    tag = tag_of(peer.listen()[-1])
    said = peer.send(request("PRACK", branch="z9hG4bKp", to_tag=tag, cseq=2, extra=f"RAck: {rack}"))
    assert said[-1].start in ("200 PRACK", "400 PRACK", "481 PRACK")
    call.answer(b"answer", now=peer.now)
    peer.listen()
    peer.clock.advance(70)


@pytest.mark.parametrize("status", [183, 200, 422])
@given(PLAUSIBLE, PLAUSIBLE, PLAUSIBLE)
def test_a_callee_may_write_anything(status: int, rseq: str, expires: str, least: str) -> None:
    peer = Peer(KNOWING)
    call = peer.endpoint.invite("sip:bob@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now, body=b"offer")
    (invite,) = peer.listen()
    extra = f"Require: 100rel\nRSeq: {rseq}\nSession-Expires: {expires}\nMin-SE: {least}"
    extra += "\nContact: <sip:bob@192.0.2.99>"
    peer.answer(invite, status, tag="bob", extra=extra)
    if call.dialog is not None:
        call.acknowledge(now=peer.now)
    peer.clock.advance(70)
