"""A session under SRTP: the same stream, closed to everybody else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from callwright.rtp.packet import RtpPacket, serialize
from callwright.rtp.session import Session
from callwright.srtp.context import SrtpContext
from callwright.srtp.report import SrtpReport
from callwright.srtp.suite import SUITES, StreamKeys
from tests.rtp.pair import A, B, Blocks, Counting, Pair, Wire, config, entropy

CM = "AES_CM_128_HMAC_SHA1_80"


def keys(suite: str = CM, seed: int = 1) -> tuple[StreamKeys, StreamKeys]:
    """Those of both ends."""
    draw = random.Random(seed).randbytes
    here, there = draw(SUITES[suite].master), draw(SUITES[suite].master)
    return StreamKeys(suite, here, there), StreamKeys(suite, there, here)


def pair(suite: str = CM, to_b: Wire | None = None) -> Pair:
    a, b = keys(suite)
    return Pair(to_b, a=config(B, srtp=a), b=config(A, srtp=b))


def told(session: Session, now: float) -> SrtpReport:
    report = session.report(now).srtp
    assert report is not None
    return report


@pytest.mark.parametrize("suite", SUITES)
def test_two_ends_hear_each_other_under_every_suite(suite: str) -> None:
    both = pair(suite)
    both.a.send_digits("42", both.now)
    both.run(12.0)
    both.close()
    for here, there in ((both.a, both.b), (both.b, both.a)):
        sent, received = here.report(both.now).sent, there.report(both.now).received
        assert sent.packets == received.packets == 601
        assert (received.lost, received.codec, sent.lost) == (0, "PCMU", 0)
        srtp = told(there, both.now)
        assert (srtp.suite, srtp.auth_failures, srtp.replayed, srtp.malformed) == (suite, 0, 0, 0)
        assert srtp.received == 601 + there.report(both.now).rtcp_received
    assert both.b.report(both.now).dtmf == "42"


def test_plain_sessions_tell_nothing_of_srtp() -> None:
    session = Session(config(), entropy(1))
    assert session.report(0.0).srtp is None


def test_loss_is_counted_as_without_srtp_and_doubles_as_replays() -> None:
    wire = Wire(seed=5, loss=0.05, jitter=0.03, duplicate=0.02)
    both = pair(to_b=wire)
    both.run(60.0)
    both.close()
    received = both.b.report(both.now).received
    assert received.packets == wire.carried - wire.dropped
    assert told(both.b, both.now).replayed == wire.duplicated


def test_the_wrong_key_is_told_and_ends_nothing() -> None:
    both = Pair(a=config(B, srtp=keys(seed=1)[0]), b=config(A, srtp=keys(seed=2)[1]))
    both.run(5.0)
    both.close()
    srtp = told(both.b, both.now)
    assert srtp.received == 0
    assert srtp.auth_failures == both.a.report(both.now).sent.packets + both.a.report(both.now).rtcp_sent
    assert both.b.report(both.now).received.packets == 0
    assert both.b.latched is None


def test_who_does_not_have_the_key_moves_no_stream() -> None:
    ours, theirs = keys()
    session = Session(config(B, srtp=ours), entropy(1), Counting())
    session.start(0.0)
    forged = serialize(RtpPacket(0, False, 1, 160, 7, bytes(160)))
    session.receive_batch([(forged, ("192.0.2.66", 9), 0.01 * n) for n in range(10)])
    strays = session.latched
    honest = SrtpContext(theirs).protect(forged)
    session.receive(honest, B, 0.2)
    assert (strays, session.latched) == (None, B)
    assert told(session, 1.0).auth_failures == 10


def test_new_keys_in_the_middle_of_a_call_cost_no_packet() -> None:
    both = pair()
    both.run(3.0)
    a, b = keys(seed=9)
    both.a.relatch(config(B, srtp=a), both.now)
    both.run(0.2)  # the answer is on its way
    both.b.relatch(config(A, srtp=b), both.now)
    both.run(3.0)
    both.close()
    # What `a` sent under the new key before `b` knew it is lost; nothing of the other direction is.
    lost = both.b.report(both.now).received.lost
    assert 9 <= lost <= 11
    assert both.a.report(both.now).received.lost == 0
    assert told(both.a, both.now).rekeyed == told(both.b, both.now).rekeyed == 1


def test_a_call_may_begin_plain_and_become_encrypted_and_plain_again() -> None:
    both = Pair(a=config(B), b=config(A))
    both.run(1.0)
    a, b = keys()
    for session, own in ((both.a, config(B, srtp=a)), (both.b, config(A, srtp=b))):
        session.relatch(own, both.now)
    both.run(2.0)
    for session, own in ((both.a, config(B)), (both.b, config(A))):
        session.relatch(own, both.now)
    both.run(1.0)
    both.close()
    for session in (both.a, both.b):
        received = session.report(both.now).received
        assert received.packets + received.lost == 201
        assert received.lost <= 2, "those that were under way"
        assert 98 <= told(session, both.now).received <= 103


@pytest.mark.parametrize("mux", [False, True])
def test_reports_are_encrypted_too_also_on_the_port_of_rtp(mux: bool) -> None:
    ours, theirs = keys()
    session = Session(config(B, srtp=ours, rtcp_mux=mux), entropy(1), Counting())
    session.start(0.0)
    session.close(1.0)
    (goodbye,) = session.transmissions()
    peer = Session(config(A, srtp=theirs, rtcp_mux=mux), entropy(2))
    peer.start(0.0)
    receive = peer.receive if mux else peer.receive_rtcp
    receive(goodbye.data, A, 1.0)
    receive(goodbye.data, A, 1.0)
    assert peer.report(1.0).far_end_bye == 1.0
    assert told(peer, 1.0).replayed == 1


def test_packets_made_ahead_and_taken_back_are_encrypted_under_their_own_numbers() -> None:
    ours, theirs = keys()
    session = Session(replace(config(B, srtp=ours), telephone_event=101), entropy(1), Blocks())
    peer = SrtpContext(theirs)
    session.start(0.0)
    now = 0.001
    heard = []
    for round_ in range(30):
        made = session.prepare(now, now + 0.4, 16)
        left = made[: round_ % 7]
        session.settle([one.due for one in left])
        heard += [peer.unprotect(one.data) for one in left]
        now = left[-1].due + 0.001 if left else now
        session.withdraw(now)
    assert None not in heard
    frames = [octets[12:16] for octets in heard if octets is not None]
    assert frames == [n.to_bytes(4, "big") for n in range(1, len(frames) + 1)]
    assert peer.report().replayed == peer.report().auth_failures == 0


def test_the_first_number_of_an_encrypted_stream_is_far_from_its_rollover() -> None:
    for seed in range(40):
        session = Session(config(B, srtp=keys()[0]), entropy(seed), Counting())
        session.start(0.0)
        session.wake(0.0)
        (sent,) = session.transmissions()[:1]
        assert sent.data[2] < 0x80
