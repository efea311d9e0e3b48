"""What the far end's reports say of our own stream: its highest sequence number has to move."""

from __future__ import annotations

import pytest

from callwright.rtp.report import SentReport
from callwright.rtp.rtcp import ReceiverReport, ReportBlock, serialize_compound
from callwright.rtp.session import Session
from tests.rtp.pair import B, Counting, config, entropy

RTCP = (B[0], B[1] + 1)


class Talker:
    """Sends 50 packets a second, and hears reports about them."""

    def __init__(self) -> None:
        self.session = Session(config(B), entropy(1), Counting())
        self.session.start(0.0)
        self.now = 0.0
        self.numbers: list[int] = []

    @property
    def first(self) -> int:
        return self.numbers[0]

    def send(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.session.wake(self.now + 0.001)
            self.now += 0.02
        for data, _, is_rtcp in self.session.transmissions():
            if not is_rtcp:
                self.numbers.append(int.from_bytes(data[2:4], "big"))

    def told(self, highest: int, *, lost: int = 0) -> SentReport:
        block = ReportBlock(self.session.ssrc, 0, lost, highest & 0xFFFFFFFF, 8, 0, 0)
        self.session.receive_rtcp(serialize_compound([ReceiverReport(99, (block,))]), RTCP, self.now)
        return self.session.report(self.now).sent

    def heard(self, *, lost: int = 0) -> SentReport:
        """All that was sent has arrived."""
        return self.told(self.first + len(self.numbers) - 1, lost=lost)


def test_reports_whose_number_moves_say_what_was_lost_and_nothing_more() -> None:
    talker = Talker()
    for seconds in (1.0, 4.0):
        talker.send(seconds)
        sent = talker.heard(lost=5)
    assert (sent.lost, sent.unheard_since) == (5, None)
    assert sent.loss_pct == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("highest", [0, 1, 40_000_000])
def test_a_highest_number_that_is_none_of_ours_says_that_nothing_arrived(highest: int) -> None:
    talker = Talker()
    for _ in range(3):
        talker.send(2.0)
        sent = talker.told(highest, lost=1)
    assert (sent.lost, sent.loss_pct, sent.jitter_ms) == (len(talker.numbers), 100.0, None)
    assert sent.unheard_since == 0.0


def test_a_number_that_stands_still_says_that_no_more_arrives() -> None:
    talker = Talker()
    talker.send(1.0)
    talker.heard()
    for _ in range(3):
        talker.send(3.0)
        sent = talker.told(talker.first + 49)
    assert sent.lost == len(talker.numbers) - 50
    assert sent.loss_pct == pytest.approx(90.0, abs=0.1)
    assert sent.unheard_since == pytest.approx(1.0)


def test_a_number_that_falls_to_nought_stands_still_too() -> None:
    talker = Talker()
    talker.send(5.0)
    talker.heard()
    talker.send(5.0)
    assert talker.told(0).loss_pct == pytest.approx(50.0, abs=1.0)


def test_what_arrives_again_is_told_by_the_far_end_itself() -> None:
    talker = Talker()
    talker.send(1.0)
    talker.heard()
    talker.send(3.0)
    talker.told(talker.first + 49)
    talker.send(1.0)
    sent = talker.heard(lost=150)
    assert (sent.lost, sent.unheard_since) == (150, None)
    assert sent.loss_pct == pytest.approx(60.0, abs=0.5)


def test_two_reports_with_little_between_them_say_nothing() -> None:
    talker = Talker()
    talker.send(5.0)
    talker.heard()
    talker.send(0.2)
    sent = talker.told(talker.first + 249)
    assert (sent.lost, sent.unheard_since) == (0, None)


def test_nothing_is_unheard_while_nothing_is_sent() -> None:
    talker = Talker()
    talker.send(2.0)
    talker.heard()
    talker.session.set_direction(talker.now, sending=False, receiving=False)
    for _ in range(3):
        talker.now += 5.0
        sent = talker.told(talker.first + 99)
    assert (sent.lost, sent.unheard_since) == (0, None)


def test_numbers_that_wrap_go_on() -> None:
    talker = Talker()
    for _ in range(30):
        talker.send(50.0)
        sent = talker.told(talker.numbers[-1])
    assert len(talker.numbers) > 0x10000
    assert sent.unheard_since is None
