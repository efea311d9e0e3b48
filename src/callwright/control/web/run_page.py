"""A run's page: complete when it has ended, live while it goes on; for people without an account too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import ServerSentEvent, Stream

from callwright.control.accounts.model import Identity, Right
from callwright.control.api.archive import zipped
from callwright.control.api.files import file_answer
from callwright.control.errors import Invalid, LinkExpired, NotFound, StorageUnavailable
from callwright.control.runs.differences import Difference, Seen, changes_of_test, differences
from callwright.control.runs.model import Evidence, Run, RunDetail
from callwright.control.runs.records import KIOSK_DAYS
from callwright.control.runs.transitions import Phase
from callwright.control.tests.masking import masked_document
from callwright.control.together import together
from callwright.control.web import live, rendering
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go
from callwright.evidence.figures import milliseconds
from callwright.evidence.ladder import Ladder
from callwright.evidence.ladder_file import read_ladder
from callwright.evidence.page import EvidenceFile, run_page
from callwright.evidence.redaction import Redactor
from callwright.evidence.report import render_report
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict

LADDER = "ladder.json"
_PATIENCE = 3.0  # seconds that a page waits for files of a run that has just ended
_CAPTIONS = {
    "signalling.pcap": "SIP and RTP, opens in Wireshark",
    "run.json": "verdict, conditions, calls: for programs",
    LADDER: "the messages, raw and explained: for programs",
    "junit.xml": "for the build server",
    "report.html": "this run as one file, for a ticket",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished run with what it left behind."""

    run: Run
    detail: RunDetail
    outcome: RunOutcome
    ladder: Ladder
    files: tuple[Evidence, ...]
    unread: str
    """Why its files cannot be read now; empty when they can."""
    agent: str | None
    """Its name."""

    @property
    def seen(self) -> Seen:
        return Seen(
            self.outcome,
            self.ladder if self.ladder.rows else None,
            self.detail.test_version,
            self.agent,
        )


def routes(pages: Pages) -> list[Any]:
    runs = pages.services.runs

    @get("/run/details/{session_id:str}")
    async def show(request: WebRequest, session_id: FromPath[str]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        run = await runs.get(visitor.identity, session_id)
        frame = {**await pages.frame(request, visitor, "Runs"), **visitor.rights_in(run.project_id)}
        token = runs.kiosk_token(run)
        frame["kiosk_url"] = f"{pages.base_url(request)}/kiosk/{token}/{run.session_id}" if token else None
        base = f"/run/details/{run.session_id}"
        frame["together"] = await together(pages.services, run)
        if not run.finished:
            return rendering.page("run_live.html", {**frame, **await live.context(pages, run, base)})
        return rendering.page("run.html", {**frame, **await _finished(pages, run, base, visitor)})

    @get("/run/details/{session_id:str}/events")
    async def events(request: WebRequest, session_id: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        run = await runs.get(visitor.identity, session_id)
        return _stream(pages, run, identity=visitor.identity)

    @get("/run/details/{session_id:str}/files/{name:path}")
    async def file(request: WebRequest, session_id: FromPath[str], name: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        return await _file(pages, request, await runs.get(visitor.identity, session_id), name)

    @get("/run/details/{session_id:str}/evidence.zip")
    async def archive(request: WebRequest, session_id: FromPath[str]) -> Stream:
        visitor = await pages.visitor(request)
        return await _archive(pages, await runs.get(visitor.identity, session_id))

    @get("/run/details/{session_id:str}/report")
    async def report(request: WebRequest, session_id: FromPath[str]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        run = await runs.get(visitor.identity, session_id)
        return await _report(pages, run, f"{pages.base_url(request)}/run/details/{run.session_id}")

    @post("/run/details/{session_id:str}/{what:str}", status_code=303)
    async def act(request: WebRequest, session_id: FromPath[str], what: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        here = f"/run/details/{session_id}"
        match what:
            case "stop":
                await runs.stop(visitor.identity, session_id)
                return go(here, "stopped")
            case "share":
                days = _days(fields.get("days", ""))
                await runs.share(visitor.identity, session_id, days=days)
                return go(here, "extended" if fields.get("again") else "shared")
            case "unshare":
                await runs.revoke_kiosk(visitor.identity, session_id)
                return go(here, "unshared")
            case "again" | "plain":
                run = await runs.get(visitor.identity, session_id)
                # `plain`: as the test is written, which tells whether what was overridden is the cause.
                overrides = await runs.overrides(run) if what == "again" else {}
                test = await pages.services.tests.by_id(visitor.identity, run.test_id)
                pool = run.placement.pool if run.placed else run.pool
                again = await runs.start(
                    visitor.identity, test.name, overrides, project=test.project_name, pool=pool or None
                )
                return go(f"/run/details/{again.session_id}")
        raise NotFound("action", what)

    @get("/kiosk/{token:str}/{session_id:str}")
    async def kiosk(request: WebRequest, token: FromPath[str], session_id: FromPath[str]) -> Response[bytes]:
        run = await _shared(pages, token, session_id)
        if not isinstance(run, Run):
            return run
        base = f"/kiosk/{token}/{session_id}"
        frame = pages.frame_of_strangers()
        if not run.finished:
            context = await live.context(pages, run, base, kiosk=True)
            return rendering.page("run_live.html", {**frame, **context}, framed=True)
        return rendering.page("run.html", {**frame, **await _finished(pages, run, base, None)}, framed=True)

    @get("/kiosk/{token:str}/{session_id:str}/events")
    async def kiosk_events(token: FromPath[str], session_id: FromPath[str]) -> Response[Any]:
        run = await _shared(pages, token, session_id)
        return _stream(pages, run, token) if isinstance(run, Run) else run

    @get("/kiosk/{token:str}/{session_id:str}/files/{name:path}")
    async def kiosk_file(
        request: WebRequest, token: FromPath[str], session_id: FromPath[str], name: FromPath[str]
    ) -> Response[Any]:
        run = await _shared(pages, token, session_id)
        return await _file(pages, request, run, name) if isinstance(run, Run) else run

    @get("/kiosk/{token:str}/{session_id:str}/evidence.zip")
    async def kiosk_archive(token: FromPath[str], session_id: FromPath[str]) -> Response[Any]:
        run = await _shared(pages, token, session_id)
        return await _archive(pages, run) if isinstance(run, Run) else run

    @get("/kiosk/{token:str}/{session_id:str}/report")
    async def kiosk_report(token: FromPath[str], session_id: FromPath[str]) -> Response[bytes]:
        run = await _shared(pages, token, session_id)
        return await _report(pages, run, "") if isinstance(run, Run) else run

    shared = [kiosk, kiosk_events, kiosk_file, kiosk_archive, kiosk_report]
    return [show, events, file, archive, report, act, *shared]


async def _shared(pages: Pages, token: str, session_id: str) -> Run | Response[bytes]:
    """The run, or the page that says that the link is no good."""
    try:
        return await pages.services.runs.by_kiosk(token, session_id)
    except LinkExpired:
        return _refused("This link has expired", status=410)
    except NotFound:
        return _refused("This link is no longer valid", status=404)


def _refused(heading: str, *, status: int) -> Response[bytes]:
    """A revoked link says so and nothing more: not whether there ever was such a run."""
    remedy = "Ask who gave it to you for another one. Members of the project see the run when they sign in."
    context = {"heading": heading, "remedy": remedy, "home": False, "sign_in": True}
    return rendering.page("plain_problem.html", context, status=status)


def _days(text: str) -> float | None:
    """Of the form: a number of days, or `never`. Raises Invalid."""
    text = text.strip().lower()
    if text == "never":
        return None
    try:
        return float(text) if text else KIOSK_DAYS
    except ValueError:
        raise Invalid(f"{text[:40]!r} is not a number of days.", field="days") from None


def _stream(
    pages: Pages, run: Run, token: str | None = None, identity: Identity | None = None
) -> Response[Any]:
    return ServerSentEvent(
        live.follow(pages.services, run, token, identity),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _file(pages: Pages, request: WebRequest, run: Run, name: str) -> Response[Any]:
    evidence = pages.services.evidence
    entry = await evidence.find(run, str(name).lstrip("/"))
    return await file_answer(request, evidence, entry, attachment=not entry.media_type.startswith("audio/"))


async def _archive(pages: Pages, run: Run) -> Stream:
    """All files of the run as one .zip, made while it is sent."""
    evidence = pages.services.evidence
    files = await evidence.arrived(run)
    if not files:
        raise NotFound("file of run", str(run.id))
    headers = {
        "Content-Disposition": f'attachment; filename="callwright-run-{run.id}.zip"',
        "Cache-Control": "private, no-store",
    }
    return Stream(zipped(files, evidence.read), media_type="application/zip", headers=headers)


# -- a run that has ended ------------------------------------------------------------------------------------


async def stored(pages: Pages, run: Run, agents: Mapping[str, str]) -> Stored:
    """What is kept of it; a run that ended without a result has an outcome made of its record. `agents`: id
    to name."""
    services = pages.services
    detail = await services.runs.detail(run)
    files = tuple(await services.evidence.arrived(run, patience=_PATIENCE))
    ladder, unread = Ladder((), (), run.started_at or run.created_at), ""
    for entry in files:
        if entry.name == LADDER:
            try:
                data = await services.evidence.content(entry)
                ladder = await asyncio.to_thread(read_ladder, data)
            except StorageUnavailable as error:
                unread = error.message
            except (NotFound, ValueError):
                continue
    return Stored(run, detail, _outcome(run, detail), ladder, files, unread, agents.get(run.agent_id or ""))


def _outcome(run: Run, detail: RunDetail) -> RunOutcome:
    """Redacted once more, whoever wrote it: secrets are removed here, never by a stylesheet."""
    if detail.outcome:
        document = Redactor().document(msgspec.json.decode(detail.outcome))
        try:
            outcome = RunOutcome.from_json(document)
            # The agent knows of no other run: the record has the blame that is left beside the last pass.
            return replace(outcome, blame=Blame(run.blame) if run.blame in list(Blame) else None)
        except ValueError:
            pass
    return RunOutcome(
        verdict=Verdict(run.phase),
        blame=Blame(run.blame) if run.blame in list(Blame) else None,
        reason=run.result_description or "It left no result.",
        name=run.test_name,
        title=run.testcase_name,
        started_at=run.started_at or run.created_at,
        stopped_at=run.stopped_at,
        duration_ms=None
        if run.stopped_at is None or run.started_at is None
        else 1000 * (run.stopped_at - run.started_at),
    )


async def _finished(pages: Pages, run: Run, base: str, visitor: Visitor | None) -> dict[str, Any]:
    this, earlier, before = await _compared(pages, run)
    drawn, unread = await _draw(pages, this, earlier, f"{base}/files/")
    facts = [("Started by", run.started_by)]
    if run.agent_id:
        facts.append(("Agent", this.agent or "one that is gone"))
    facts += [("Attempt", str(run.attempt)), ("Version", str(this.detail.test_version))]
    shown = this.detail.shown
    overridden = set(await pages.services.runs.overrides(run)) if visitor is not None else set()
    document = None
    if visitor is not None:
        may_change = visitor.can_in(Right.EDIT, run.project_id)
        document = this.detail.document if may_change else masked_document(this.detail.document)
    if run.started_at is not None and run.stopped_at is not None:  # as the list of runs says it
        drawn["took"] = milliseconds(1000 * (run.stopped_at - run.started_at))
    beside = (
        await pages.services.cdrs.beside(visitor.identity, this.outcome.calls) if visitor is not None else []
    )
    return {
        **drawn,
        # Where nobody keeps records, nothing is missing.
        "reconciled": beside if any(leg.record is not None for leg in beside) else [],
        "record": run,
        "base": base,
        "kiosk": visitor is None,
        "more_facts": facts if visitor is not None else [],
        "before": before if visitor is not None else None,
        "before_at": before.created_at if before is not None else None,
        "evidence_base": f"{base}/files/",
        "evidence_note": "Redacted: passwords and tokens are removed."
        if visitor is None
        else "SHA-256 of each file is in the API’s list of evidence.",
        "document": document,
        "overrides": Redactor().document(shown),
        "overridden": overridden,
        "without_override": bool(overridden) and run.phase == Phase.FAILED and run.blame in (None, "test"),
        "can_share": visitor is not None and visitor.can_in(Right.RUN, run.project_id),
        "notes": [*_missing(this), *([f"The files cannot be read now. {unread}"] if unread else [])],
    }


def _missing(this: Stored) -> list[str]:
    """Says that files that the agent announced are not here."""
    missing = (this.run.files_due or 0) - len(this.files)
    if missing <= 0 or (not this.files and this.unread):
        return []
    files = "1 file" if missing == 1 else f"{missing} files"
    return [f"{files} of evidence did not arrive from the agent yet. Reload the page to look again."]


async def _draw(
    pages: Pages, this: Stored, earlier: Stored | None, files_at: str
) -> tuple[dict[str, Any], str]:
    """And why files cannot be read now, or nothing."""
    evidence, unread = pages.services.evidence, this.unread
    if not unread:
        audio = [entry for entry in this.files if entry.media_type.startswith("audio/")]
        try:
            async with evidence.folder(audio) as folder:
                return await asyncio.to_thread(_drawn, this, earlier, files_at, folder), ""
        except StorageUnavailable as error:
            unread = error.message
    return await asyncio.to_thread(_drawn, this, earlier, files_at, None), unread


async def _report(pages: Pages, run: Run, address: str) -> Response[bytes]:
    """The page of a run that has ended as one file, with what changed since the last passing run: the stored
    report was written by the agent, which knows of no other run. `address`: where its files are."""
    if not run.finished:
        raise NotFound("report", run.session_id)
    this, earlier, before = await _compared(pages, run)
    found = differences(earlier.seen, this.seen) if earlier is not None else []
    notes = [f"The files cannot be read now. {this.unread}"] if this.unread else []

    def drawn(folder: Path | None) -> str:
        return render_report(
            this.outcome,
            this.ladder,
            folder=folder,
            notes=notes,
            differences=found,
            changes=_changes(earlier, found),
            beside=f"Of {rendering.moment(before.created_at)} UTC" if before is not None else "",
            evidence_note=f"The files are at {address}" if address else "The files stay where it was shared.",
        )

    try:
        audio = [entry for entry in this.files if entry.media_type.startswith("audio/")]
        async with pages.services.evidence.folder([] if this.unread else audio) as folder:
            html = await asyncio.to_thread(drawn, folder)
    except StorageUnavailable:
        html = await asyncio.to_thread(drawn, None)
    headers = {"Content-Disposition": f'attachment; filename="callwright-run-{run.id}.html"'}
    return Response(html.encode(), media_type="text/html; charset=utf-8", headers=headers)


async def _compared(pages: Pages, run: Run) -> tuple[Stored, Stored | None, Run | None]:
    """The run, and the last one of its test that passed before it."""
    agents = {agent.id: agent.name for agent in await pages.services.agents.list()}
    before = await pages.services.runs.previous_pass(run)
    earlier = await stored(pages, before, agents) if before is not None else None
    return await stored(pages, run, agents), earlier, before


def _drawn(this: Stored, earlier: Stored | None, files_at: str, folder: Path | None) -> dict[str, Any]:
    """All that takes time, in a thread of its own."""
    found: list[Difference] = differences(earlier.seen, this.seen) if earlier is not None else []
    return {
        **run_page(
            this.outcome, this.ladder, folder=folder, recordings_at=files_at, changes=_changes(earlier, found)
        ),
        "differences": found,
        "files": _files(this.files, this.outcome),
    }


def _changes(earlier: Stored | None, found: Sequence[Difference]) -> list[str] | None:
    return changes_of_test(found) if earlier is not None else None


def _files(files: Sequence[Evidence], outcome: RunOutcome) -> list[EvidenceFile]:
    captions = dict(_CAPTIONS)
    for call in outcome.calls:
        for audio in call.audio:
            kind = {"stereo": "left sent, right received"}.get(audio.kind, audio.kind)
            captions.setdefault(audio.path, f"{call.party or 'recording'}: {kind}")
    order = {name: n for n, name in enumerate(captions)}
    return [
        EvidenceFile(entry.name, captions.get(entry.name, entry.media_type), entry.size)
        for entry in sorted(files, key=lambda entry: (order.get(entry.name, 99), entry.name))
    ]
