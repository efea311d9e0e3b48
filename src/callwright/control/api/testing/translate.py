"""From the platform's records to the answers of this chapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from callwright.control import awaiting
from callwright.control.agents.model import Agent, Enrolment, Pool
from callwright.control.api.answers import utc, utc_or_none
from callwright.control.api.links import Links
from callwright.control.api.testing import schemas
from callwright.control.awaiting import Awaited
from callwright.control.projects.model import Project
from callwright.control.runs import model as runs
from callwright.control.servers.model import Decided, ServerRecord
from callwright.control.targets.model import TargetRow
from callwright.control.tests.masking import masked_parameters
from callwright.control.tests.model import CatalogueEntry, Test
from callwright.control.together import Together
from callwright.evidence.redaction import Redactor
from callwright.fleet.pool import SETTINGS
from callwright.fleet.pool import Pool as FleetPool
from callwright.fleet.server import State
from callwright.fleet.words import sentence


def parameters(views: Sequence[dict[str, Any]]) -> list[schemas.Parameter]:
    """Of those that are stored with a test; of secret headers only that there is one."""
    return msgspec.convert(masked_parameters(views), list[schemas.Parameter])


def test_row(test: Test) -> schemas.TestRow:
    return schemas.TestRow(**_test(test))


def test_detail(test: Test, document: str) -> schemas.TestDetail:
    return schemas.TestDetail(**_test(test), document=document)


def _test(test: Test) -> dict[str, Any]:
    return {
        "id": test.id,
        "name": test.name,
        "title": test.title,
        "testcase_name": test.title,
        "description": test.description,
        "project_id": test.project_id,
        "project_name": test.project_name,
        "tags": list(test.tags),
        "version": test.version,
        "created_at": utc(test.created_at),
        "updated_at": utc(test.updated_at),
        "parameters": parameters(test.parameters),
    }


def testcase(entry: CatalogueEntry) -> schemas.Testcase:
    return schemas.Testcase(
        name=entry.name,
        title=entry.title,
        description=" ".join(entry.description.split()),
        tags=list(entry.tags),
        parameters=parameters(entry.parameters),
        document=entry.document,
    )


def _status(run: runs.Run) -> dict[str, Any]:
    status = run.status
    return {
        "agentpool_name": run.pool,
        "has_passed": int(status == "passed"),
        "id": run.id,
        "is_failed": int(status == "failed"),
        "is_finished": int(run.finished),
        "project_id": run.project_id,
        "project_name": run.project_name,
        "result_description": "" if run.status == "passed" else Redactor().text(run.result_description),
        "session_id": run.session_id,
        "started_at": utc_or_none(run.started_at),
        "status": status,
        "session_status": status,
        "stopped_at": utc_or_none(run.stopped_at),
        "tags": msgspec.json.encode(run.tags).decode(),
        "test_id": run.test_id,
        "test_name": run.test_name,
        "testcase_name": run.testcase_name,
        "phase": str(run.phase),
    }


def run_status(run: runs.Run) -> schemas.RunStatus:
    return schemas.RunStatus(**_status(run))


def _row(run: runs.Run, links: Links) -> dict[str, Any]:
    return _status(run) | {
        "verdict": run.verdict,
        "blame": run.blame,
        "attempt": run.attempt,
        "created_at": utc(run.created_at),
        "started_by": run.started_by,
        "report_url": links.report(run.session_id),
        "status_url": links.status(run.session_id),
    }


def run_row(run: runs.Run, links: Links) -> schemas.RunRow:
    return schemas.RunRow(**_row(run, links))


class RunRows:
    """`run_row` as it goes into an answer, kept for as long as the run's record stays the same: who polls a
    list asks for rows that have ended long ago."""

    def __init__(self, most: int = 8_192) -> None:
        self._most = most
        self._base = ""  # of the links in what is kept: nearly always the same
        self._known: dict[int, tuple[runs.Run, msgspec.Raw]] = {}

    def of(self, records: Iterable[runs.Run], links: Links) -> list[msgspec.Raw]:
        if links.base != self._base:
            self._known, self._base = {}, links.base
        known, rows = self._known, []
        for run in records:
            kept = known.get(run.id)
            if kept is None or kept[0] != run:
                kept = self._keep(run, links)
            rows.append(kept[1])
        return rows

    def _keep(self, run: runs.Run, links: Links) -> tuple[runs.Run, msgspec.Raw]:
        if len(self._known) >= self._most:
            self._known.clear()
        kept = self._known[run.id] = run, msgspec.Raw(msgspec.json.encode(run_row(run, links)))
        return kept


def run_detail(
    run: runs.Run,
    shown: Mapping[str, Any],
    outcome: Mapping[str, Any],
    evidence: Sequence[runs.Evidence],
    links: Links,
    kiosk_token: str | None,
    waiting: runs.Waiting | None = None,
    waits_for: Awaited | None = None,
    agent_name: str | None = None,
    beside: Together | None = None,
) -> schemas.RunDetail:
    """`outcome` is the document run.json, empty while there is none; an older agent sent it unredacted."""
    outcome = Redactor().document(outcome)
    return schemas.RunDetail(
        **_row(run, links),
        agent_name=agent_name,
        waiting=_waiting(waiting),
        waiting_for=awaiting.sentence(waits_for) if waits_for is not None else None,
        kiosk_url=links.report(run.session_id, kiosk_token) if kiosk_token else None,
        kiosk_expires_at=utc_or_none(run.kiosk_until) if kiosk_token else None,
        parameters=Redactor().document(shown),
        conditions=list(outcome.get("conditions") or ()),
        calls=list(outcome.get("calls") or ()),
        registrations=list(outcome.get("registrations") or ()),
        requests=list(outcome.get("requests") or ()),
        phases=list(outcome.get("phases") or ()),
        warnings=list(outcome.get("warnings") or ()),
        evidence=[evidence_file(run, file, links) for file in evidence],
        evidence_due=run.files_due,
        together=_together(beside),
    )


def _together(found: Together | None) -> schemas.Together | None:
    if found is None:
        return None
    return schemas.Together(
        servers=len(found.parts),
        spread_ms=None if found.spread_ms is None else round(found.spread_ms, 3),
        error_ms=None if found.error_ms is None else round(found.error_ms, 3),
        runs=[
            schemas.Beginning(
                session_id=part.run.session_id,
                agent_name=part.agent,
                status=part.run.status,
                phase=str(part.run.phase),
                began_at=part.run.begun_at,
                error_ms=part.run.begun_error_ms,
            )
            for part in found.parts
        ],
    )


def _waiting(waiting: runs.Waiting | None) -> schemas.Waiting | None:
    if waiting is None:
        return None
    seconds = None if waiting.seconds is None else round(waiting.seconds, 1)
    return schemas.Waiting(ahead=waiting.ahead, seconds=seconds)


def evidence_file(run: runs.Run, file: runs.Evidence, links: Links) -> schemas.EvidenceFile:
    return schemas.EvidenceFile(
        name=file.name,
        size=file.size,
        media_type=file.media_type,
        sha256=file.sha256,
        url=links.evidence(run.session_id, file.name),
    )


def call_metrics(call: Mapping[str, Any]) -> schemas.CallMetrics:
    received = dict(call.get("received") or {})
    return schemas.CallMetrics(
        id=str(call.get("id") or ""),
        party=call.get("party"),
        direction=str(call.get("direction") or ""),
        mos=received.get("mos"),
        band=call.get("band"),
        pdd_ms=call.get("pdd_ms"),
        setup_ms=call.get("setup_ms"),
        duration_ms=call.get("duration_ms"),
        sent=dict(call.get("sent") or {}),
        received=received,
        causes=dict(call.get("causes") or {}),
        jitter_buffers=list(call.get("jitter_buffers") or ()),
        seconds=list(call.get("seconds") or ()),
    )


def agent(record: Agent, wall: float) -> schemas.Agent:
    spool = record.spool
    return schemas.Agent(
        id=str(record.id),
        name=record.name,
        pool=record.pool,
        state=str(record.state),
        alive=record.alive(wall),
        version=record.version,
        capacity=record.capacity,
        busy=record.busy,
        codecs=list(record.codecs),
        labels=record.labels,
        enrolled_at=utc(record.enrolled_at),
        last_seen_at=utc_or_none(record.last_seen_at),
        spool=schemas.AgentSpool(
            waiting_bytes=spool.octets,
            limit_bytes=spool.limit,
            waiting_runs=spool.runs,
            dropped_files=spool.dropped,
        ),
        protocol=record.protocol,
    )


def pool(
    record: Pool,
    agents: Sequence[Agent],
    wall: float,
    projects: Iterable[Project] = (),
) -> schemas.Pool:
    mine = [one for one in agents if one.pool == record.name]
    alive = [one for one in mine if one.alive(wall)]
    return schemas.Pool(
        id=record.id,
        name=record.name,
        project=next((one.name for one in projects if one.id == record.project_id), None),
        agents=len(mine),
        alive=len(alive),
        capacity=sum(one.capacity for one in alive),
        busy=sum(one.busy for one in alive),
    )


def fleet_pool(
    owner: Pool,
    settings: FleetPool,
    servers: Sequence[ServerRecord],
    agents: Sequence[Agent],
    decided: Sequence[Decided],
    wall: float,
    projects: Iterable[Project] = (),
) -> schemas.FleetPool:
    seen = pool(owner, agents, wall, projects)
    by_id = {one.id: one for one in agents}
    return schemas.FleetPool(
        id=seen.id,
        name=seen.name,
        project=seen.project,
        **{name: getattr(settings, name) for name in SETTINGS if name not in ("sizes", "labels", "prices")},
        sizes=list(settings.sizes),
        labels=dict(settings.labels),
        prices=dict(settings.prices),
        removed=settings.removed,
        agents=seen.agents,
        alive=seen.alive,
        places=seen.capacity,
        busy=seen.busy,
        servers=[
            _fleet_server(one, by_id.get(one.agent_id or "")) for one in servers if one.state != State.STOPPED
        ],
        reasons=[
            schemas.FleetReason(
                at=utc(one.at),
                sentence=sentence(one.decision),
                cause=str(one.decision.cause),
                bound=None if one.decision.bound is None else str(one.decision.bound),
            )
            for one in decided
        ],
    )


def _fleet_server(record: ServerRecord, agent: Agent | None) -> schemas.FleetServer:
    return schemas.FleetServer(
        name=record.name,
        label=record.label,
        provider=record.provider,
        state=str(record.state),
        since=utc(record.since),
        region=record.region,
        size=record.size,
        address=record.host,
        capacity=record.capacity,
        busy=None if agent is None else agent.busy,
        version=record.version,
        heard_at=None if agent is None else utc_or_none(agent.last_seen_at),
        error=record.error,
    )


def enrolment(record: Enrolment, token: str | None = None) -> schemas.EnrolmentToken:
    return schemas.EnrolmentToken(
        id=record.id,
        pool=record.pool,
        created_at=utc(record.created_at),
        expires_at=utc(record.expires_at),
        used_at=utc_or_none(record.used_at),
        agent_id=None if record.agent_id is None else str(record.agent_id),
        token=token,
    )


def target(record: TargetRow) -> schemas.Target:
    return schemas.Target(
        id=record.id,
        host=record.host,
        network=record.network,
        number=record.number,
        country=record.country,
        rate=record.rate,
        concurrency=record.concurrency,
        minutes=record.minutes,
        note=record.note,
        created_by=record.created_by,
        created_at=utc(record.created_at),
    )


def started(links: Links, run: runs.Run, kiosk_token: str | None = None) -> schemas.Started:
    return schemas.Started(
        report_url=links.report(run.session_id, kiosk_token),
        session_id=run.session_id,
        status_url=links.status(run.session_id),
    )
