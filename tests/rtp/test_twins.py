"""The native streams and their pure twins: the same figures, to the last bit, whatever comes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callwright.rtp import incoming, outgoing, session
from callwright.rtp.loss_pattern import Ledger
from callwright.rtp.reception import MAX_DROPOUT, MAX_EARLIER, MAX_JUMP, MAX_MISORDER, SequenceCount
from callwright.rtp.session import Session
from tests.kit.examples import examples
from tests.rtp import twins
from tests.rtp.pair import B, Counting, config, entropy

native = pytest.importorskip(
    "callwright.rtp._streams", reason="callwright.rtp._streams was not built", exc_type=ImportError
)


@contextmanager
def streams(incoming_stream: object, outgoing_stream: object) -> Iterator[None]:
    """Sessions made inside have these streams."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "IncomingStream", incoming_stream)
        patch.setattr(session, "OutgoingStream", outgoing_stream)
        yield


def pair(**changes: Any) -> tuple[Session, Session]:
    """The same session on each twin."""
    made = []
    for streams_of in (
        (native.IncomingStream, native.OutgoingStream),
        (incoming.IncomingStream, outgoing.OutgoingStream),
    ):
        with streams(*streams_of):
            made.append(Session(replace(config(B, tap_received=True), **changes), entropy(5), Counting()))
    return made[0], made[1]


@settings(max_examples=examples(80), deadline=None)
@given(st.binary(min_size=0, max_size=160))
@example(bytes(range(160)))
def test_any_stream_gives_the_same_figures_packet_by_packet(script: bytes) -> None:
    twins.receive_alike(*pair(), script)


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_long_lossy_reordered_streams_give_the_same_figures(seed: int, tap: bool) -> None:
    chance = random.Random(seed)
    twins.receive_alike(*pair(tap_received=tap), chance.randbytes(chance.randrange(400, 2500)), every=100)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 200)), max_size=60), st.booleans())
def test_what_is_sent_is_the_same_octet_by_octet(script: list[tuple[int, int]], tap: bool) -> None:
    twins.send_alike(*pair(tap_sent=tap), script)


def test_packets_before_the_first_one_are_alike_where_their_numbers_are_below_nought() -> None:
    ours, theirs = pair()
    for each in (ours, theirs):
        each.start(0.0)
        for index, number in enumerate((2, 3, 0, 65535, 65534, 65533, 65532, 4)):
            each.receive(twins.packet(number, 160 * number), B, 1.0 + 0.02 * index)
    report = ours.report(2.0).received
    assert report == theirs.report(2.0).received
    assert (report.packets, report.lost, report.duplicated, report.reordered) == (8, 1, 0, 5)


def test_the_script_reaches_every_kind_of_trouble() -> None:
    """The generator of these tests makes what it says."""
    ours, theirs = pair()
    twins.receive_alike(ours, theirs, random.Random(3).randbytes(6000), every=1000)
    received, report = ours.report(1e6).received, ours.report(1e6)
    for figure in (
        received.lost, received.late, received.duplicated, received.reordered, received.ssrc_changes,
        received.restarts, received.timestamp_jumps, received.comfort_noise, received.telephone_event_packets,
        received.unknown_payload, received.audio_packets, received.timeline.gaps, report.malformed,
        report.strays, report.digits,
    ):  # fmt: skip
        assert figure


@pytest.mark.parametrize("elapsed", [0.0, 0.02, 1.0, 1.5, 40.0, 290.0, 1000.0])
def test_steps_of_the_sequence_number_are_judged_alike_at_every_limit(elapsed: float) -> None:
    limits = (
        0,
        MAX_MISORDER,
        MAX_DROPOUT,
        3150,
        7000,
        MAX_JUMP,
        0x10000 - MAX_MISORDER,
        0x10000 - MAX_EARLIER,
    )
    for step in {(limit + around) & 0xFFFF for limit in limits for around in range(-3, 4)}:
        said = []
        for count in (native.SequenceCount(native.Ledger(3)), SequenceCount(Ledger(3))):
            numbers = [65_000, 65_001, 65_001 + step, 65_002, 65_002 + step, 65_003 + step]
            extended = [count.receive(number & 0xFFFF, elapsed) for number in numbers]
            figures = (count.expected, count.lost, count.packets, count.duplicated, count.reordered)
            said.append((extended, figures, count.restarts, count.ledger.patterns()))
        assert said[0] == said[1]
