"""Runs: list, look at, listen to, stop, share; and what they leave behind."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.answers import Data, utc_or_none
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.files import file_answer
from callwright.control.api.links import links_of
from callwright.control.api.openapi import body_of
from callwright.control.api.pages import Limit, Page, next_page
from callwright.control.api.request import MaybeId, MaybeWord, broker_of, services_of, settings_of
from callwright.control.api.testing import schemas, translate, wishes
from callwright.control.api.testing.live import follow
from callwright.control.awaiting import awaited
from callwright.control.errors import NotFound
from callwright.control.runs.model import Evidence, Run, RunFilter
from callwright.control.services import Services
from callwright.control.together import together
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome

TAGS = ["runs"]
_Request = Request[Any, Any, Any]
_PATIENCE = 10.0  # seconds that a list waits for files of a run that has just ended
_READ = {"right": Right.READ}
_CAPTURE, _LADDER, _JUNIT, _REPORT = "signalling.pcap", "ladder.json", "junit.xml", "report.html"


_rows = translate.RunRows()


@get("/runs", opt=_READ, tags=TAGS, summary="List runs, newest first")
async def list_runs(
    request: _Request,
    status: MaybeWord = None,
    phase: MaybeWord = None,
    project_id: MaybeId = None,
    test_id: MaybeId = None,
    test_name: MaybeWord = None,
    agentpool_name: MaybeWord = None,
    tag: MaybeWord = None,
    blame: MaybeWord = None,
    search: MaybeWord = None,
    since: MaybeWord = None,
    until: MaybeWord = None,
    after: MaybeId = None,
    limit: Limit = 100,
) -> Page[schemas.RunRow]:
    """`after`: the id of the last row that is known; `next` in the answer has the whole URL."""
    wanted = RunFilter(
        status=status,
        phase=phase,
        project_id=project_id,
        test_id=test_id,
        test_name=test_name,
        pool=agentpool_name,
        tag=tag,
        blame=blame,
        search=search,
        since=take.moment(since, "since"),
        until=take.moment(until, "until"),
    )
    rows = await services_of(request).runs.list(identity_of(request), wanted, after=after, limit=limit)
    data: list[Any] = [*_rows.of(rows, links_of(request))]
    return Page(
        data=data,
        next=next_page(request, after=rows[-1].id) if len(rows) == limit else None,
    )


@get("/runs/{run_id:str}", opt=_READ, tags=TAGS, summary="Verdict, conditions, calls and files of a run")
async def get_run(request: _Request, run_id: FromPath[str]) -> Data[schemas.RunDetail]:
    services, links = services_of(request), links_of(request)
    runs = services.runs
    run = await runs.get(identity_of(request), run_id)
    detail = await runs.detail(run)
    outcome = msgspec.json.decode(detail.outcome, type=dict[str, Any]) if detail.outcome else {}
    files = await services.evidence.arrived(run, patience=_PATIENCE)
    waiting = await runs.waiting(run)
    waits_for = await awaited(services, run, patience=max(15.0, settings_of(request).lease))
    token, agent = runs.kiosk_token(run), await _agent_name(services, run)
    beside = await together(services, run)
    return Data(
        data=translate.run_detail(
            run,
            detail.shown,
            outcome,
            files,
            links,
            token,
            waiting,
            waits_for,
            agent_name=agent,
            beside=beside,
        )
    )


async def _agent_name(services: Services, run: Run) -> str | None:
    if run.agent_id is None:
        return None
    with contextlib.suppress(NotFound):
        return (await services.agents.get(run.agent_id)).name
    return None


@get("/runs/{run_id:str}/status", opt=_READ, tags=TAGS, summary="State of a run")
async def get_status(request: _Request, run_id: FromPath[str]) -> schemas.RunAnswer:
    run = await services_of(request).runs.get(identity_of(request), run_id)
    return schemas.RunAnswer(run=translate.run_status(run))


@get(
    "/runs/{run_id:str}/events",
    opt=_READ,
    tags=TAGS,
    summary="What a run is doing now (server-sent events)",
    media_type="text/event-stream",
)
async def get_events(request: _Request, run_id: FromPath[str]) -> Response[Any]:
    """`run`: the status, first and at each change; `progress`: call states and figures of each second; `end`:
    there is nothing more to come.
    """
    services = services_of(request)
    run = await services.runs.get(identity_of(request), run_id)
    return ServerSentEvent(
        follow(services, broker_of(request), identity_of(request), run),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@get(
    "/runs/{run_id:str}/sip",
    opt=_READ | {"file": "application/json"},
    tags=TAGS,
    summary="The ladder: every message, explained",
)
async def get_sip(request: _Request, run_id: FromPath[str]) -> Response[Any]:
    return await _file(request, run_id, _LADDER, attachment=False)


@get(
    "/runs/{run_id:str}/pcap",
    opt=_READ | {"file": "application/vnd.tcpdump.pcap"},
    tags=TAGS,
    summary="The capture",
)
async def get_pcap(request: _Request, run_id: FromPath[str]) -> Response[Any]:
    return await _file(request, run_id, _CAPTURE)


@get(
    "/runs/{run_id:str}/junit",
    opt=_READ | {"file": "application/xml"},
    tags=TAGS,
    summary="The result as JUnit XML",
)
async def get_junit(request: _Request, run_id: FromPath[str]) -> Response[Any]:
    return await _file(request, run_id, _JUNIT, attachment=False)


@get("/runs/{run_id:str}/audio", opt=_READ, tags=TAGS, summary="The recordings")
async def list_audio(request: _Request, run_id: FromPath[str]) -> Data[list[schemas.EvidenceFile]]:
    return Data(data=[file for file in await _files(request, run_id) if file.media_type.startswith("audio/")])


@get("/runs/{run_id:str}/evidence", opt=_READ, tags=TAGS, summary="All files of a run")
async def list_evidence(request: _Request, run_id: FromPath[str]) -> Data[list[schemas.EvidenceFile]]:
    return Data(data=await _files(request, run_id))


@get(
    "/runs/{run_id:str}/evidence/{name:path}",
    opt=_READ | {"file": "*/*"},
    tags=TAGS,
    summary="One file of a run",
)
async def get_evidence(request: _Request, run_id: FromPath[str], name: FromPath[str]) -> Response[Any]:
    return await _file(request, run_id, str(name).lstrip("/"))


@get("/runs/{run_id:str}/metrics", opt=_READ, tags=TAGS, summary="Figures of each call, second by second")
async def get_metrics(request: _Request, run_id: FromPath[str]) -> Data[list[schemas.CallMetrics]]:
    runs = services_of(request).runs
    detail = await runs.detail(await runs.get(identity_of(request), run_id))
    outcome = msgspec.json.decode(detail.outcome, type=dict[str, Any]) if detail.outcome else {}
    return Data(data=[translate.call_metrics(call) for call in outcome.get("calls") or ()])


@get(
    "/runs/{run_id:str}/reconciliation",
    opt=_READ,
    tags=TAGS,
    summary="Its calls beside the call records of the system under test",
)
async def get_reconciliation(request: _Request, run_id: FromPath[str]) -> Data[schemas.Reconciliation]:
    """Records are those of the telephony chapter, imported ones too; one sees those that one may see there. A
    record is found by its Call-ID, else by number and begin."""
    services, identity = services_of(request), identity_of(request)
    detail = await services.runs.detail(await services.runs.get(identity, run_id))
    calls: tuple[CallOutcome, ...] = ()
    if detail.outcome:
        with contextlib.suppress(ValueError):  # of another version: it has no calls that could be told
            calls = RunOutcome.from_json(msgspec.json.decode(detail.outcome)).calls
    legs = await services.cdrs.beside(identity, calls)
    return Data(
        data=schemas.Reconciliation(
            calls=len(legs),
            recorded=sum(leg.record is not None for leg in legs),
            differing=sum(bool(leg.differences) for leg in legs),
            legs=legs,
        )
    )


@post("/runs/{run_id:str}/stop", opt={"right": Right.RUN}, tags=TAGS, summary="Stop a run", status_code=200)
async def stop_run(request: _Request, run_id: FromPath[str]) -> schemas.RunAnswer:
    run = await services_of(request).runs.stop(identity_of(request), run_id)
    return schemas.RunAnswer(run=translate.run_status(run))


@post(
    "/runs/{run_id:str}/kiosk",
    opt={
        "right": Right.RUN,
        "body": body_of({"days": wishes.DAYS}, optional=True, example={"days": 7}),
    },
    tags=TAGS,
    summary="Make a public link, or update its expiry",
    status_code=200,
)
async def share_run(request: _Request, run_id: FromPath[str]) -> Data[schemas.Kiosk]:
    """Without `days` a link that is there stays as it is; a new one is good for 30 days."""
    fields = await read_fields(request)
    take.only(fields, ("days",))
    days = wishes.days(fields, "days")
    runs = services_of(request).runs
    run = await runs.share(identity_of(request), run_id, days=days, again="days" in fields)
    return _kiosk(request, run)


@delete(
    "/runs/{run_id:str}/kiosk",
    opt={"right": Right.RUN},
    tags=TAGS,
    summary="Revoke the public link",
    status_code=200,
)
async def unshare_run(request: _Request, run_id: FromPath[str]) -> Data[schemas.Kiosk]:
    runs = services_of(request).runs
    return _kiosk(request, await runs.revoke_kiosk(identity_of(request), run_id))


def _kiosk(request: _Request, run: Run) -> Data[schemas.Kiosk]:
    token = services_of(request).runs.kiosk_token(run)
    url = links_of(request).report(run.session_id, token) if token else None
    return Data(
        data=schemas.Kiosk(
            session_id=run.session_id,
            kiosk_url=url,
            expires_at=utc_or_none(run.kiosk_until) if url else None,
        )
    )


async def _evidence(request: _Request, run_id: str) -> tuple[Run, Sequence[Evidence]]:
    services = services_of(request)
    run = await services.runs.get(identity_of(request), run_id)
    return run, await services.evidence.arrived(run, patience=_PATIENCE)


async def _files(request: _Request, run_id: str) -> list[schemas.EvidenceFile]:
    run, files = await _evidence(request, run_id)
    return [translate.evidence_file(run, file, links_of(request)) for file in files]


async def _file(request: _Request, run_id: str, name: str, *, attachment: bool = True) -> Response[Any]:
    services = services_of(request)
    run = await services.runs.get(identity_of(request), run_id)
    try:
        file = await services.evidence.find(run, name)
    except NotFound:
        if run.finished:
            raise
        raise NotFound("file yet, since the run has not ended:", name) from None
    return await file_answer(request, services.evidence, file, attachment=attachment)


ROUTES: list[Any] = [
    list_runs,
    get_run,
    get_status,
    get_events,
    get_sip,
    get_pcap,
    get_junit,
    list_audio,
    list_evidence,
    get_evidence,
    get_metrics,
    get_reconciliation,
    stop_run,
    share_run,
    unshare_run,
]
