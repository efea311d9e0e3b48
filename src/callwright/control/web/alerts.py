"""The pages of alert rules: the list, a rule with its preview on past data, snooze and maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.alerting.condition import ConditionError, parse
from callwright.alerting.retest import parse_levels
from callwright.alerting.watch import State
from callwright.alerting.windows import DAYS, Once, Weekly, Window
from callwright.control.accounts.model import Right
from callwright.control.alerts.model import Alert
from callwright.control.alerts.preview import Preview, Previews
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.monitors.model import Endpoint
from callwright.control.monitors.standing import USUAL_LIMIT
from callwright.control.web import alert_figures as figures
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_REMINDERS = (
    ("", "never"),
    ("30", "every 30 min"),
    ("60", "every hour"),
    ("240", "every 4 h"),
    ("1440", "every day"),
)
_SNOOZES = {"1": 3_600.0, "4": 4 * 3_600.0, "24": 86_400.0, "168": 7 * 86_400.0}
_BLANK: Mapping[str, str] = {"name": "", "condition": "", "recovery": "", "retests": "", "reminder": ""}


def routes(pages: Pages) -> list[Any]:
    services = pages.services
    alerts, monitors = services.alerts, services.monitors
    previews = Previews(services.stores.monitors)

    async def endpoints_of(visitor: Visitor, project_id: int) -> list[Endpoint]:
        return [
            one
            for one in await monitors.endpoints(visitor.identity)
            if one.project_id == project_id and one.deleted_at is None
        ]

    @get("/monitoring/alerts")
    async def listed(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        rules = await alerts.alerts(visitor.identity)
        board = figures.board(
            [one for one in rules if one.deleted_at is None],
            await alerts.states(visitor.identity),
            await alerts.incidents(visitor.identity),
            {one.id: one for one in await monitors.endpoints(visitor.identity)},
            pages.now,
        )
        return await pages.page(
            request,
            visitor,
            "alerts.html",
            "Alerts",
            board=board,
            cancelled=[one for one in rules if one.deleted_at is not None],
            week=figures.week([one for one in rules if one.deleted_at is None], pages.now),
        )

    async def editor(
        request: WebRequest,
        visitor: Visitor,
        alert: Alert | None,
        project_id: int,
        *,
        fields: Mapping[str, str] | None = None,
        refusal: Invalid | Conflict | None = None,
    ) -> Response[bytes]:
        rows = await endpoints_of(visitor, project_id)
        if fields is None:
            fields = _BLANK if alert is None else _texts(alert, rows)
        states = (await alerts.states(visitor.identity)).get(alert.id, {}) if alert is not None else {}
        incidents = (
            []
            if alert is None
            else [
                one
                for one in await alerts.incidents(visitor.identity)
                if any(child.alert_id == alert.id for child in one.children)
            ]
        )
        return await pages.page(
            request,
            visitor,
            "alert.html",
            "Alerts",
            status=200 if refusal is None else 409 if isinstance(refusal, Conflict) else 422,
            alert=alert,
            rights=visitor.rights_in(project_id),
            project_id=project_id,
            projects=[
                one
                for one in await services.projects.list(visitor.identity)
                if visitor.can_in(Right.EDIT, one.id)
            ],
            endpoints=rows,
            fields={**_BLANK, **fields},
            refusal=refusal,
            wrong_field=getattr(refusal, "field", ""),
            pointed=_pointed(fields),
            state=min(states.values(), key=list(State).index, default=State.NEVER),
            states=states,
            incidents=incidents[:20],
            windows=[(number, figures.window_says(one)) for number, one in enumerate(alert.windows)]
            if alert
            else [],
            snoozed=alert is not None and (alert.snoozed_until or 0.0) > pages.now,
            reminders=_REMINDERS,
            days=DAYS,
            usual=USUAL_LIMIT,
        )

    @get("/monitoring/alerts/new")
    async def new(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        wanted = request.query_params.get("project", "")
        projects = [
            one
            for one in await services.projects.list(visitor.identity)
            if visitor.can_in(Right.EDIT, one.id)
        ]
        owner = next((one for one in projects if one.name == wanted), None) or await services.projects.own(
            visitor.identity, None
        )
        return await editor(request, visitor, None, owner.id)

    @get("/monitoring/alerts/{number:int}")
    async def show(request: WebRequest, number: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        alert = await alerts.alert(visitor.identity, number)
        return await editor(request, visitor, alert, alert.project_id)

    @post("/monitoring/alerts", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        owner = await _project(pages, visitor, fields)
        try:
            async with services.audit.change():
                made = await alerts.create(visitor.identity, _values(fields), project=owner.name)
                await raise_at(visitor, made, fields)
        except (Invalid, Conflict) as error:
            return await editor(request, visitor, None, owner.id, fields=fields, refusal=error)
        return go(f"/monitoring/alerts/{made.id}", "added")

    @post("/monitoring/alerts/{number:int}", status_code=303)
    async def change(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        alert = await alerts.alert(visitor.identity, number)
        try:
            async with services.audit.change():
                await alerts.change(visitor.identity, number, _values(fields))
                await raise_at(visitor, alert, fields)
        except (Invalid, Conflict) as error:
            return await editor(request, visitor, alert, alert.project_id, fields=fields, refusal=error)
        return go(f"/monitoring/alerts/{number}", "changed")

    async def raise_at(visitor: Visitor, alert: Alert, fields: Mapping[str, str]) -> None:
        """The endpoints that are ticked raise it from now on, and no others."""
        for endpoint in await endpoints_of(visitor, alert.project_id):
            ticked, raises = f"endpoint_{endpoint.id}" in fields, alert.id in endpoint.alert_ids
            if ticked == raises:
                continue
            ids = (
                (*endpoint.alert_ids, alert.id)
                if ticked
                else tuple(one for one in endpoint.alert_ids if one != alert.id)
            )
            values: dict[str, Any] = {"alert_ids": ids}
            if ticked and endpoint.alert_threshold is None:
                values["alert_threshold"] = USUAL_LIMIT
            await monitors.change(visitor.identity, endpoint.id, values)

    @post("/monitoring/alerts/preview", status_code=200)
    async def preview(request: WebRequest) -> Response[bytes]:
        """Changes nothing: what the form would have told of the last week."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        owner = await _project(pages, visitor, fields)
        found: Preview | None = None
        pointed = _pointed(fields)
        if not pointed and fields.get("condition", "").strip():
            number = _whole(fields.get("alert", ""))
            known = await alerts.alert(visitor.identity, number) if number is not None else None
            alert = Alert(
                id=0,
                project_id=owner.id,
                name="",
                condition=fields["condition"],
                recovery=fields.get("recovery", "").strip(),
                reminder=None,
                windows=known.windows if known is not None else (),
                snoozed_until=None,
                created_at=pages.now,
                deleted_at=None,
            )
            ticked = [one for one in await endpoints_of(visitor, owner.id) if f"endpoint_{one.id}" in fields]
            tests = await monitors.all_voip_tests(visitor.identity)
            found = await previews.of(alert, ticked, tests, pages.now)
        return await pages.page(
            request,
            visitor,
            "alert_preview.html",
            "Alerts",
            pointed=pointed,
            asked=bool(fields.get("condition", "").strip()),
            preview=found,
            chart=None if found is None else figures.chart(found, parse(fields["condition"])),
            says=None if found is None else figures.preview_says(found),
        )

    @post("/monitoring/alerts/{number:int}/snooze", status_code=303)
    async def snooze(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        seconds = _SNOOZES.get(fields.get("hours", ""))
        until = None if seconds is None else pages.now + seconds
        await alerts.change(visitor.identity, number, {"snoozed_until": until})
        return go(f"/monitoring/alerts/{number}", "snoozed" if until else "woken")

    @post("/monitoring/alerts/{number:int}/windows", status_code=303)
    async def add_window(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        alert = await alerts.alert(visitor.identity, number)
        try:
            window = _window(fields)
            await alerts.change(visitor.identity, number, {"windows": (*alert.windows, window)})
        except (Invalid, Conflict) as error:
            kept = {**_texts(alert, await endpoints_of(visitor, alert.project_id)), **fields}
            return await editor(request, visitor, alert, alert.project_id, fields=kept, refusal=error)
        return go(f"/monitoring/alerts/{number}", "added")

    @post("/monitoring/alerts/{number:int}/windows/{place:int}/remove", status_code=303)
    async def remove_window(
        request: WebRequest, number: FromPath[int], place: FromPath[int]
    ) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        alert = await alerts.alert(visitor.identity, number)
        # Named by what it says too: somebody else may have removed one before it.
        if place >= len(alert.windows) or figures.window_says(alert.windows[place]) != fields.get("says"):
            raise NotFound("maintenance window", place)
        left = tuple(one for n, one in enumerate(alert.windows) if n != place)
        await alerts.change(visitor.identity, number, {"windows": left})
        return go(f"/monitoring/alerts/{number}", "removed")

    @post("/monitoring/alerts/{number:int}/cancel", status_code=303)
    async def cancel(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await alerts.cancel(visitor.identity, number)
        return go("/monitoring/alerts", "removed")

    @post("/monitoring/alerts/{number:int}/recover", status_code=303)
    async def recover(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await alerts.recover(visitor.identity, number)
        return go(f"/monitoring/alerts/{number}", "changed")

    return [
        listed,
        new,
        show,
        create,
        preview,
        change,
        snooze,
        add_window,
        remove_window,
        cancel,
        recover,
    ]


async def _project(pages: Pages, visitor: Visitor, fields: Mapping[str, str]) -> Any:
    """The one of the form. Raises NotFound, Forbidden."""
    wanted = fields.get("project", "")
    for one in await pages.services.projects.list(visitor.identity):
        if str(one.id) == wanted:
            return one
    raise NotFound("project", wanted)


def _texts(alert: Alert, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """As the form has them."""
    fields = {
        "name": alert.name,
        "condition": alert.condition,
        "recovery": alert.recovery,
        "retests": alert.retests,
        "reminder": "" if alert.reminder is None else f"{alert.reminder / 60:g}",
    }
    return fields | {f"endpoint_{one.id}": "on" for one in endpoints if alert.id in one.alert_ids}


def _values(fields: Mapping[str, str]) -> dict[str, Any]:
    minutes = fields.get("reminder", "").strip()
    try:
        reminder = float(minutes) * 60 if minutes else None
    except ValueError:
        raise Invalid("A reminder is a number of minutes.", field="reminder") from None
    return {
        "name": fields.get("name", "").strip()[:255],
        "condition": fields.get("condition", "").strip(),
        "recovery": fields.get("recovery", "").strip(),
        "retests": fields.get("retests", "").strip(),
        "reminder": reminder,
    }


def _pointed(fields: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of each text that is no condition: what is wrong, and where: the text before and from there on."""
    found: dict[str, dict[str, Any]] = {}
    for name, read in (("condition", parse), ("recovery", parse), ("retests", parse_levels)):
        text = fields.get(name, "").strip()
        if not text:
            continue
        try:
            read(text)
        except ConditionError as error:
            at = min(error.at, len(text))
            found[name] = {
                "message": str(error),
                "text": text[:300],
                "column": at + 1,
                "gap": " " * min(at, 300),
            }
    return found


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _window(fields: Mapping[str, str]) -> Window:
    """Raises Invalid."""
    if fields.get("kind") == "once":
        return Once(_moment(fields, "from"), _moment(fields, "to"))
    days = tuple(day for day in DAYS if f"day_{day}" in fields)
    zone = fields.get("time_zone", "").strip()[:64] or "UTC"
    return Weekly(days, _minute(fields, "start"), _minute(fields, "end"), zone)


def _moment(fields: Mapping[str, str], name: str) -> float:
    """Of a field `datetime-local`, in UTC."""
    try:
        return datetime.fromisoformat(fields.get(name, "")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Invalid("A window has two dates, in UTC.", field="maintenance") from None


def _minute(fields: Mapping[str, str], name: str) -> int:
    hours, _, minutes = fields.get(name, "").partition(":")
    if not (hours.isdigit() and minutes.isdigit() and len(hours) < 3 and len(minutes) < 3):
        raise Invalid("A window begins and ends at a time of day, such as 02:00.", field="maintenance")
    return int(hours) * 60 + int(minutes)
