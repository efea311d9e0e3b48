"""Where audio comes from and goes to, while packets come from several addresses. In virtual time."""

from __future__ import annotations

import pytest

from callwright.rtp.report import GapCause
from callwright.rtp.session import Session, SourceLatched
from tests.rtp.pair import B, Counting, config, entropy
from tests.rtp.twins import packet

THIRD = ("198.51.100.9", 7000)
MOVED = (B[0], 6000)


class Source:
    """One stream of the far end's, or of somebody's; `say` sends packets 20 ms apart from an address."""

    def __init__(self, session: Session, *, ssrc: int = 7, number: int = 1000) -> None:
        self.session, self.ssrc, self.number = session, ssrc, number

    def say(self, count: int, start: float, source: tuple[str, int]) -> float:
        batch = []
        for index in range(count):
            data = packet(self.number, 160 * self.number, ssrc=self.ssrc)
            batch.append((data, source, start + 0.02 * index))
            self.number += 1
        self.session.receive_batch(batch)
        return start + 0.02 * count


@pytest.fixture
def session() -> Session:
    session = Session(config(B), entropy(1), Counting())
    session.start(0.0)
    return session


def where(session: Session) -> tuple[tuple[str, int] | None, tuple[str, int]]:
    """(Where audio comes from, where it goes to.)"""
    return session.latched, session.report(100.0).sent.destination


def test_the_address_of_the_sdp_needs_no_proof(session: Session) -> None:
    Source(session).say(1, 0.0, B)
    assert where(session) == (B, B)
    assert session.report(1.0).sources[0].before is None


def test_stray_packets_before_the_first_of_the_far_end_decide_nothing(session: Session) -> None:
    Source(session, ssrc=9).say(4, 0.0, THIRD)
    assert where(session) == (None, B)
    Source(session).say(50, 0.1, B)
    assert where(session) == (B, B)
    report = session.report(2.0)
    assert (report.received.packets, report.strays) == (50, 4)
    assert [(stray.source, stray.packets) for stray in report.stray_sources] == [(THIRD, 4)]


def test_a_far_end_behind_a_nat_is_heard_from_its_first_packet_on(session: Session) -> None:
    Source(session).say(50, 0.0, MOVED)
    assert where(session) == (MOVED, MOVED)
    report = session.report(1.0)
    assert (report.received.packets, report.received.lost, report.strays) == (50, 0, 0)
    assert report.stray_sources == ()
    assert (report.sources[0].source, report.sources[0].described) == (MOVED, B)


def test_the_sdp_wins_over_a_stranger_that_was_taken_for_the_far_end(session: Session) -> None:
    stranger, honest = Source(session, ssrc=9), Source(session)
    stranger.say(10, 0.0, THIRD)
    assert session.latched == THIRD
    for index in range(50):
        stranger.say(1, 0.2 + 0.02 * index, THIRD)
        honest.say(1, 0.21 + 0.02 * index, B)
    assert where(session) == (B, B)
    assert session.report(2.0).received.packets >= 10 + 50


def test_a_stream_that_goes_on_from_another_port_is_followed_and_nothing_is_lost(session: Session) -> None:
    far_end = Source(session)
    now = far_end.say(50, 0.0, B)
    session.events()
    now = far_end.say(1, now, MOVED)
    assert where(session) == (B, B)
    now = far_end.say(199, now, MOVED)
    assert where(session) == (MOVED, MOVED)
    report = session.report(now)
    assert (report.received.packets, report.received.lost, report.strays) == (250, 0, 0)
    assert report.received.timeline.gaps == ()
    assert [(change.before, change.source) for change in report.sources[1:]] == [(B, MOVED)]
    assert [event.source for event in session.events() if isinstance(event, SourceLatched)] == [MOVED]


def test_it_is_followed_after_a_pause_and_back_again(session: Session) -> None:
    far_end = Source(session)
    far_end.say(50, 0.0, B)
    far_end.say(50, 3.0, MOVED)
    assert session.latched == MOVED
    far_end.say(50, 4.0, B)
    assert where(session) == (B, B)
    assert session.report(5.0).received.packets == 150


def test_copies_of_the_stream_from_another_address_change_nothing(session: Session) -> None:
    far_end, copy = Source(session), Source(session)
    for index in range(100):
        far_end.say(1, 0.02 * index, B)
        copy.say(1, 0.02 * index + 0.001, THIRD)
    assert where(session) == (B, B)
    assert session.report(2.0).received.packets == 100


def test_a_stream_that_is_sent_to_us_twice_is_not_followed_to_and_fro(session: Session) -> None:
    far_end, ahead = Source(session), Source(session, number=1001)
    for index in range(100):
        far_end.say(1, 0.02 * index, B)
        ahead.say(1, 0.02 * index + 0.001, THIRD)
    assert where(session) == (B, B)
    assert len(session.report(2.0).sources) == 1


def test_a_late_packet_of_the_old_port_does_not_lead_back(session: Session) -> None:
    far_end = Source(session)
    far_end.say(50, 0.0, B)
    old = Source(session, number=1048)
    far_end.say(10, 1.0, MOVED)
    old.say(3, 1.2, B)
    assert where(session) == (MOVED, MOVED)


def test_another_stream_is_not_followed_while_the_far_end_talks(session: Session) -> None:
    far_end, other = Source(session), Source(session, ssrc=9)
    for index in range(200):
        far_end.say(1, 0.02 * index, B)
        other.say(1, 0.02 * index + 0.01, THIRD)
    assert where(session) == (B, B)
    report = session.report(4.0)
    assert (report.received.packets, report.received.ssrc_changes, report.strays) == (200, 0, 200)


def test_another_stream_is_followed_once_the_far_end_is_silent(session: Session) -> None:
    Source(session).say(50, 0.0, B)
    other = Source(session, ssrc=9)
    other.say(20, 1.0, THIRD)
    assert where(session) == (B, B)
    other.say(20, 1.4, THIRD)
    assert where(session) == (THIRD, THIRD)


def test_stragglers_of_the_old_port_do_not_latch_after_the_sdp_has_moved_it(session: Session) -> None:
    far_end = Source(session)
    far_end.say(50, 0.0, B)
    session.relatch(config(MOVED), 1.0)
    far_end.say(20, 1.0, B)
    assert where(session) == (None, MOVED)
    Source(session, ssrc=9, number=40_000).say(100, 1.4, MOVED)
    assert where(session) == (MOVED, MOVED)
    report = session.report(3.4)
    assert (report.received.packets, report.strays) == (150, 20)


def test_stragglers_do_not_latch_beside_the_new_port_either(session: Session) -> None:
    far_end, new = Source(session), Source(session, ssrc=9)
    far_end.say(50, 0.0, B)
    session.relatch(config(MOVED), 1.0)
    for index in range(100):
        far_end.say(1, 1.0 + 0.02 * index, B)
        new.say(1, 1.01 + 0.02 * index, MOVED)
    assert where(session) == (MOVED, MOVED)
    assert session.report(3.0).received.packets == 150


def test_early_media_of_a_fork_does_not_latch_after_another_has_answered(session: Session) -> None:
    first, second = Source(session, ssrc=1), Source(session, ssrc=2)
    first.say(50, 0.0, B)
    second.say(50, 0.0, THIRD)
    session.relatch(config(MOVED), 1.0)
    first.say(15, 1.0, B)
    second.say(15, 1.0, THIRD)
    assert where(session) == (None, MOVED)


def test_a_far_end_that_says_it_moves_and_does_not_is_followed_when_nothing_else_comes(
    session: Session,
) -> None:
    far_end = Source(session)
    far_end.say(50, 0.0, B)
    session.relatch(config(MOVED), 1.0)
    far_end.say(100, 1.0, B)
    assert where(session) == (B, B)


def test_a_far_end_behind_a_nat_may_move_by_sdp(session: Session) -> None:
    public, next_public = ("198.51.100.7", 6000), ("198.51.100.7", 6002)
    Source(session).say(50, 0.0, public)
    session.relatch(config(("192.168.0.9", 4000)), 1.0)
    Source(session, ssrc=9).say(50, 1.0, next_public)
    assert where(session) == (next_public, next_public)
    assert session.report(2.0).received.packets == 100


def test_an_address_that_the_policy_forbids_is_never_followed_and_is_told() -> None:
    session = Session(config(B, permits=lambda address: address == B), entropy(1), Counting())
    session.start(0.0)
    far_end = Source(session)
    now = far_end.say(50, 0.0, B)
    far_end.say(150, now, MOVED)
    assert where(session) == (B, B)
    report = session.report(4.0)
    assert [(stray.source, stray.packets, stray.permitted) for stray in report.stray_sources] == [
        (MOVED, 150, False)
    ]
    assert [gap.cause for gap in report.received.timeline.gaps] == [GapCause.ELSEWHERE]


def test_hold_and_resume_at_the_same_address_keep_what_was_proven(session: Session) -> None:
    Source(session).say(50, 0.0, MOVED)
    session.relatch(config(B, sending=False, receiving=False), 1.0)
    session.relatch(config(B), 2.0)
    assert where(session) == (MOVED, MOVED)


def test_addresses_that_are_told_are_bounded(session: Session) -> None:
    Source(session).say(10, 0.0, B)
    for port in range(500):
        Source(session, ssrc=port).say(1, 0.2, ("203.0.113.1", 10_000 + port))
    report = session.report(1.0)
    assert report.strays == 500
    assert len(report.stray_sources) <= 32
