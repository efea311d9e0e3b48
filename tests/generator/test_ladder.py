"""The messages of calls that failed, and of the slowest, which the loop keeps."""

from __future__ import annotations

from typing import Any

from callwright.generator.loop import FailedLadder
from callwright.generator.names import COUNTERS, LADDER_MESSAGES, OUTCOMES
from tests.generator.load_peer import Peer, counts, loop_to, until


def first_words(ladder: FailedLadder) -> list[str]:
    """`> INVITE` for what was sent, `< 180` for what came."""
    found = []
    for message in ladder.messages:
        words = message.data.decode("latin-1").split()
        found.append(f"{'>' if message.sent else '<'} {words[1] if words[0] == 'SIP/2.0' else words[0]}")
    return found


def refuse(loop: Any, peer: Peer, statuses: list[str]) -> None:
    """Answers each call that comes with the next of these."""
    left = list(statuses)

    def answer() -> bool:
        for message in peer.take():
            if message.startswith(b"INVITE") and left:
                peer.respond(message, left.pop(0), extra=peer.contact())
            elif message.startswith(b"BYE"):
                peer.respond(message, "200 OK")
        return not left and "active" not in counts(loop)

    until(loop, answer)


def test_the_messages_of_a_failed_call_are_kept_as_they_were_on_the_wire(peer: Peer) -> None:
    loop = loop_to(peer)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact())
    until(loop, lambda: loop.counters()[COUNTERS.index("received")])
    peer.respond(invite, "503 Service Unavailable", extra='Warning: 399 pbx "no route left"\r\n')
    (ack,) = until(loop, peer.take)
    (ladder,) = loop.ladders()
    assert first_words(ladder) == ["> INVITE", "< 180", "< 503", "> ACK"]
    assert ladder.whole
    assert (OUTCOMES[ladder.call.outcome], ladder.call.code) == ("status", 503)
    assert ladder.messages[0].data == invite
    assert b'Warning: 399 pbx "no route left"' in ladder.messages[2].data
    assert ladder.messages[3].data == ack
    times = [message.at for message in ladder.messages]
    assert times == sorted(times)
    loop.close()


def test_so_many_of_each_class_are_kept_and_the_slowest_call(peer: Peer) -> None:
    statuses = [*["503 Service Unavailable"] * 4, *["404 Not Found"] * 2, "200 OK", "200 OK"]
    loop = loop_to(peer, calls=len(statuses), ladders=3)
    refuse(loop, peer, statuses)
    *failed, slowest = loop.ladders()
    assert sorted(ladder.call.code for ladder in failed) == [404, 404, 503, 503, 503]
    assert OUTCOMES[slowest.call.outcome] == "answered"
    assert first_words(slowest) == ["> INVITE", "< 200", "> ACK", "> BYE", "< 200"]
    loop.begin(registering=False, calls=0, rate=0.0)
    assert loop.ladders() == []  # another run
    loop.close()


def test_a_loop_that_is_told_so_keeps_none(peer: Peer) -> None:
    loop = loop_to(peer, calls=2, ladders=0)
    refuse(loop, peer, ["503 Service Unavailable", "200 OK"])
    assert loop.ladders() == []
    loop.close()


def test_of_a_long_call_the_newest_messages_are_kept(peer: Peer) -> None:
    loop = loop_to(peer, hold=30)
    (invite,) = until(loop, peer.take)
    for _ in range(LADDER_MESSAGES):
        peer.respond(invite, "200 OK", extra=peer.contact())
        until(loop, peer.take)
    loop.stop(2, 0.05)
    until(loop, loop.ladders)
    (ladder,) = loop.ladders()
    assert OUTCOMES[ladder.call.outcome] == "bye_timeout"
    assert len(ladder.messages) == LADDER_MESSAGES
    assert not ladder.whole
    assert first_words(ladder)[-3:] == ["< 200", "> ACK", "> BYE"]
    loop.close()


def test_messages_that_were_overwritten_are_said_to_be_missing(peer: Peer) -> None:
    """The ring of the loop has 32 MiB for all calls; what is older is gone."""
    loop = loop_to(peer, hold=30)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact())
    until(loop, peer.take)
    stuffing = "X-Stuffing: " + "x" * 7000 + "\r\n"
    for _ in range(48):
        for _ in range(100):  # answers repeated, as one of a busy target would be
            peer.respond(invite, "200 OK", extra=peer.contact() + stuffing)
        until(loop, peer.take)
    loop.stop(2, 0.05)
    until(loop, loop.ladders)
    (ladder,) = loop.ladders()
    assert not ladder.whole
    assert 1 < len(ladder.messages) <= LADDER_MESSAGES
    loop.close()


def test_the_answering_side_keeps_what_it_never_got_an_ack_for(peer: Peer) -> None:
    loop = loop_to(None, t1=0.01)
    host, port = loop.local
    peer.source = (host, port)
    peer.send(
        f"INVITE sip:x@{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{peer.address.port}"
        ";branch=z9hG4bKone\r\nFrom: <sip:far@127.0.0.1>;tag=a\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: one\r\n"
        f"CSeq: 1 INVITE\r\n{peer.contact()}Content-Length: 0\r\n\r\n"
    )
    loop.run(3)
    (ladder,) = loop.ladders()
    assert OUTCOMES[ladder.call.outcome] == "no_ack"
    assert first_words(ladder)[:4] == ["< INVITE", "> 100", "> 180", "> 200"]
    assert "> BYE" in first_words(ladder)
    loop.close()
