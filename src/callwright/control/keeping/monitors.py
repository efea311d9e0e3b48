"""Monitors between the database and the agents: plans go out, readings come in, history is rolled up."""

from __future__ import annotations

import asyncio
import logging

from callwright.control.errors import DomainError
from callwright.control.keeping.carrying import Carrying
from callwright.control.monitors.measurements import Measurements
from callwright.control.monitors.model import Category, Planned, SlotState, StoredReading
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.messages.monitors import (
    MONITORS_IN_PAGE,
    Monitor,
    Plan,
    PlanRequest,
    Reading,
    Readings,
    phase_of,
)
from callwright.dispatch.messages.runs import JobPolicy, PolicyTarget
from callwright.dispatch.messages.wire import Answer, decode, encode
from callwright.evidence.shown import one_line

__all__ = ["MonitorKeeper"]

_log = logging.getLogger(__name__)
_EVERY = 30.0  # seconds between two looks for hours that are over
_LONGEST_REASON = 500  # characters


class MonitorKeeper:
    """`own`: as for jobs, (numeric host, port) of PBXs of the platform."""

    def __init__(
        self, measurements: Measurements, carrying: Carrying, *, own: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self._measurements, self._carrying, self._own = measurements, carrying, own

    async def subscribe(self) -> None:
        """Raises Unavailable."""
        await self._carrying.subscribe_aside(subject.of_agents(subject.PLAN), self._plan)
        await self._carrying.subscribe_aside(subject.of_agents(subject.READINGS), self._take)

    async def revision(self, agent_id: str) -> int | None:
        """Of the agent's plan, for its heartbeats; None: it has none."""
        return await self._measurements.revision(agent_id)

    async def _plan(self, message: Message) -> None:
        agent_id = subject.sender(message.subject)
        after = decode(PlanRequest, message.data).after
        revision = await self._measurements.revision(agent_id)
        if revision is None:
            await message.respond(encode(Plan(0)))
            return
        rows = await self._measurements.planned(agent_id, after, MONITORS_IN_PAGE + 1)
        page = rows[:MONITORS_IN_PAGE]
        policy = await self._policy()
        accounts = {
            project_id: await self._measurements.accounts(project_id)
            for project_id in {row.project_id for row in page if row.credentials}
        }
        monitors = tuple(
            _monitor(row, accounts.get(row.project_id, {}).get(row.credentials, {})) for row in page
        )
        await message.respond(encode(Plan(revision, monitors, len(rows) > len(page), policy)))

    async def _policy(self) -> JobPolicy:
        rows = await self._measurements.targets()
        targets = tuple(
            PolicyTarget(
                row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country
            )
            for row in rows
        )
        return JobPolicy(targets, self._own, self._measurements.embedded)

    async def _take(self, message: Message) -> None:
        batch = decode(Readings, message.data).readings
        rows = [row for one in batch if (row := _stored(one)) is not None]
        await self._measurements.take(subject.sender(message.subject), rows)
        await message.respond(encode(Answer(True)))

    async def keep(self) -> None:
        """Rolls up hours that are over, until it is canceled."""
        while True:
            try:
                while await self._measurements.roll_up():
                    await asyncio.sleep(0)
                await self._measurements.forget_old()
            except DomainError as error:
                _log.warning("the history of monitors was not rolled up: %s", error)
            except Exception:
                _log.exception("an exception with the history of monitors")
            await asyncio.sleep(_EVERY)


def _monitor(row: Planned, account: dict[str, str]) -> Monitor:
    signalled = row.category in (Category.SIP, Category.CALL, Category.REGISTER)
    return Monitor(
        monitor_id=row.voip_test_id,
        category=str(row.category),
        target=row.uri if signalled and row.uri else row.ip_address,
        interval=row.interval,
        phase=phase_of(row.voip_test_id, row.interval),
        port=row.port,
        packets=row.num_tests,
        interpacket_ms=row.interpacket_ms,
        codec=row.codec,
        transport=row.transport,
        credentials=account,
    )


def _stored(one: Reading) -> StoredReading | None:
    if one.state not in list(SlotState):
        return None
    return StoredReading(
        one.monitor_id,
        one.slot,
        SlotState(one.state),
        one.at,
        one_line(one.reason, _LONGEST_REASON),
        one.verdict[:20] if one.verdict.isascii() and one.verdict.isalpha() else "",
        one.figures,
    )
