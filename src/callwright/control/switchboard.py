"""Calls that are up and phones that are registered: the running PBX is asked, and told what to do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, TypeVar

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.cdrs.legs import Party
from callwright.control.cdrs.live import row_of, users_of
from callwright.control.collections.choosing import chosen
from callwright.control.collections.model import Compare, Kind, Operator, Property, Query, Resource, Rows
from callwright.control.errors import Conflict, Invalid, NotFound, NotRegistered, PbxAway
from callwright.control.services import Services
from callwright.control.texts.model import LONGEST, Status
from callwright.dispatch import subject
from callwright.dispatch.broker import BrokerError
from callwright.dispatch.messages.pbx import (
    CallAnswering,
    CallDone,
    CallEnding,
    CallMade,
    CallMove,
    CallNow,
    CallRecording,
    CallWish,
    JoinMade,
    JoinWish,
    Live,
    LiveAsked,
    MailboxTouched,
    PhoneNow,
    PlanAsked,
    PlanTold,
    TextSent,
    TextWish,
)
from callwright.dispatch.messages.wire import BadMessage, decode, encode

__all__ = [
    "CALLS",
    "PHONES",
    "answer",
    "call",
    "calls",
    "end",
    "join",
    "mailbox_changed",
    "move",
    "parties",
    "phones",
    "place",
    "plan",
    "record",
    "text",
]

_SECONDS = 3.0
_TEXT_SECONDS = 6.0  # above what the PBX waits for a phone
_UNREACHABLE, _FULL = 480, 503  # as SIP has them
_LONGEST_NUMBER = 32
_LOOK_EVERY = 0.1
_UP = ("CONNECTED", "ON_HOLD")
T = TypeVar("T")

CALLS = Resource(
    "calls",
    (
        Property("id", Kind.TEXT),
        Property("clid", Kind.TEXT),
        Property("start_time", Kind.INTEGER, description="Unix seconds."),
        Property("connected_at", Kind.INTEGER, nullable=True, description="Unix seconds; null: not yet."),
        Property("context", Kind.TEXT),
        Property("destination", Kind.TEXT),
        Property("src", Kind.TEXT),
        Property("src_id", Kind.TEXT, nullable=True),
        Property("src_name", Kind.TEXT),
        Property("dst", Kind.TEXT),
        Property("dst_id", Kind.TEXT, nullable=True),
        Property("dst_name", Kind.TEXT),
        Property("state", Kind.TEXT, description="INITIAL, RINGING, CONNECTED or ON_HOLD."),
        Property("duration", Kind.INTEGER, summed=True, description="Seconds since start_time."),
        Property("call_id", Kind.TEXT, description="SIP Call-ID of the caller's leg."),
        Property("record", Kind.FLAG, description="It is being recorded."),
    ),
)
PHONES = Resource(
    "phones",
    (
        Property("id", Kind.TEXT),
        Property("user_id", Kind.INTEGER, nullable=True),
        Property("ext", Kind.TEXT),
        Property("contact", Kind.TEXT),
        Property("user_agent", Kind.TEXT),
        Property("transport", Kind.TEXT),
        Property("source", Kind.TEXT, description="Address and port that it registered from."),
        Property("registered_at", Kind.DATE),
        Property("expires_at", Kind.DATE),
        Property("latency_ms", Kind.NUMBER, nullable=True, description="Null: not measured."),
        Property("behind_nat", Kind.FLAG),
    ),
)


async def calls(services: Services, identity: Identity, query: Query) -> Rows:
    """Those that one is in; administrators see all. Raises PbxAway."""
    live = await _ask(services, subject.PBX_LIVE, LiveAsked(), Live)
    known = await parties(services)
    everything = may(identity, Right.ADMINISTER)
    now = services.clock.wall()
    rows = [_call(one, known, now) for one in live.calls if everything or _is_in(identity, one, known)]
    return chosen(CALLS, rows, query)


async def call(services: Services, identity: Identity, name: str) -> dict[str, object]:
    """One of them. Raises NotFound, PbxAway."""
    found = (await calls(services, identity, Query(Compare("id", Operator.EQ, name)))).rows
    if not found:
        raise NotFound("call", name)
    return found[0]


async def phones(services: Services, identity: Identity, query: Query) -> Rows:
    """One's own; administrators see all. Raises PbxAway."""
    live = await _ask(services, subject.PBX_LIVE, LiveAsked(), Live)
    known = await parties(services)
    everything = may(identity, Right.ADMINISTER)
    rows = [_phone(number, one, known.get(one.user)) for number, one in enumerate(live.phones, 1)]
    own = TELEPHONY_IDS + identity.person
    return chosen(PHONES, [row for row in rows if everything or row["user_id"] == own], query)


async def place(services: Services, identity: Identity, to: str, user_id: int | None) -> dict[str, object]:
    """Rings the phones of the user, by default one's own, and then dials. ``user_id``: that of the chapter.

    Raises Invalid, Forbidden, NotRegistered, PbxAway.
    """
    authorize(identity, Right.CALL)
    _check_number("to", to)
    own = TELEPHONY_IDS + identity.person
    if user_id not in (None, own) or not identity.person:
        authorize(identity, Right.ADMINISTER)
    wanted = own if user_id is None else user_id
    ext = next((ext for ext, one in (await parties(services)).items() if one.user_id == wanted), None)
    if ext is None:
        raise NotRegistered("The user has no extension.")
    made = await _ask(services, subject.PBX_PLACE, CallWish(ext, to.removeprefix("+")), CallMade)
    if made.call is None:
        raise NotRegistered(f"No phone of {ext} is registered.", "Register one first; GET /pbx says where.")
    await _note(services, identity, "call.placed", made.call, f"{ext} to {to}")
    return await _row_of(services, made.call) or {"id": made.call, "state": "HANGUP"}


async def join(services: Services, identity: Identity, first: str, to: str) -> dict[str, object]:
    """Calls the number ``first``, and connects who answers there to another; both by the rights of one's own
    extension.

    Raises Invalid, NotRegistered, PbxAway.
    """
    authorize(identity, Right.CALL)
    _check_number("from", first)
    _check_number("to", to)
    ext = await _own_extension(services, identity)
    wish = JoinWish(first.removeprefix("+"), to.removeprefix("+"), ext)
    made = await _ask(services, subject.PBX_JOIN, wish, JoinMade)
    if made.call is None:
        refusal = f"{first} cannot be called: {made.status} {made.reason}."
        if made.status == _UNREACHABLE:
            raise NotRegistered(refusal)
        if made.status == _FULL:
            raise PbxAway(refusal, "Try again later.")
        raise Invalid(refusal, field="from")
    await _note(services, identity, "call.placed", made.call, f"{first} to {to}, by {ext}")
    return await _row_of(services, made.call) or {"id": made.call, "state": "HANGUP"}


async def text(services: Services, identity: Identity, to: str, written: str) -> dict[str, object]:
    """Sends a text to the phones of an extension. The record of it, as SMS has it; what was not delivered
    has a record too.

    Raises Invalid, NotRegistered, PbxAway.
    """
    authorize(identity, Right.CALL)
    _check_number("to", to)
    if len(written.encode()) > LONGEST:
        raise Invalid(f"text has {len(written.encode()):,} octets; at most {LONGEST:,} fit.", field="text")
    ext = await _own_extension(services, identity)
    sent = await _ask(services, subject.PBX_TEXT, TextWish(ext, to, written), TextSent, _TEXT_SECONDS)
    if sent.status == 0:
        status, info = Status.UNCONFIRMED, "No phone has answered in time."
    else:
        status = Status.DELIVERED if sent.status < 300 else Status.FAILED
        info = f"{sent.status} {sent.reason}".rstrip()
    return await services.texts.keep(identity, ext, to, written, status, info)


async def mailbox_changed(services: Services, user: str) -> None:
    """Tells the PBX; where it is away, phones learn of it when they register."""
    with contextlib.suppress(PbxAway):
        await _ask(services, subject.PBX_MAILBOX, MailboxTouched(user), CallDone)


async def move(services: Services, identity: Identity, name: str, dst: str) -> dict[str, object]:
    """Transfers one's peer to a number, blind; of calls that one is not in, the caller. The new call.

    Raises Invalid, NotFound, Conflict, PbxAway.
    """
    authorize(identity, Right.CALL)
    _check_number("dst", dst)
    await call(services, identity, name)
    own = TELEPHONY_IDS + identity.person
    ext = next((ext for ext, one in (await parties(services)).items() if one.user_id == own), None)
    made = await _ask(services, subject.PBX_MOVE, CallMove(name, dst.removeprefix("+"), ext), CallMade)
    if made.call is None:
        raise Conflict("The call is not answered, or it is over.", "Transfer it once it is CONNECTED.")
    await _note(services, identity, "call.moved", name, f"to {dst}, as call {made.call}")
    return await _row_of(services, made.call) or {"id": made.call, "state": "HANGUP"}


async def answer(services: Services, identity: Identity, name: str) -> dict[str, object]:
    """Has one's own phone answer the call that it rings for; an administrator that of anybody. The call, once
    it is answered.

    Raises NotFound, NotRegistered when no phone that rings can be told or none has answered, PbxAway.
    """
    authorize(identity, Right.CALL)
    row = await call(services, identity, name)
    if row["state"] in _UP:
        return row
    own = TELEPHONY_IDS + identity.person
    ext = next((ext for ext, one in (await parties(services)).items() if one.user_id == own), "")
    anybody = may(identity, Right.ADMINISTER)
    wish = CallAnswering(name, None if anybody else ext)
    if not (await _ask(services, subject.PBX_ANSWER, wish, CallDone)).found:
        raise NotRegistered(
            "No phone that rings for this call can be told to answer.",
            "A phone that can says Allow-Events: talk while it rings; else answer at the phone.",
        )
    await _note(services, identity, "call.answered", name)
    until = services.clock.now() + _SECONDS
    while services.clock.now() < until:
        found = await _row_of(services, name)
        if found is None or found["state"] in _UP:
            return found or {"id": name, "state": "HANGUP"}
        await asyncio.sleep(_LOOK_EVERY)
    raise NotRegistered("The phone was told to answer, and has not.", "Answer at the phone.")


async def end(services: Services, identity: Identity, names: list[str]) -> None:
    """Hangs up; every call is looked for before the first ends. Raises NotFound, PbxAway."""
    authorize(identity, Right.CALL)
    for name in names:
        await call(services, identity, name)
    for name in names:
        if (await _ask(services, subject.PBX_END, CallEnding(name), CallDone)).found:
            await _note(services, identity, "call.ended", name)


async def record(services: Services, identity: Identity, name: str, on: bool) -> dict[str, object]:
    """Records a call that one is in from now on, after an announcement to both sides, or no longer. The call.

    Raises NotFound, Conflict, PbxAway.
    """
    authorize(identity, Right.CALL)
    row = await call(services, identity, name)
    if row["record"] == on:
        return row
    if not (await _ask(services, subject.PBX_RECORD, CallRecording(name, on), CallDone)).found:
        raise Conflict(
            "The call cannot be recorded: nobody has answered, or its audio does not pass the PBX.",
            "Record it once it is CONNECTED.",
        )
    await _note(services, identity, "call.recorded", name, "begun" if on else "ended")
    return await _row_of(services, name) or {"id": name, "state": "HANGUP"}


async def plan(services: Services, identity: Identity, number: str = "", user: str = "") -> PlanTold:
    """The numbers, trunks and routes of the running PBX; with a ``number`` its way when that user dials it.

    Raises Invalid, Forbidden, PbxAway.
    """
    authorize(identity, Right.ADMINISTER)
    if number:
        _check_number("number", number)
    return await _ask(services, subject.PBX_PLAN, PlanAsked(number.removeprefix("+"), user[:128]), PlanTold)


# -- inside


def _check_number(field: str, number: str) -> None:
    if not number or len(number) > _LONGEST_NUMBER or not set(number) <= set("+0123456789*#"):
        raise Invalid(f"{field} is a number: digits, *, # and + alone.", field=field)


async def _own_extension(services: Services, identity: Identity) -> str:
    own = TELEPHONY_IDS + identity.person
    ext = next((ext for ext, one in (await parties(services)).items() if one.user_id == own), None)
    if ext is None:
        raise NotRegistered("You have no extension.", "An administrator gives one: PATCH /users/<id>.")
    return ext


async def _ask(
    services: Services, where: str, message: msgspec.Struct, kind: type[T], seconds: float = _SECONDS
) -> T:
    if services.broker is None:
        raise PbxAway("This platform runs no PBX.")
    try:
        return decode(kind, await services.broker.request(where, encode(message), seconds))
    except (BrokerError, BadMessage):
        raise PbxAway("The PBX does not answer.", "Try again; its log is pbx.log.") from None


async def parties(services: Services) -> dict[str, Party]:
    """Users by extension."""
    return {ext: Party(*known) for ext, known in (await services.lines.callable_users()).items()}


async def _note(services: Services, identity: Identity, action: str, call: str, detail: str = "") -> None:
    """The call is no record of ours: the entry is written once the PBX has done what was asked."""
    async with services.audit.change():
        await services.audit.note(identity, action, f"call {call}", detail)


async def _row_of(services: Services, name: str) -> dict[str, Any] | None:
    live = await _ask(services, subject.PBX_LIVE, LiveAsked(), Live)
    known = await parties(services)
    now = services.clock.wall()
    return next((_call(one, known, now) for one in live.calls if one.news.call == name), None)


def _is_in(identity: Identity, one: CallNow, parties: dict[str, Party]) -> bool:
    own = TELEPHONY_IDS + identity.person
    return any(user in parties and parties[user].user_id == own for user in users_of(one.news))


def _call(one: CallNow, parties: dict[str, Party], now: float) -> dict[str, Any]:
    return row_of(one.news, one.on_hold, parties, now) | {"record": one.recorded}


def _phone(number: int, one: PhoneNow, party: Party | None) -> dict[str, Any]:
    return {
        "id": f"{one.user}-{number}",
        "user_id": None if party is None else party.user_id,
        "ext": one.user,
        "contact": one.contact,
        "user_agent": one.user_agent,
        "transport": one.transport,
        "source": one.source,
        "registered_at": one.since,
        "expires_at": one.expires_at,
        "latency_ms": None,
        "behind_nat": one.behind_nat,
    }
