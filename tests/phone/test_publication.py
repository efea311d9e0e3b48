"""A published state is kept alive by its entity-tag, published anew where forgotten, and taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.outcome.captured import CapturedMessage
from callwright.outcome.judgement import judge_request
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Blame, Failure, Verdict
from callwright.phone.publication import PhonePublication
from tests.kit.virtual_time import in_virtual_time

Answer = tuple[int, dict[str, str]]


class Compositor:
    """Answers each PUBLISH with the next of `answers`, the last of them for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bool]] = []  # Expires, SIP-If-Match, whether a document came

    def send(self, *, headers: list[tuple[str, str]], body: bytes = b"", content_type: str = "") -> Any:
        said = dict(headers)
        assert said["Event"] == "presence"
        assert bool(body) == bool(content_type)
        self.asked.append((said["Expires"], said.get("SIP-If-Match", ""), bool(body)))
        status, told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        outcome = RequestOutcome(
            method="PUBLISH",
            sip_code=status,
            failure=Failure.REFUSED if status >= 300 else None,
            messages=(CapturedMessage(str(status), tuple(told.items())),),
        )
        done: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        done.set_result(outcome)

        class Sent:
            finished = done

        return Sent()


def accepted(tag: str, expires: str = "100") -> Answer:
    return 200, {"SIP-ETag": tag, "Expires": expires}


async def published(compositor: Compositor, seconds: float, expires: int = 100) -> RequestOutcome:
    publication = PhonePublication(
        compositor.send, "presence", b"<presence/>", "application/pidf+xml", expires=expires
    )
    await asyncio.sleep(seconds)
    publication.end()
    return await publication.finished


@in_virtual_time
async def test_it_is_refreshed_before_its_time_is_over_and_taken_back() -> None:
    compositor = Compositor(accepted("a"), accepted("b"), accepted("c"))
    outcome = await published(compositor, 180)
    assert compositor.asked == [
        ("100", "", True),
        ("100", "a", False),
        ("100", "b", False),
        ("0", "c", False),
    ]
    assert outcome.refreshes == 2
    assert judge_request(outcome)[0] is Verdict.PASSED


@in_virtual_time
async def test_one_that_was_forgotten_is_published_anew() -> None:
    compositor = Compositor(accepted("a"), (412, {}), accepted("b"))
    outcome = await published(compositor, 90)
    assert compositor.asked[1:3] == [("100", "a", False), ("100", "", True)]
    assert judge_request(outcome)[0] is Verdict.PASSED


@in_virtual_time
async def test_one_that_is_too_brief_is_asked_for_longer() -> None:
    compositor = Compositor((423, {"Min-Expires": "60"}), accepted("a", "60"))
    assert (await published(compositor, 1, expires=5)).sip_code == 200
    assert [asked[0] for asked in compositor.asked] == ["5", "60", "0"]


@pytest.mark.parametrize("answer", [(403, {}), (423, {}), (412, {}), (423, {"Min-Expires": "9" * 20})])
def test_a_refusal_is_told_and_not_repeated(answer: Answer) -> None:
    compositor = Compositor(answer)
    outcome = asyncio.run(published(compositor, 0))
    assert (outcome.sip_code, len(compositor.asked)) == (answer[0], 1)
    assert judge_request(outcome)[0] is Verdict.FAILED


def test_a_peer_that_gives_no_entity_tag_is_blamed() -> None:
    outcome = asyncio.run(published(Compositor((200, {"Expires": "100"})), 0))
    verdict, blame, reason = judge_request(outcome)
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert "SIP-ETag" in reason
