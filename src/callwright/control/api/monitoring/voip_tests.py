"""VoIP tests, one server testing one endpoint each, and what they measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.params import QueryParameter

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.monitoring.answers import Collection, Dates, collection, dates_of
from callwright.control.api.monitoring.asking import MaybeStatus, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, MaybeId, services_of
from callwright.control.monitors import model
from callwright.control.monitors.history import COUNTED, RESOLUTIONS, SPREAD, Tally, percentile
from callwright.control.monitors.model import StoredReading

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_EDIT, _READ = {"right": Right.EDIT}, {"right": Right.READ}
_SHAPE: dict[str, Any] = {
    "codec": text("What the E-model assumes.", default="g711"),
    "num_tests": {"type": "integer", "description": "Packets of one test.", "default": 25},
    "interpacket_ms": {"type": "number", "description": "Between two packets.", "default": 100},
}


class VoipTest(msgspec.Struct, frozen=True, kw_only=True):
    """`mos`: the latest, measured at `updated_at`. `state` and `reason`: of the newest slot. `deleted_at`
    null: it has not been cancelled."""

    id: int
    endpoint_id: int
    server_id: int
    mos: float | None
    codec: str
    num_tests: int
    interpacket_ms: float
    state: str | None
    reason: str
    created_at: str
    updated_at: str | None
    deleted_at: str | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: when it began. `slot`: unix seconds of the planned start. `state`: done (measured), failed
    (nothing answered, or it was refused), missed (not run; `reason` says why) or unknown. `verdict`: passed,
    failed, or invalid when the server itself spoilt the measurement. `error_ms`: its own scheduling error.
    `one_way_ms`: `{"out", "back"}` or null. What was not measured is null. `more`: what else its category
    measured. `slots`: of a row that holds several tests, how many ended in each state; `spread`: percentiles
    of each figure."""

    at: str
    slot: int
    state: str
    reason: str
    verdict: str | None = None
    sent: int | None = None
    received: int | None = None
    lost: int | None = None
    late: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    rtt_ms: float | None = None
    one_way_ms: dict[str, float | None] | None = None
    jitter_ms: float | None = None
    burst_ratio: float | None = None
    r_factor: float | None = None
    mos: float | None = None
    error_ms: float | None = None
    more: dict[str, Any] = {}
    slots: dict[str, int] | None = None
    spread: dict[str, dict[str, float | None]] | None = None


_RESOLUTIONS = ("raw", *RESOLUTIONS)
_DEFAULT = {"raw": 3_600.0, "minute": 3_600.0, "hour": 7 * 86_400.0, "day": 365 * 86_400.0}
_SHARES = (5, 25, 50, 75, 95)


def shown(row: model.VoipTest, dates: Dates) -> VoipTest:
    gap = row.interpacket_ms
    return VoipTest(
        id=row.id,
        endpoint_id=row.endpoint_id,
        server_id=row.server_id,
        mos=row.mos,
        codec=row.codec,
        num_tests=row.num_tests,
        interpacket_ms=int(gap) if gap.is_integer() else gap,
        state=row.state or None,
        reason=row.reason,
        created_at=dates.text(row.created_at),
        updated_at=dates.maybe(row.updated_at),
        deleted_at=dates.maybe(row.deleted_at),
    )


_PATH = "/endpoints/{endpoint_id:int}/voip_tests"
_ONE = f"{_PATH}/{{voip_test_id:int}}"


@get(_PATH, opt=_READ, tags=TAGS, summary="List the VoIP tests of an endpoint")
async def list_voip_tests(
    request: _Request, endpoint_id: Id, server_id: MaybeId = None, status: MaybeStatus = None
) -> Collection[VoipTest]:
    wanted, dates = status_of(status), await dates_of(request)
    return collection(
        shown(one, dates)
        for one in await services_of(request).monitors.voip_tests(identity_of(request), endpoint_id)
        if wanted.fits(one.deleted_at) and server_id in (None, one.server_id)
    )


@get(_ONE, opt=_READ, tags=TAGS, summary="Show a VoIP test")
async def show_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    found = await monitors.voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(found, await dates_of(request))


@post(
    _PATH,
    opt={
        **_EDIT,
        "body": body_of(
            {"server_id": {"type": "integer", "description": "Who tests."}, **_SHAPE}, required=("server_id",)
        ),
    },
    tags=TAGS,
    summary="Have one more server test an endpoint",
    status_code=201,
)
async def create_voip_test(request: _Request, endpoint_id: Id) -> VoipTest:
    fields = await read_fields(request)
    take.only(fields, ("server_id", *_SHAPE))
    server_id = take.whole(fields, "server_id")
    if server_id is None:
        raise invalid("server_id", "server_id is missing.")
    made = await services_of(request).monitors.add_voip_test(
        identity_of(request), endpoint_id, server_id, _values(fields)
    )
    return shown(made, await dates_of(request))


@patch(_ONE, opt={**_EDIT, "body": body_of(_SHAPE)}, tags=TAGS, summary="Change a VoIP test")
async def change_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    fields = await read_fields(request)
    take.only(fields, tuple(_SHAPE))
    changed = await services_of(request).monitors.change_voip_test(
        identity_of(request), endpoint_id, voip_test_id, _values(fields)
    )
    return shown(changed, await dates_of(request))


@delete(_ONE, opt=_EDIT, tags=TAGS, summary="Cancel a VoIP test; its history stays", status_code=200)
async def delete_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    gone = await monitors.cancel_voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(gone, await dates_of(request))


@patch(f"{_ONE}/activate", opt=_EDIT, tags=TAGS, summary="Recover a cancelled VoIP test")
async def activate_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    back = await monitors.recover_voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(back, await dates_of(request))


@get(f"{_ONE}/results", opt=_READ, tags=TAGS, summary="What a VoIP test measured")
async def results(
    request: _Request,
    endpoint_id: Id,
    voip_test_id: Id,
    from_: Annotated[str | None, QueryParameter(name="from", max_length=100, description="A date.")] = None,
    to: Annotated[str | None, QueryParameter(max_length=100, description="A date.")] = None,
    resolution: Annotated[
        str | None, QueryParameter(max_length=100, description="raw, minute, hour or day.")
    ] = None,
) -> Collection[Result]:
    """Oldest first, from `from` to before `to`; without parameters the raw rows of the last hour. A raw row
    is one test. One of `minute`, `hour` or `day` has the sums of counts, the medians, and more in `spread`.
    Readings are kept for 30 days, minutes for 90, hours and days for good."""
    step = resolution or "raw"
    if step not in _RESOLUTIONS:
        raise invalid(
            "resolution", f"{step[:100]!r} is not a resolution.", value=step, permitted=_RESOLUTIONS
        )
    services, identity, dates = services_of(request), identity_of(request), await dates_of(request)
    until = dates.moment(to, "to")
    until = services.clock.wall() + 1 if until is None else until
    since = dates.moment(from_, "from")
    since = until - _DEFAULT[step] if since is None else since
    endpoint = await services.monitors.endpoint(identity, endpoint_id)
    test = await services.monitors.voip_test(identity, endpoint_id, voip_test_id)
    measurements = services.monitors.measurements
    if step == "raw":
        readings = await measurements.readings(test.id, endpoint.interval, since, until)
        return collection(_raw(one, dates) for one in readings)
    rows = await measurements.history(test.id, step, since, until)
    return collection(_rolled_up(at, one, dates) for at, one in rows)


def _raw(one: StoredReading, dates: Dates) -> Result:
    figures = dict(one.figures)
    known: dict[str, Any] = {name: _number(figures.pop(name, None)) for name in (*COUNTED, *SPREAD)}
    known["burst_ratio"] = _number(figures.pop("burst_ratio", None))
    one_way = figures.pop("one_way_ms", None)
    if isinstance(one_way, dict):
        known["one_way_ms"] = {name: _number(one_way.get(name)) for name in ("out", "back")}
    return Result(
        at=dates.text(one.slot if one.at is None else one.at),
        slot=one.slot,
        state=str(one.state),
        reason=one.reason,
        verdict=one.verdict or None,
        more=figures,
        **known,
    )


def _number(value: Any) -> Any:
    """What an agent says may be anything."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rolled_up(at: int, one: Tally, dates: Dates) -> Result:
    ended = [state for state in ("failed", "done", "invalid", "missed", "unknown") if one.slots.get(state)]
    known: dict[str, Any] = {name: one.counted.get(name) for name in COUNTED}
    known |= {name: percentile(one, name, 0.5) for name in SPREAD}
    return Result(
        at=dates.text(at),
        slot=at,
        state="done" if ended[:1] == ["invalid"] else ended[0] if ended else "unknown",
        reason="",
        slots=one.slots,
        spread={
            name: {f"p{share}": percentile(one, name, share / 100) for share in _SHARES}
            for name in one.spread
        },
        **known,
    )


def _values(fields: Fields) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    if "codec" in fields:
        values["codec"] = take.text(fields, "codec", longest=100)
    if "num_tests" in fields:
        values["num_tests"] = take.whole(fields, "num_tests", default=25)
    if "interpacket_ms" in fields:
        values["interpacket_ms"] = take.number(fields, "interpacket_ms", default=100.0)
    return values


ROUTES: list[Any] = [
    list_voip_tests,
    show_voip_test,
    create_voip_test,
    change_voip_test,
    delete_voip_test,
    activate_voip_test,
    results,
]
