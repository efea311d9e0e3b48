"""What came of the audio that was due, judged by how the call ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callwright.outcome.terms import EndedBy
from callwright.phone.coming import Coming, coming
from callwright.quality.score import score
from callwright.rtp.report import MediaReport
from callwright.rtp.rtcp import Bye, ReceiverReport, serialize_compound
from callwright.rtp.session import Session
from tests.rtp.pair import B, config, entropy
from tests.rtp.twins import packet


def report(*spans: tuple[float, float], end: float, lost: bool = False) -> MediaReport:
    """Of a session from 0 to `end`, in which audio came in these spans; `lost`: numbers go on in between."""
    session = Session(config(B), entropy(1))
    session.start(0.0)
    number = 0
    for since, until in spans:
        if lost:
            number = round(since * 50)
        for index in range(round((until - since) * 50)):
            session.receive(packet(number, 160 * number), B, since + 0.02 * index)
            number += 1
    session.close(end)
    return session.report(end)


def found(media: MediaReport, ended_by: EndedBy = EndedBy.LOCAL) -> Coming:
    came = coming(media, ended_by, 20.0)
    assert came is not None
    return came


def test_what_was_due_and_did_not_come_is_missing() -> None:
    came = found(report((0.0, 0.5), end=6.0))
    assert came.heard_pct == pytest.approx(8.0)
    assert came.missing == 276
    assert came.rated == pytest.approx(0.08)
    assert came.since(0.0)[0].why == "stopped"


def test_packets_whose_numbers_are_missing_are_not_missing_twice() -> None:
    came = found(report((0.0, 3.0), (5.0, 8.0), end=8.0, lost=True))
    assert came.heard_pct == pytest.approx(74.75)
    assert (came.missing, came.rated) == (0, 1.0)


def test_a_stream_whose_packets_are_longer_than_agreed_misses_as_many_as_it_would_have_sent() -> None:
    session = Session(config(B), entropy(1))
    session.start(0.0)
    for number in range(50):
        session.receive(packet(number, 480 * number, body=bytes(480)), B, 0.06 * number)
    came = found(session.report(6.0))
    assert came.missing == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    ("end", "ended_by", "heard"),
    [
        (5.9, EndedBy.REMOTE, 100.0),  # its first BYE may have been lost
        (5.9, EndedBy.LOCAL, 84.4),
        (6.5, EndedBy.REMOTE, 76.6),
        (5.4, EndedBy.LOCAL, 100.0),
    ],
)
def test_silence_just_before_the_far_end_hangs_up_is_the_hanging_up(
    end: float, ended_by: EndedBy, heard: float
) -> None:
    assert found(report((0.0, 5.0), end=end), ended_by).heard_pct == pytest.approx(heard, abs=0.1)


@pytest.mark.parametrize(("bye_at", "end", "heard"), [(5.0, 8.0, 100.0), (5.0, 20.0, 24.9), (8.0, 9.0, 62.3)])
def test_nothing_is_due_from_its_goodbye_by_rtcp_to_its_bye(bye_at: float, end: float, heard: float) -> None:
    session = Session(config(B), entropy(1))
    session.start(0.0)
    for number in range(250):
        session.receive(packet(number, 160 * number), B, 0.02 * number)
    session.receive_rtcp(serialize_compound([ReceiverReport(7), Bye((7,))]), (B[0], B[1] + 1), bye_at)
    media = session.report(end)
    assert found(media, EndedBy.REMOTE).heard_pct == pytest.approx(heard, abs=0.1)
    assert found(media, EndedBy.LOCAL).heard_pct < 63


def test_nothing_is_told_of_a_stream_that_was_never_due() -> None:
    media = report((0.0, 1.0), end=2.0)
    nothing = replace(media.received.timeline, due_s=0.0)
    assert coming(replace(media, received=replace(media.received, timeline=nothing)), None, 20.0) is None
    assert coming(None, None, 20.0) is None


@pytest.mark.parametrize(("rated", "mos"), [(1.0, 4.37), (0.95, 4.25), (0.5, 2.4), (0.08, 1.0), (0.0, 1.0)])
def test_a_gap_takes_its_share_of_the_score(rated: float, mos: float) -> None:
    scored = score("PCMU", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20, rated=rated)
    assert scored is not None
    assert scored.mos == pytest.approx(mos, abs=0.06)
