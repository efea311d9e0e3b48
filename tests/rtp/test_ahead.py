"""Packets made ahead of time: the same packets and the same figures as without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.rtp.packet import parse
from callwright.rtp.session import Prepared, Session
from tests.kit.examples import examples
from tests.rtp.pair import A, B, Blocks, Counting, config, entropy

Act = Callable[[Session, float], object]
END = 3.0


class Halting(Counting):
    """A source that has nothing to say in two of five frames."""

    def next_frame(self) -> bytes | None:
        frame = super().next_frame()
        return None if self.count % 5 in (2, 3) else frame


class HaltingBlocks(Halting, Blocks):
    pass


def acts_by_name() -> dict[str, Act]:
    def moved(session: Session, now: float) -> None:
        session.relatch(config(("192.0.2.9", 6000)), now)

    def faster(session: Session, now: float) -> None:
        session.set_source(Counting(), now)
        session.relatch(config(ptime_ms=10, samples_per_packet=80), now)

    return {
        "dial": lambda session, now: session.send_digits("12", now),
        "dial slowly": lambda session, now: session.send_digits("7,#", now),
        "hold": lambda session, now: session.set_direction(now, sending=False, receiving=True),
        "resume": lambda session, now: session.set_direction(now, sending=True, receiving=True),
        "silence": lambda session, now: session.set_source(None, now),
        "play": lambda session, now: session.set_source(Counting(), now),
        "halt": lambda session, now: session.set_source(Halting(), now),
        "play blocks": lambda session, now: session.set_source(Blocks(), now),
        "halt in blocks": lambda session, now: session.set_source(HaltingBlocks(), now),
        "move": moved,
        "faster": faster,
        "look": lambda session, now: session.report(now),
    }


ACTS = acts_by_name()
Sent = list[tuple[float, bytes, tuple[str, int]]]


def woken(script: list[tuple[float, str]]) -> tuple[Session, Sent]:
    """A session that is woken exactly when something is due."""
    session = Session(config(tap_sent=True), entropy(1), Counting())
    session.start(0.0)
    sent: Sent = []
    waiting = sorted(script)
    now = 0.0
    while True:
        due = session.next_wake()
        at = waiting[0][0] if waiting else END
        if due is not None and due < min(at, END):
            now = max(now, due)
            session.wake(now)
        elif waiting:
            now = max(now, at)
            ACTS[waiting.pop(0)[1]](session, now)
        else:
            return session, sent
        sent += [(now, out.data, out.address) for out in session.transmissions() if not out.is_rtcp]


def ahead(script: list[tuple[float, str]], lead: float = 0.1, tick: float = 0.03) -> tuple[Session, Sent]:
    """A session whose packets somebody else sends, exactly when they are due."""
    session = Session(config(tap_sent=True), entropy(1), Counting())
    session.start(0.0)
    sent: Sent = []
    coming: list[Prepared] = []

    def leave(now: float, *, at_once: bool) -> None:
        gone = [each for each in coming if each.due < now or (at_once and each.due == now)]
        del coming[: len(gone)]
        session.settle([each.due for each in gone])
        sent.extend((each.due, each.data, each.address) for each in gone)

    def look(now: float) -> None:
        session.wake(now)
        sent.extend((now, out.data, out.address) for out in session.transmissions() if not out.is_rtcp)
        coming.extend(session.prepare(now, now + lead))

    times = sorted({round(tick * step, 9) for step in range(int(END / tick))} | {at for at, _ in script})
    acts = sorted(script)
    for now in times:
        leave(now, at_once=False)
        for at, name in acts:
            if at == now:
                session.withdraw(now)
                coming.clear()
                ACTS[name](session, now)
        look(now)
    leave(END, at_once=False)
    session.withdraw(END)
    return session, sent


moments = st.integers(1, 2900).map(lambda milliseconds: (milliseconds + 0.25) / 1000)
scripts = st.lists(
    st.tuples(moments, st.sampled_from(sorted(ACTS))), max_size=6, unique_by=lambda act: act[0]
)


def rounded(sent: Sent) -> list[tuple[float, bytes, tuple[str, int]]]:
    return [(round(at, 6), data, address) for at, data, address in sent]


@settings(max_examples=examples(150), deadline=None)
@given(scripts)
def test_whatever_is_done_the_same_packets_leave_at_the_same_times(script: list[tuple[float, str]]) -> None:
    one, expected = woken(script)
    other, sent = ahead(script)
    assert rounded(sent) == rounded(expected)
    assert one.report(END).sent == other.report(END).sent
    assert one.sent_frames() == other.sent_frames()
    assert one.report(END).scheduling_error.packets == other.report(END).scheduling_error.packets


@settings(max_examples=examples(40), deadline=None)
@given(scripts, st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.005, 0.02, 0.04]))
def test_how_far_ahead_makes_no_difference(script: list[tuple[float, str]], lead: float, tick: float) -> None:
    _, sent = ahead(script, lead, min(tick, lead / 2))
    assert rounded(sent) == rounded(woken(script)[1])


def started(source: object | None = None) -> Session:
    session = Session(config(), entropy(1), source or Counting())  # type: ignore[arg-type]
    session.start(0.0)
    session.wake(0.0)
    session.transmissions()
    return session


def test_nothing_is_counted_before_it_has_left() -> None:
    session = started()
    coming = session.prepare(0.001, 0.1)
    assert [each.due for each in coming] == [pytest.approx(0.02 * slot) for slot in (1, 2, 3, 4)]
    assert {each.address for each in coming} == {B}
    assert session.report(0.05).sent.packets == 1
    session.settle([0.0201, 0.0402])
    report = session.report(0.05)
    assert report.sent.packets == 3
    assert report.sent.last_packet == 0.0402
    assert report.scheduling_error.max_ms == pytest.approx(0.2)


def test_at_most_so_many_packets_are_on_their_way() -> None:
    session = started()
    assert len(session.prepare(0.001, 10.0, most=5)) == 5
    assert session.prepare(0.001, 10.0, most=5) == []
    session.settle([0.02, 0.04])
    assert len(session.prepare(0.041, 10.0, most=5)) == 2


def test_what_is_withdrawn_is_made_again_with_the_same_numbers_and_frames() -> None:
    session = started()
    first = session.prepare(0.001, 0.1)
    session.settle([0.02])
    session.withdraw(0.03)
    assert session.prepare(0.03, 0.1) == first[1:]


def test_a_live_source_is_never_asked_ahead_of_time() -> None:
    class Live(Counting):
        live = True

    source = Live()
    session = started(source)
    assert source.count == 1
    assert session.prepare(0.001, 1.0) == []
    assert source.count == 1
    session.wake(0.02)
    assert source.count == 2


def test_a_slot_that_is_due_is_left_to_wake() -> None:
    session = started()
    assert session.prepare(0.02, 1.0) == []
    session.wake(0.0201)
    assert len(session.transmissions()) == 1
    assert len(session.prepare(0.0201, 0.05)) == 1


def test_a_far_end_that_speaks_from_elsewhere_outdates_what_was_prepared() -> None:
    session = started()
    coming = session.prepare(0.001, 0.2)
    assert not session.outdated
    session.receive(coming[0].data, B, 0.002)
    assert not session.outdated  # it is where we send to
    other = started()
    other.prepare(0.001, 0.2)
    for packet in coming:
        other.receive(packet.data, A, 0.002)
    assert [other.outdated] == [True]
    other.withdraw(0.003)
    assert [other.outdated] == [False]
    again = other.prepare(0.003, 0.2)
    assert {each.address for each in again} == {A}
    assert [each.due for each in again] == [each.due for each in coming]


def test_digits_are_under_way_until_their_last_packet_has_left() -> None:
    session = started()
    session.send_digits("5", 0.001)
    coming = session.prepare(0.001, 1.0, most=8)
    events = [each for each in coming if parse(each.data).payload_type == 101]
    assert session.dialing is True
    session.settle([each.due for each in events])
    assert [session.dialing] == [False]
    assert session.report(1.0).sent.telephone_event_packets == len(events)


def test_a_stall_of_the_sender_is_made_good_as_our_own_would_be() -> None:
    session = started()
    session.prepare(0.001, 0.1)
    session.settle([0.02])
    session.withdraw(1.0)  # nobody sent the others
    session.wake(1.0)
    packets = [parse(out.data) for out in session.transmissions() if not out.is_rtcp]
    assert [packet.timestamp % 160 for packet in packets] == [packets[0].timestamp % 160] * 3
    assert (packets[1].sequence - packets[0].sequence) & 0xFFFF == 1
    report = session.report(1.0)
    assert report.sent.packets == 5
    assert report.sent.skipped_frames == 46


def test_closing_takes_back_what_has_not_left() -> None:
    session = started()
    session.prepare(0.001, 0.1)
    session.settle([0.02])
    session.close(0.03)
    assert session.prepare(0.03, 0.2) == []
    assert session.report(1.0).sent.packets == 2


def test_another_codec_takes_no_frames_of_the_one_before() -> None:
    session = started()
    session.prepare(0.001, 0.1)
    session.withdraw(0.002)
    fresh = Counting()
    session.set_source(fresh, 0.002)
    session.relatch(replace(config(), payload_type=8), 0.002)
    (first, *_) = session.prepare(0.002, 0.05)
    packet = parse(first.data)
    assert packet.payload_type == 8
    assert packet.payload[:4] == (1).to_bytes(4, "big")
