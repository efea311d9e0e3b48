"""SIGKILL of the PBX in the middle of many calls: each leaves its records, and phones stay reachable."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from callwright.net.tap import Packet
from callwright.outcome.call import CallOutcome
from callwright.outcome.terms import EndedBy
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from tests.chaos.test_guardian import of_kind
from tests.kit.served import Served, serving

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CALLS = int(os.environ.get("CALLWRIGHT_CHAOS_CALLS", "20"))
SILENT = MediaPlan(enabled=False)
CALLERS = 1 + CALLS // 80  # one account has at most a hundred calls
AT_ONCE = 20
PATIENCE = 60.0


class Api:
    """The telephony chapter, as an administrator."""

    def __init__(self, platform: Served) -> None:
        base = f"{platform.url}/v1.2/voipstudio"
        answer = httpx.post(f"{base}/login", json={"email": "admin@localhost", "password": platform.password})
        headers = {"X-Auth-Token": answer.json()["user_token"]}
        self._client = httpx.Client(base_url=base, headers=headers, timeout=30)
        self.sip: str = self._client.get("/pbx").json()["data"]["udp"]

    def user(self, ext: str) -> Account:
        fields = {"first_name": "User", "last_name": ext, "email": f"u{ext}@example.com", "ext": ext}
        answer = self._client.post("/users", json=fields)
        assert answer.status_code == 201, answer.text
        return Account(ext, answer.json()["data"]["sip_password"])

    def cdrs(self) -> list[dict[str, Any]]:
        page = self._client.get("/cdrs", params={"limit": 5000}).json()
        assert page["total"] == len(page["data"])
        rows: list[dict[str, Any]] = page["data"]
        return rows


async def settled(api: Api, wanted: int) -> list[dict[str, Any]]:
    """The records, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            rows = await asyncio.to_thread(api.cdrs)
        except httpx.HTTPError:
            rows = []
        if len(rows) >= wanted:
            return rows
        assert time.monotonic() < deadline, f"{len(rows)} of {wanted} records"
        await asyncio.sleep(0.2)


async def placed(
    phones: Sequence[tuple[Phone, Account]], uri: str, over: list[CallOutcome], chance: random.Random
) -> list[asyncio.Future[CallOutcome]]:
    """All calls, as many at once as phones really place; every second one is a long one."""
    gate = asyncio.Semaphore(AT_ONCE)
    answered: list[asyncio.Future[CallOutcome]] = []

    async def place(number: int) -> None:
        phone, account = phones[number % len(phones)]
        long = number % 2 == 0
        plan = CallPlan(uri, SILENT, account=account, talk_for=1_000 if long else chance.uniform(0.2, 2.0))
        async with gate:
            call = phone.call(plan)
            answered.append(call.finished)
            call.finished.add_done_callback(lambda done: over.append(done.result()))
            while not (call.answered or call.finished.done()):
                await asyncio.sleep(0.02)

    await asyncio.gather(*(place(number) for number in range(CALLS)))
    return answered


async def test_a_pbx_that_is_killed_in_the_middle_of_many_calls_has_lost_none(tmp_path: Path) -> None:
    registers: list[bytes] = []

    def tap(packets: Sequence[Packet]) -> None:
        registers.extend(
            packet.data for packet in packets if packet.direction == "out" and packet.data[:8] == b"REGISTER"
        )

    chance, over = random.Random(7), list[CallOutcome]()
    with serving(tmp_path) as platform:
        api = Api(platform)
        callee = api.user("5000")
        accounts = [api.user(str(5001 + number)) for number in range(CALLERS)]
        async with Phone(PhoneConfig(bind="127.0.0.1", user="5000"), taps=[tap]) as bob:
            bob.on_call = lambda _: AnswerPlan(SILENT)
            assert await bob.register(f"sip:{api.sip}", account=callee).first
            phones = [Phone(PhoneConfig(bind="127.0.0.1", user=one.user)) for one in accounts]
            uri = f"sip:5000@{api.sip}"
            calls = await placed(list(zip(phones, accounts, strict=True)), uri, over, chance)
            while len(over) < CALLS // 3:
                await asyncio.sleep(0.01)
            (pbx,) = of_kind(platform.children(), b"--messages")
            os.kill(pbx, signal.SIGKILL)
            before = len(over)
            killed_at = time.time()
            async with asyncio.timeout(PATIENCE):
                outcomes = await asyncio.gather(*calls)
            rows = await settled(api, 2 * CALLS)
            again = await reached(phones[0], accounts[0], uri)
            assert again.sip_code == 200
            assert len(registers) == 2, "Bob has not registered anew: the first, and the one with credentials"
            for phone in phones:
                await phone.close()
    print(f"{CALLS} calls; {before} had ended when the PBX was killed")
    check(outcomes, rows, killed_at)


async def reached(phone: Phone, account: Account, uri: str) -> CallOutcome:
    """A call to a phone that the new process has not heard of, once that process is there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        outcome = await phone.call(CallPlan(uri, SILENT, account=account, talk_for=0.1, ring_for=5)).finished
        if outcome.sip_code is not None or time.monotonic() > deadline:
            return outcome


def check(outcomes: Sequence[CallOutcome], rows: Sequence[dict[str, Any]], killed_at: float) -> None:
    """One record a leg, with the times that the phones measured; those that were cut say so."""
    legs = Counter((row["live_id"], row["type"]) for row in rows)
    assert set(legs.values()) == {1}
    assert Counter(kind for _, kind in legs) == {"O": CALLS, "I": CALLS}
    out = {row["call_id"]: row for row in rows if row["type"] == "O"}
    into = {row["live_id"]: row for row in rows if row["type"] == "I"}
    cut = ended = 0
    for outcome in outcomes:
        row = out[outcome.call_id]
        assert row["disposition"] == "ANSWERED"
        assert outcome.duration_ms is not None
        assert outcome.started_at is not None
        assert into[row["live_id"]]["billsec"] == row["billsec"]
        measured = outcome.duration_ms / 1000
        if "ended before this call did" in row["info"]:
            cut += 1
            assert outcome.ended_by is EndedBy.REMOTE or outcome.started_at + measured > killed_at - 1, row
            assert row["billsec"] <= measured + 1
        else:
            ended += 1
            assert row["t_cause"] == 16
            assert abs(row["billsec"] - measured) <= 1.0, (row, measured)
    assert cut
    assert ended
    print(f"{ended} ended with their own times, {cut} were closed at the restart")
