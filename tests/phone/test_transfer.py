"""Transfers between three phones: blind and attended, followed, declined and forbidden (RFC 5589)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_request, judge_transfers
from callwright.outcome.terms import Blame, EndedBy, Failure, Verdict
from callwright.phone.call import PhoneCall
from callwright.phone.permission import Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig, TransferPlan
from callwright.policy.destination import Purpose, Rules

QUIET = MediaPlan(enabled=False)
ANSWERS = AnswerPlan(media=QUIET)


@dataclass
class Trio:
    """Alice calls bob, who transfers her to carol. `further`: calls that came of others, by phone."""

    alice: Phone
    bob: Phone
    carol: Phone
    bob_at: str = ""
    carol_at: str = ""
    came: dict[str, list[PhoneCall]] = field(default_factory=dict)
    further: dict[str, list[PhoneCall]] = field(default_factory=dict)

    def call(self, **plan: Any) -> PhoneCall:
        return self.alice.call(CallPlan(f"sip:bob@{self.bob_at}", QUIET, talk_for=8.0, **plan))

    async def until(self, reached: Any) -> None:
        while not reached():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def trio(transfer: str | TransferPlan | None, *, carol: AnswerPlan = ANSWERS) -> AsyncIterator[Trio]:
    """`transfer`: what bob does at once; {carol} stands for where she is."""
    config = PhoneConfig(bind="127.0.0.1", rtp_ports=(41_000, 42_000))
    # Nothing is permitted here but this machine.
    permission = Permission(Purpose.CALL, Rules())
    phones = [Phone(replace(config, user=user), permission=permission) for user in ("alice", "bob", "carol")]
    async with phones[0], phones[1], phones[2], asyncio.timeout(10):
        made = Trio(phones[0], phones[1], phones[2])
        made.bob_at = str(await made.bob.listen("127.0.0.1", 0))
        made.carol_at = str(await made.carol.listen("127.0.0.1", 0))
        if isinstance(transfer, str):
            transfer = TransferPlan(transfer, after=0.0)
        plan = replace(transfer, to=transfer.to.format(carol=made.carol_at)) if transfer else None
        made.bob.on_call = lambda _: replace(ANSWERS, transfer=plan)
        made.carol.on_call = lambda _: carol
        for name, phone in (("alice", made.alice), ("bob", made.bob), ("carol", made.carol)):
            made.came[name], made.further[name] = [], []
            phone.on_incoming = made.came[name].append
            phone.on_further = lambda _, call, name=name: made.further[name].append(call)  # type: ignore[misc]
        yield made


def header(outcome: CallOutcome, message: str, name: str) -> list[str]:
    return [value for kept in outcome.messages if kept.start == message for value in kept.values(name)]


async def test_a_caller_follows_a_blind_transfer_and_the_transferor_hears_of_it() -> None:
    async with trio("sip:carol@{carol}") as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.came["carol"])
        first = await ours.finished
        assert first.ended_by is EndedBy.REMOTE, "bob hung up once alice was with carol"
        theirs = await three.came["bob"][0].finished
        (transfer,) = theirs.transfers
        assert (transfer.sip_code, transfer.transfer_code, transfer.replaces) == (202, 200, False)
        assert transfer.transfer_codes[0] == 100
        assert judge_request(transfer)[0] is Verdict.PASSED
        assert judge_transfers(theirs) is None
        (second,) = three.further["alice"]
        second.hangup()
        outcome = await three.came["carol"][0].finished
        assert header(outcome, "INVITE", "Referred-By") == [f"<sip:bob@{three.bob_at}>"]
        assert outcome.ended_by is EndedBy.REMOTE


async def test_an_attended_transfer_takes_the_consultation_over() -> None:
    plan = TransferPlan("sip:carol@{carol}", after=0.0, consult=0.1)
    async with trio(plan) as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.further["carol"])
        consulted, taken_over = three.came["carol"][0], three.further["carol"][0]
        assert (await consulted.finished).ended_by is not None
        await ours.finished
        theirs = await three.came["bob"][0].finished
        (transfer,) = theirs.transfers
        assert (transfer.transfer_code, transfer.replaces) == (200, True)
        assert not taken_over.over
        three.further["alice"][0].hangup()
        outcome = await taken_over.finished
        assert outcome.sip_code == 200
        assert header(outcome, "INVITE", "Replaces")
        assert header(outcome, "INVITE", "Require") == ["replaces"]


async def test_a_transfer_is_declined_unless_it_was_permitted_and_the_call_goes_on() -> None:
    async with trio("sip:carol@{carol}") as three:
        ours = three.call()
        await three.until(lambda: three.came["bob"] and three.came["bob"][0].facts.transfers)
        assert not ours.over
        assert not three.came["carol"]
        ours.hangup()
        theirs = await three.came["bob"][0].finished
        assert theirs.transfers[0].sip_code == 603
        verdict, blame, reason = judge_transfers(theirs) or (None, None, "")
        assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
        assert "603" in reason
        assert (await ours.finished).remarks


@pytest.mark.parametrize(
    "target", ["sip:1234@203.0.113.5", "sip:+1900555@203.0.113.5:5060", "sip:x@169.254.169.254"]
)
async def test_a_refer_to_a_forbidden_target_is_refused_and_told(target: str) -> None:
    async with trio(None) as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.came["bob"] and three.came["bob"][0].answered and ours.answered)
        # Bob's own policy would not even ask; a hostile bob does.
        outcome = await three.came["bob"][0].transfer(target).finished
        assert outcome.sip_code == 403
        await three.alice.hang_up_all()
        remarks = " ".join((await ours.finished).remarks)
        assert f"call {target} (REFER): refused" in remarks


async def test_our_own_policy_keeps_us_from_sending_others_where_we_may_not_call() -> None:
    async with trio("sip:1234@203.0.113.5") as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.came["bob"] and three.came["bob"][0].facts.transfers)
        ours.hangup()
        (transfer,) = (await three.came["bob"][0].finished).transfers
        assert (transfer.failure, transfer.sip_code) == (Failure.POLICY, None)
        assert judge_request(transfer)[0] is Verdict.ERROR


async def test_a_busy_target_is_told_and_leaves_the_call_with_the_transferor() -> None:
    busy = AnswerPlan(media=QUIET, reject=486, ring_after=-1.0)
    async with trio("sip:carol@{carol}", carol=busy) as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.came["bob"] and three.came["bob"][0].facts.transfers)
        assert not ours.over
        ours.hangup()
        (transfer,) = (await three.came["bob"][0].finished).transfers
        assert (transfer.transfer_code, transfer.transfer_reason) == (486, "Busy Here")
        assert judge_request(transfer)[2] == "The transfer of alice to carol failed with 486 Busy Here."


async def test_nobody_is_transferred_to_who_does_not_answer_the_consultation() -> None:
    busy = AnswerPlan(media=QUIET, reject=486, ring_after=-1.0)
    async with trio(TransferPlan("sip:carol@{carol}", 0.0, 0.1), carol=busy) as three:
        ours = three.call(transfers=True)
        await three.until(lambda: three.came["bob"] and three.came["bob"][0].facts.transfers)
        ours.hangup()
        (transfer,) = (await three.came["bob"][0].finished).transfers
        assert judge_request(transfer)[2] == "The transfer to carol never began: 486 Busy Here."
