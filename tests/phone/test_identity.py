"""Two phones of ours: what one says of its caller, and what the other thinks of it."""

from __future__ import annotations

import asyncio
import time

import pytest

from callwright.identity.authority import INFO, Authority
from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call
from callwright.outcome.terms import Failure, Verdict
from callwright.phone.identity import IdentityCheck, IdentityPlan
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig

AUTHORITY = Authority(time.time())
SIGNER, IMPOSTER = AUTHORITY.signer(), AUTHORITY.signer()
STORE = AUTHORITY.store(SIGNER)
SILENT = MediaPlan(enabled=False)


async def call(
    identity: IdentityPlan | None, check: IdentityCheck | None = None
) -> tuple[CallOutcome, CallOutcome]:
    """What became of it at the caller, and at the callee."""
    taken: asyncio.Queue[asyncio.Future[CallOutcome]] = asyncio.Queue()
    async with (
        Phone(PhoneConfig(bind="127.0.0.1")) as bob,
        Phone(PhoneConfig(bind="127.0.0.1")) as alice,
        asyncio.timeout(20),
    ):
        address = await bob.listen("127.0.0.1", 0)
        bob.on_call = lambda received: AnswerPlan(media=SILENT, identity=check)
        bob.on_incoming = lambda incoming: taken.put_nowait(incoming.finished)
        plan = CallPlan(
            f"sip:43456@{address}", account=Account("43123"), media=SILENT, talk_for=0.05, identity=identity
        )
        placed = await alice.call(plan).finished
        return placed, await (await taken.get())


def plan(mistake: str = "", **wishes: str) -> IdentityPlan:
    return IdentityPlan(signer=SIGNER, info=INFO, mistake=mistake, imposter=IMPOSTER, **wishes)


async def test_a_signed_call_is_verified_and_answered() -> None:
    placed, received = await call(plan(attest="B"), IdentityCheck(STORE))
    assert placed.sip_code == 200
    assert received.identity is not None
    assert (received.identity.verdict, received.identity.attest) == ("valid", "B")


@pytest.mark.parametrize(
    ("mistake", "code"),
    [("wrong_key", 438), ("stale", 403), ("wrong_number", 438), ("alg_none", 438), ("huge", 438)],
)
async def test_a_token_that_does_not_hold_is_refused_with_its_code(mistake: str, code: int) -> None:
    placed, received = await call(plan(mistake), IdentityCheck(STORE))
    assert placed.sip_code == code
    assert received.identity is not None
    assert received.identity.code == code
    assert received.failure is Failure.IDENTITY
    verdict, _, reason = judge_call(received)
    assert verdict is Verdict.FAILED
    assert received.identity.reason.lower().rstrip(".") in reason.lower()


async def test_a_call_without_identity_is_refused_with_428_or_answered_and_told() -> None:
    placed, _ = await call(None, IdentityCheck(STORE))
    assert placed.sip_code == 428
    placed, received = await call(None, IdentityCheck(STORE, require=False))
    assert placed.sip_code == 200
    assert received.identity is not None
    assert received.identity.verdict == "absent"


async def test_privacy_hides_from_and_says_who_it_is_to_those_in_between() -> None:
    wishes = IdentityPlan(preferred="<sip:43123@example.com>", privacy="id")
    _, received = await call(wishes)
    assert (received.caller_identity, received.caller_name) == ("anonymous", "Anonymous")
    assert (received.preferred_identity, received.privacy) == ("<sip:43123@example.com>", "id")
    assert received.identity is None


async def test_a_hidden_caller_is_signed_for_by_the_asserted_identity() -> None:
    signed = plan(asserted="<sip:43777@example.com>", privacy="id")
    _, received = await call(signed, IdentityCheck(STORE))
    assert received.identity is not None
    assert (received.identity.verdict, received.identity.orig) == ("valid", "43777")
