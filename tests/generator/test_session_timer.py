"""Session timers (RFC 4028) of the load loop: the shortest that are taken, 4 s, refreshed after 2 s."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.generator.load_peer import Peer, counts, header, inside, loop_to, until
from tests.generator.test_reliable import SDP, calling, only

TIMED = "Supported: timer\r\nSession-Expires: {}\r\n"


def up(peer: Peer, session: str, **more: Any) -> tuple[Any, bytes]:
    """A call of the loop that is answered with this Session-Expires."""
    loop = loop_to(peer, {"min_se": 4}, hold=30, min_se=4, **more)
    (invite,) = until(loop, peer.take)
    allow = "Allow: INVITE, UPDATE\r\n" if "refresh_by" not in more else ""
    peer.respond(
        invite, "200 OK", extra=f"{peer.contact()}{allow}Require: timer\r\nSession-Expires: {session}\r\n"
    )
    until(loop, peer.take)
    return loop, invite


def test_what_is_asked_for_stands_in_the_invite_and_is_raised_after_a_422(peer: Peer) -> None:
    loop = loop_to(peer, session_expires=120, refresher="remote")
    (invite,) = until(loop, peer.take)
    assert header(invite, "Session-Expires") == "120;refresher=uas"
    assert "timer" in header(invite, "Supported")
    peer.respond(invite, "422 Session Interval Too Small", extra="Min-SE: 300\r\n")
    ack, again = until(loop, peer.take)
    assert ack.startswith(b"ACK ")
    assert header(again, "CSeq") == "2 INVITE"
    assert (header(again, "Session-Expires"), header(again, "Min-SE")) == ("300;refresher=uas", "300")
    peer.respond(again, "422 Session Interval Too Small", extra="Min-SE: 300\r\n")  # no more than before
    until(loop, lambda: counts(loop).get("status"))
    assert loop.codes() == {422: 1}
    assert counts(loop)["brief"] == 1
    loop.close()


def test_we_refresh_by_update_at_half_the_time_and_the_bye_counts_on(peer: Peer) -> None:
    loop, _ = up(peer, "4;refresher=uac")
    (update,) = until(loop, peer.take)
    assert update.startswith(b"UPDATE sip:far@")
    assert header(update, "CSeq") == "2 UPDATE"
    assert header(update, "Session-Expires") == "4;refresher=uac"
    peer.respond(update, "200 OK", extra="Session-Expires: 4;refresher=uas\r\n")  # from now on they do
    bye = until(loop, lambda: only(peer.take(), "BYE"), 5)[0]  # and did not
    assert header(bye, "CSeq") == "3 BYE"
    peer.respond(bye, "200 OK")
    until(loop, lambda: counts(loop).get("expired"))
    assert counts(loop)["refreshed"] == 1
    loop.close()


def test_we_refresh_by_reinvite_and_acknowledge_its_answer(peer: Peer) -> None:
    loop, invite = up(peer, "4;refresher=uac", refresh_by="INVITE")
    (again,) = until(loop, peer.take)
    assert header(again, "CSeq") == "2 INVITE"
    assert header(again, "To").endswith(";tag=far")
    assert b"m=audio" in again
    assert b"o=- 1 1000000000 " in again  # described as before
    peer.send(inside(peer, invite, "INVITE", 50, SDP))
    assert b" 491 " in until(loop, peer.take)[0]
    peer.respond(again, "200 OK", extra=peer.contact() + "Session-Expires: 4;refresher=uac\r\n")
    (ack,) = until(loop, peer.take)
    assert (ack.split()[0], header(ack, "CSeq")) == (b"ACK", "2 ACK")
    assert header(ack, "Via") != header(again, "Via")
    peer.respond(again, "200 OK", extra=peer.contact() + "Session-Expires: 4;refresher=uac\r\n")
    assert until(loop, peer.take) == [ack]  # it was lost
    (third,) = until(loop, peer.take)
    peer.respond(third, "500 Server Internal Error")
    (ack,) = until(loop, peer.take)
    assert header(ack, "Via") == header(third, "Via")
    loop.close()


def test_a_peer_that_knows_the_call_no_more_ends_it(peer: Peer) -> None:
    loop, _ = up(peer, "4;refresher=uac")
    (update,) = until(loop, peer.take)
    peer.respond(update, "481 Call/Transaction Does Not Exist")
    (bye,) = until(loop, peer.take)
    peer.respond(bye, "481 Call/Transaction Does Not Exist")
    until(loop, lambda: counts(loop).get("expired"))
    loop.close()


def test_the_peer_refreshes_and_is_answered_by_the_same_rules(peer: Peer) -> None:
    loop, invite = up(peer, "6;refresher=uas")
    peer.send(
        inside(peer, invite, "UPDATE", 20).replace(
            "Content-Length", "Supported: timer\r\nSession-Expires: 8;refresher=uac\r\nContent-Length"
        )
    )
    (answer,) = until(loop, peer.take)
    assert (header(answer, "Session-Expires"), header(answer, "Require")) == ("8;refresher=uac", "timer")
    peer.send(
        inside(peer, invite, "UPDATE", 21).replace(
            "Content-Length", "Supported: timer\r\nSession-Expires: 0\r\nContent-Length"
        )
    )
    (answer,) = until(loop, peer.take)
    assert answer.startswith(b"SIP/2.0 422 ")
    assert header(answer, "Min-SE") == "4"
    assert {"refreshed": 1, "brief": 1}.items() <= counts(loop).items()
    loop.close()


@pytest.mark.parametrize(
    ("asks", "settings", "said"),
    [
        (TIMED.format("1800"), {}, "1800;refresher=uac"),
        (TIMED.format("1800;refresher=uas"), {}, "1800;refresher=uas"),
        (TIMED.format("1800"), {"refresher": "local"}, "1800;refresher=uas"),
        (TIMED.format("1800"), {"session_expires": 600}, "600;refresher=uac"),
        ("x: 1800\r\nk: timer\r\nMin-SE: 900\r\n", {"session_expires": 600}, "900;refresher=uac"),
        ("", {"session_expires": 600}, "600;refresher=uas"),  # it does not know the extension
        ("Session-Expires: 1800\r\n", {}, "1800;refresher=uas"),
        (TIMED.format("junk"), {}, None),
        ("", {}, None),
    ],
)
def test_the_answering_side_agrees_as_the_rfc_says(
    asks: str, settings: dict[str, Any], said: str | None
) -> None:
    with calling(**settings) as caller:
        caller.send("INVITE", 1, asks, SDP)
        answer = caller.hears(200)
        found = re.search(rb"Session-Expires: (.*?)\r", answer)
        assert (found[1].decode() if found else None) == said
        assert (b"Require: timer" in answer) == bool(said and said.endswith("uac"))


def test_too_short_a_session_is_refused_with_what_we_take() -> None:
    with calling() as caller:
        caller.send("INVITE", 1, TIMED.format("30"), SDP)
        assert header(caller.hears(422), "Min-SE") == "90"


def test_the_answering_side_refreshes_what_is_its_own() -> None:
    with calling({"min_se": 4}, min_se=4) as caller:
        caller.send("INVITE", 1, TIMED.format("4;refresher=uas") + "Allow: UPDATE\r\n", SDP)
        caller.hears(200)
        caller.send("ACK", 1)
        (update,) = until(caller.loop, lambda: only(caller.take(), "UPDATE"))
        assert (header(update, "CSeq"), header(update, "Call-ID")) == ("1 UPDATE", "one@here")
        assert header(update, "Session-Expires") == "4;refresher=uac"
        bye = until(caller.loop, lambda: only(caller.take(), "BYE"), 5)[0]  # nobody answers
        assert header(bye, "CSeq") == "2 BYE"
