"""Monitors as code: a file to a plan of changes and to what it says, and back; YAML, or CSV of endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import QueryParameter

from callwright.alerting.windows import Once, Window
from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right
from callwright.control.alerts.model import Alert
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import YAML, read_document
from callwright.control.api.monitoring.alerts import window_shown, windows_of
from callwright.control.api.monitoring.answers import Dates
from callwright.control.api.monitoring.endpoints import by_endpoint
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid, unknown_value
from callwright.control.api.request import MaybeWord, services_of
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound, RefusedByPolicy
from callwright.control.monitors.changes import Change, Kind, Known, Verb, plan
from callwright.control.monitors.model import Endpoint
from callwright.control.monitors.reading import read_csv, read_yaml
from callwright.control.monitors.written import (
    Written,
    WrittenAlert,
    WrittenEndpoint,
    csv_text,
    row,
    with_channels,
    with_servers,
    words_of,
    yaml_text,
)
from callwright.control.services import Services
from callwright.scenario.source import DocumentError, Problem

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_FORMATS = ("yaml", "csv")
_FIRST = "default"
_LONGEST = 2**21


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `fields`: name to what is there (`old`, null for something new) and what shall be."""

    verb: str
    kind: str
    name: str
    id: int | None
    line: int | None
    fields: dict[str, dict[str, Any]]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`fingerprint`: of the changes, for the request that applies them."""

    project: str
    applied: bool
    fingerprint: str
    changes: list[Changed]


@post(
    "/monitors/apply",
    opt={
        "right": Right.EDIT,
        "body": body_of(
            {
                "document": text("The file, as a field.", maxLength=_LONGEST),
                "format": text("yaml or csv.", enum=_FORMATS),
            },
            required=("document",),
            texts={**dict.fromkeys(YAML[:2], "Endpoints and alerts."), "text/csv": "An endpoint a line."},
        ),
    },
    tags=TAGS,
    summary="Make the monitors of a project what a file says, or plan it",
    status_code=200,
)
async def apply_monitors(
    request: _Request,
    project: MaybeWord = None,
    plan_: Annotated[
        bool, QueryParameter(name="plan", description="Change nothing: say what would be changed.")
    ] = False,
    keep: Annotated[
        bool | None,
        QueryParameter(
            description="Whether what the file does not name stays. If absent: yes for CSV, no for YAML."
        ),
    ] = None,
    fingerprint: Annotated[
        str | None, QueryParameter(max_length=64, description="Of a plan: 409 if the changes are others now.")
    ] = None,
) -> Plan:
    """All or nothing. What is cancelled keeps its record and history, and comes back when a file names it
    again. A kind that the file does not have at all, such as `alerts`, stays as it is."""
    kind, document = await _document(request)
    written = read_csv(document) if kind == "csv" else read_yaml(document)
    if project and written.project and project != written.project:
        raise invalid("project", f"The file is for the project {written.project!r}.", value=project)
    kept = kind == "csv" if keep is None else keep
    services, identity = services_of(request), identity_of(request)
    return await _apply(
        services,
        identity,
        written,
        project or written.project,
        keep=kept,
        dry=plan_,
        fingerprint=fingerprint,
    )


@get(
    "/monitors/export",
    opt={"right": Right.READ, "documents": ("application/yaml", "text/csv")},
    tags=TAGS,
    summary="The monitors of a project as a file that `apply` takes",
    media_type="application/yaml",
)
async def export_monitors(
    request: _Request,
    project: MaybeWord = None,
    format_: Annotated[
        str | None, QueryParameter(name="format", max_length=100, description="yaml or csv.")
    ] = None,
) -> Response[bytes]:
    """Without `project` of the first that the caller sees. CSV has the endpoints alone."""
    if format_ not in (None, *_FORMATS):
        raise invalid("format", f"{format_[:100]!r} is not a format.", value=format_, permitted=_FORMATS)
    services, identity = services_of(request), identity_of(request)
    if project:
        owner = await services.projects.get(identity, project)
    else:
        seen = await services.projects.list(identity)
        if not seen:
            raise NotFound("project", _FIRST)
        owner = seen[0]
    there = await _There.of(services, identity, owner.id)
    written = Written(owner.name, tuple(there.written), tuple(there.written_alerts))
    if format_ == "csv":
        return Response(csv_text(there.written).encode(), media_type="text/csv; charset=utf-8")
    return Response(yaml_text(written).encode(), media_type="application/yaml; charset=utf-8")


async def _document(request: _Request) -> tuple[str, str]:
    """Its format and its text."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = await read_document(request, (*YAML, "text/csv"))
    if isinstance(found, str):
        return "csv" if kind == "text/csv" else "yaml", found
    take.only(found, ("document", "format"))
    word = take.text(found, "format", optional=True) or "yaml"
    if word not in _FORMATS:
        raise invalid("format", f"{word[:100]!r} is not a format.", value=word, permitted=_FORMATS)
    return word, take.text(found, "document", longest=_LONGEST)


class _There:
    """What a project has, by the names that files use."""

    def __init__(self, words: dict[int, str], everywhere: list[int], channels: dict[int, str]) -> None:
        self.words, self.everywhere, self.channels = words, everywhere, channels
        self.endpoints: list[tuple[Endpoint, WrittenEndpoint]] = []
        self.alerts: list[tuple[Alert, WrittenAlert]] = []

    @classmethod
    async def of(cls, services: Services, identity: Identity, project_id: int) -> _There:
        servers = await services.servers.listed_for(identity)
        usable = [
            one.number
            for one in servers
            if one.deleted_at is None and await services.agents.may_use(one.pool, (project_id,))
        ]
        channels = {
            one.id: one.name
            for one in await services.notifications.channels(identity)
            if one.project_id == project_id
        }
        labels = {one.number: one.label for one in servers}
        found = cls(words_of(labels), usable, words_of(channels))
        alerts = [one for one in await services.alerts.alerts(identity) if one.project_id == project_id]
        names = {one.id: one.name for one in alerts}
        found.alerts = [(one, _written_alert(one, found.channels)) for one in alerts]
        tests = by_endpoint(await services.monitors.all_voip_tests(identity))
        for one in await services.monitors.endpoints(identity):
            if one.project_id != project_id:
                continue
            by = [test.server_id for test in tests.get(one.id, ()) if test.deleted_at is None]
            found.endpoints.append(
                (
                    one,
                    WrittenEndpoint(
                        one,
                        tuple(found.words.get(number, str(number)) for number in by),
                        tuple(names[number] for number in one.alert_ids if number in names),
                    ),
                )
            )
        return found

    @property
    def written(self) -> list[WrittenEndpoint]:
        return [written for one, written in self.endpoints if one.deleted_at is None]

    @property
    def written_alerts(self) -> list[WrittenAlert]:
        return [written for one, written in self.alerts if one.deleted_at is None]

    @property
    def known(self) -> list[Known]:
        return [
            *(
                Known(Kind.ALERT, one.id, one.name, written.fields, one.deleted_at is not None)
                for one, written in self.alerts
            ),
            *(
                Known(Kind.ENDPOINT, one.id, one.name, row(written), one.deleted_at is not None)
                for one, written in self.endpoints
            ),
        ]


class _Undone(Exception):
    """Leaves a transaction without what was done in it."""


@asynccontextmanager
async def _trial(services: Services) -> AsyncIterator[None]:
    """A transaction that is undone at its end."""
    try:
        async with services.audit.change():
            yield
            raise _Undone
    except _Undone:
        pass


async def _apply(
    services: Services,
    identity: Identity,
    written: Written,
    project: str | None,
    *,
    keep: bool,
    dry: bool,
    fingerprint: str | None,
) -> Plan:
    """A plan is carried out too, and undone: so it is refused where applying it would be."""
    async with _trial(services) if dry else services.audit.change():
        try:
            # An export of another platform names the project that a first endpoint makes here.
            fresh = project == _FIRST and not await services.projects.list(identity)
            owner = await services.projects.own(identity, None if fresh else project)
        except NotFound as error:
            raise unknown_value(error, error.what) from None
        authorize(identity, Right.EDIT, owner.id)
        there = await _There.of(services, identity, owner.id)
        wanted = with_channels(with_servers(written, there.words, there.everywhere), there.channels)
        changes = plan(wanted, there.known, keep=keep)
        found = _fingerprint(owner.name, changes)
        if fingerprint is not None and fingerprint != found:
            raise Conflict("The monitors have changed since this was planned.", "Plan again.")
        await _Hand(services, identity, owner.name, wanted, there).carry_out(changes)
    return Plan(
        project=owner.name, applied=not dry, fingerprint=found, changes=[_changed(one) for one in changes]
    )


class _Hand:
    """Makes, changes, recovers and cancels."""

    def __init__(
        self, services: Services, identity: Identity, project: str, wanted: Written, there: _There
    ) -> None:
        self._services, self._identity, self._project = services, identity, project
        self._endpoints = {one.name: one for one in wanted.endpoints or ()}
        self._alerts = {one.name: one for one in wanted.alerts or ()}
        self._numbers = {word: number for number, word in there.words.items()}
        self._channels = {word: number for number, word in there.channels.items()}
        self._ids = {one.name: one.id for one, _ in there.alerts if one.deleted_at is None}

    async def carry_out(self, changes: Sequence[Change]) -> None:
        """Raises DocumentError for what is refused of one that the file has, Forbidden."""
        for change in changes:
            try:
                if change.kind is Kind.ALERT:
                    await self._alert(change)
                else:
                    await self._endpoint(change)
            except Forbidden:
                raise
            except (Invalid, Conflict, NotFound, RefusedByPolicy) as error:
                field = getattr(error, "field", "") or getattr(error, "address", "") or None
                field = {"server_ids": "servers", "alert_ids": "alerts", "channel_ids": "channels"}.get(
                    str(field), field
                )
                remedy = f" {error.remedy}" if error.remedy else ""
                message = f"{change.name}: {error.message}{remedy}"
                raise DocumentError([Problem(message, change.line, None, field)]) from None

    async def _alert(self, change: Change) -> None:
        alerts, identity = self._services.alerts, self._identity
        if change.verb is Verb.CANCEL:
            await alerts.cancel(identity, change.id or 0)
            return
        values = _alert_values(self._alerts[change.name], self._channels)
        if change.id is None:
            made = await alerts.create(identity, values, project=self._project)
            self._ids[made.name] = made.id
            return
        if change.verb is Verb.RECOVER:
            await alerts.recover(identity, change.id)
        await alerts.change(identity, change.id, values)
        self._ids[change.name] = change.id

    async def _endpoint(self, change: Change) -> None:
        monitors, identity = self._services.monitors, self._identity
        if change.verb is Verb.CANCEL:
            await monitors.cancel(identity, change.id or 0)
            return
        one = self._endpoints[change.name]
        values = self._values(one)
        servers = [self._numbers[word] for word in one.servers]
        if change.id is None:
            await monitors.create(identity, values, server_ids=servers, project=self._project)
            return
        if change.verb is Verb.RECOVER:
            await monitors.recover(identity, change.id)
        said = "servers" in one.said
        await monitors.change(identity, change.id, values, server_ids=servers if said else None)

    def _values(self, one: WrittenEndpoint) -> dict[str, Any]:
        values = {name: getattr(one.endpoint, name) for name in one.said if name not in ("servers", "alerts")}
        if "alerts" in one.said:
            unknown = next((name for name in one.alerts if name not in self._ids), None)
            if unknown is not None:
                raise Invalid(f"There is no alert {unknown!r} in this project.", field="alerts")
            values["alert_ids"] = tuple(self._ids[name] for name in one.alerts)
        return values


def _alert_values(one: WrittenAlert, channels: Mapping[str, int]) -> Mapping[str, Any]:
    fields = one.fields
    named = fields["channels"]
    return {
        "name": one.name,
        "condition": fields["condition"],
        "recovery": fields["recovery"] or "",
        "retests": fields["retests"] or "",
        "reminder": fields["reminder"],
        "channel_ids": None if named is None else tuple(channels[name] for name in named),
        "windows": windows_of(fields["maintenance"], Dates()),
    }


def _written_alert(one: Alert, channels: Mapping[int, str]) -> WrittenAlert:
    named = one.channel_ids
    return WrittenAlert(
        one.name,
        {
            "condition": one.condition,
            "recovery": one.recovery or None,
            "retests": one.retests or None,
            "reminder": one.reminder,
            "channels": None if named is None else [channels.get(number, str(number)) for number in named],
            "maintenance": [_window(window) for window in one.windows],
        },
    )


def _window(window: Window) -> dict[str, Any]:
    shown = window_shown(window, Dates())
    if isinstance(window, Once):
        return {name: f"{value.replace(' ', 'T')}Z" for name, value in shown.items()}
    return shown


def _changed(one: Change) -> Changed:
    return Changed(
        verb=str(one.verb),
        kind=str(one.kind),
        name=one.name,
        id=one.id,
        line=one.line,
        fields={name: {"old": old, "new": new} for name, (old, new) in one.fields.items()},
    )


def _fingerprint(project: str, changes: Sequence[Change]) -> str:
    """The same for the same changes, wherever they stand in the file."""
    plain = [msgspec.structs.replace(one, line=None) for one in changes]
    return hashlib.sha256(msgspec.json.encode((project, plain))).hexdigest()[:32]


ROUTES: list[Any] = [apply_monitors, export_monitors]
