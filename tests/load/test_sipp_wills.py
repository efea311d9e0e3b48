"""Which calls of a scenario have a will, and what is in it."""

from __future__ import annotations

from callwright.load.sipp_wills import SippWills
from callwright.sip.transport import Address, Hop, Transport

HOP = Hop(Transport.UDP, Address("127.0.0.1", 5070), Address("127.0.0.1", 5080))


def message(start: str, method: str = "INVITE", to: str = "") -> bytes:
    return (
        f"{start}\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=near\r\n"
        f"To: <sip:x@b>{to}\r\nCall-ID: one\r\nCSeq: 1 {method}\r\nContact: <sip:far@127.0.0.1:5080>\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


INVITE = message("INVITE sip:x@b SIP/2.0")
OK = message("SIP/2.0 200 OK", to=";tag=far")


def test_a_call_of_ours_is_to_be_canceled_then_hung_up_and_then_nothing() -> None:
    wills = SippWills()
    wills.sent(INVITE, HOP)
    ((key, will),) = wills.news()
    assert key == "one"
    assert will is not None
    assert (will.outbound, will.dialog) == (True, None)
    wills.received(OK, HOP)
    ((_, will),) = wills.news()
    assert will is not None
    assert will.dialog is not None
    assert (will.dialog.remote_tag, will.dialog.remote_target) == ("far", "sip:far@127.0.0.1:5080")
    wills.received(message("BYE sip:a@b SIP/2.0", "BYE"), HOP)
    assert wills.news() == [("one", None)]


def test_a_call_that_came_in_has_one_from_our_answer_on() -> None:
    wills = SippWills()
    wills.received(INVITE, HOP)
    assert wills.news() == []
    wills.sent(message("SIP/2.0 180 Ringing", to=";tag=far"), HOP)
    wills.sent(OK, HOP)
    ((_, will),) = wills.news()
    assert will is not None
    assert (will.outbound, will.local_tag) == (False, "far")
    assert will.dialog is not None
    assert will.dialog.remote_tag == "near"
    wills.over("one")
    assert wills.news() == [("one", None)]


def test_a_refused_call_and_messages_that_are_wrong_on_purpose_have_none() -> None:
    wills = SippWills()
    wills.sent(INVITE, HOP)
    wills.received(message("SIP/2.0 486 Busy Here", to=";tag=far"), HOP)
    assert wills.news() == [("one", None)]
    for wrong in (b"INVITE no sip\r\n\r\n", b"BYE ", INVITE.replace(b"Call-ID", b"Call-ED"), OK):
        wills.sent(wrong, HOP)
        wills.received(wrong, HOP)
    assert wills.news() == []
