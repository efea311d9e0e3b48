"""Every action of the audit log, by table: it is written, by whom, and never apart from its change."""

from __future__ import annotations

import asyncio
import sqlite3
from base64 import b32decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callwright.alerting.cause import Cause, CauseKind
from callwright.control import switchboard
from callwright.control.accounts.model import PLATFORM, Identity, Role, User, identity_of
from callwright.control.accounts.passwords import Passwords
from callwright.control.accounts.second_factors import Enrolment
from callwright.control.accounts.totp import code_at, step_of
from callwright.control.agents.model import AgentInfo
from callwright.control.alerts.model import Incident
from callwright.control.audit.actions import ACTIONS, render_markdown
from callwright.control.audit.model import AuditEntry
from callwright.control.cdrs.foreign import read
from callwright.control.cdrs.model import Cdr
from callwright.control.cdrs.rates import Rate
from callwright.control.collections.model import Every
from callwright.control.errors import Forbidden, NotFound, StorageUnavailable
from callwright.control.projects.model import Membership
from callwright.control.recordings.model import Recording
from callwright.control.services import PBX_MESSAGES, Services
from callwright.control.texts.model import Status
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.net.clock import ManualClock
from callwright.pbx.messages import Mailboxes, VoiceMessage
from tests.control.desk import Desk, live_at

UTC = ZoneInfo("UTC")
PASSWORD = "correct horse battery"
HASHED = asyncio.run(Passwords().hash(PASSWORD))  # once, since it takes a while
TEST = "name: mine\nsteps: [{options: {party: a}}]"


@dataclass(frozen=True)
class World:
    """A platform in which everything that can be changed is there once."""

    services: Services
    ana: Identity  # an administrator

    @classmethod
    async def made(cls, services: Services, ana: Identity, data: Path) -> World:
        row = User(0, "bob", "Bob", "", Role.MEMBER, "Normal", "UTC", 0.0, None, None)
        await services.stores.accounts.add_user(row, HASHED)
        taped = Recording(0, "0-1", 1, 1.0, 2, 3, "1001", None, "", "1002", None, "", "00", "0-1/1/a.mp3")
        await services.stores.recordings.add_recording(taped)
        gone = User(0, "dan", "Dan", "", Role.MEMBER, "Normal", "UTC", 0.0, None, 1.0)
        await services.stores.accounts.add_user(gone, HASHED)
        await services.projects.create(ana, "office")
        await services.tests.create(ana, TEST, project="office")
        project = await services.projects.get(ana, "office")
        bob = await services.accounts.user_by_name("bob")
        await services.projects.put_member(ana, bob, project, Role.MEMBER)
        await services.keys.create("ci", await services.accounts.user(ana.user_id), identity=ana)
        await services.keys.create_token(ana, "laptop")
        await services.credentials.put(ana, "line", {"user": "4101", "password": "s3cret-word"})
        await services.runs.start(ana, "mine", report_mode="kiosk")
        await services.targets.add(ana, host="sbc.example.com")
        await services.agents.create_pool(ana, "lab")
        await services.agents.create_pool(ana, "empty")
        token, _ = await services.agents.create_enrolment(ana, "lab")
        agent, _ = await services.agents.enrol(token, "one", AgentInfo())
        for _ in range(2):
            server = await services.servers.adopt(agent)
        await services.servers.cancel(ana, server.number)
        await services.servers.pause(ana, True)
        for name in ("phone", "cancelled"):
            fields = {"name": name, "ip_address": "192.168.1.20", "category": "ping"}
            endpoint = await services.monitors.create(ana, fields, project="office")
        await services.monitors.cancel(ana, endpoint.id)
        await services.status_pages.create(ana, "out", [1], project="office")
        for name in ("loud", "quiet"):
            rule = {"name": name, "condition": "mos < 3.9"}
            alert = await services.alerts.create(ana, rule, project="office")
        await services.alerts.cancel(ana, alert.id)
        await services.stores.alerts.add_incident(
            Incident(
                id=0,
                project_id=alert.project_id,
                cause=Cause(CauseKind.ENDPOINT, endpoint=endpoint.id),
                started_at=1.0,
                ended_at=None,
                acknowledged_at=None,
                acknowledged_by="",
                children=(),
                story=(),
            )
        )
        factors = services.second_factors
        for user in (await services.accounts.user(ana.user_id), bob):
            await factors.begin(user)
        code = code_at(b32decode((await _begun(services, "ana")).secret), step_of(services.clock.wall()))
        await factors.confirm(ana, code)
        hook = {"name": "ops", "url": "https://hooks.example.com/"}
        await services.notifications.create(ana, hook, kind="webhook", project="office")
        await services.cdrs.note([CallNews("1", CallStep.ENDED, None, "77", "x", 1.0)], {})
        await services.lines.change(ana, [(100_002, {"ext": "2001"})])
        await services.dialplan.create(ana, "queues", {"name": "Desk", "ext": "600"})
        await services.contacts.create(ana, {"first_name": "Dan", "global": True})
        await services.texts.keep(ana, "2001", "2002", "hello", Status.FAILED, "480")
        mailboxes = Mailboxes(data / PBX_MESSAGES)
        mailboxes.path("2001", "left").write_bytes(b"")
        mailboxes.keep(VoiceMessage("left", "2001", "2002", 1.0, 2.0))
        return cls(services, ana)

    async def agent(self) -> str:
        return (await self.services.agents.list())[0].id

    async def run(self) -> str:
        return (await self.services.runs.list(PLATFORM))[0].session_id

    async def key(self) -> int:
        return (await self.services.keys.list(self.ana))[0].id

    async def token(self) -> int:
        return (await self.services.keys.tokens(self.ana))[0].id

    async def enrol(self) -> None:
        token = (await self.services.agents.create_enrolment(PLATFORM, "lab"))[0]
        await self.services.agents.enrol(token, "two", AgentInfo())


async def _member(w: World, *, leaves: bool) -> None:
    project = await w.services.projects.get(w.ana, "office")
    bob = await w.services.accounts.user_by_name("bob")
    if leaves:
        await w.services.projects.remove_member(w.ana, bob, project)
    else:
        await w.services.projects.put_member(w.ana, bob, project, Role.VIEWER)


async def _user(w: World) -> int:
    return (await w.services.accounts.user_by_name("bob")).id


async def _begun(services: Services, username: str) -> Enrolment:
    begun = await services.second_factors.begun(await services.accounts.user_by_name(username))
    assert begun is not None
    return begun


async def _second_factor(w: World) -> None:
    secret = b32decode((await _begun(w.services, "bob")).secret)
    bob = await w.services.accounts.user_by_name("bob")
    identity = await w.services.accounts.identity(bob.id, bob.username, bob.role)
    await w.services.second_factors.confirm(identity, code_at(secret, step_of(w.services.clock.wall())))


async def _no_second_factor(w: World) -> None:
    await w.services.second_factors.remove(w.ana, await w.services.accounts.user_by_name("ana"))


def _record() -> Cdr:
    (found,), _ = read("asterisk", "src,dst,start,duration,billsec,disposition\n1,2,2026-11-29,1,0,BUSY", UTC)
    return found


async def _key(w: World) -> None:
    await w.services.keys.create("x", await w.services.accounts.user(1), identity=w.ana)


async def _made(w: World) -> None:
    """Revokes a key with the token for an agent that was made with it."""
    key = await w.key()
    by_key = Identity(w.ana.user_id, "ana", Role.ADMIN, w.ana.rights, key_id=key)
    await w.services.agents.create_enrolment(by_key, "lab")
    await w.services.keys.revoke(PLATFORM, key, with_made=True)


async def _agent(w: World, act: str) -> None:
    await getattr(w.services.agents, act)(w.ana, await w.agent())


async def _run(w: World, act: str) -> None:
    await getattr(w.services.runs, act)(w.ana, await w.run())


Act = Callable[[World], Awaitable[Any]]

#: How each is done, what it is done to, and by whom.
CASES: dict[str, tuple[Act, str, str]] = {
    "login.succeeded": (lambda w: w.services.accounts.login("bob", PASSWORD), "user bob", "bob"),
    "login.failed": (lambda w: w.services.accounts.login("BOB", "wrong"), "user bob", "bob"),
    "user.created": (
        lambda w: w.services.accounts.create_user(w.ana, username="eve", password=PASSWORD),
        "user eve",
        "ana",
    ),
    "user.changed": (lambda w: _changed_user(w), "user bob", "ana"),
    "user.deleted": (lambda w: _deleted_user(w), "user bob", "ana"),
    "user.restored": (lambda w: _restored_user(w), "user dan", "ana"),
    "user.password": (lambda w: _password(w), "user 2", "ana"),
    "twofactor.on": (lambda w: _second_factor(w), "user bob", "bob"),
    "twofactor.off": (lambda w: _no_second_factor(w), "user ana", "ana"),
    "twofactor.codes": (
        lambda w: w.services.second_factors.new_recovery_codes(w.ana),
        "user ana",
        "ana",
    ),
    "cdr.imported": (lambda w: w.services.cdrs.add(w.ana, "asterisk", [_record()]), "cdr", "ana"),
    "cdr.rated": (lambda w: w.services.cdrs.rate(w.ana, Every()), "cdr", "ana"),
    "rates.replaced": (lambda w: w.services.cdrs.replace_rates(w.ana, [Rate("43", "", 0.1)]), "rates", "ana"),
    "cdr.deleted": (lambda w: w.services.cdrs.delete(w.ana, [1]), "cdr 1", "ana"),
    "recording.deleted": (lambda w: w.services.recordings.delete(w.ana, [1]), "recording 1", "ana"),
    "line.changed": (
        lambda w: w.services.lines.change(w.ana, [(100_002, {"ext": "2001"})]),
        "user bob",
        "ana",
    ),
    "member.put": (lambda w: _member(w, leaves=False), "user bob", "ana"),
    "member.removed": (lambda w: _member(w, leaves=True), "user bob", "ana"),
    "key.created": (_key, "key 2", "ana"),
    "key.revoked": (lambda w: w.services.keys.revoke(w.ana, 1), "key 1", "ana"),
    "token.created": (lambda w: w.services.keys.create_token(w.ana, "y"), "token 2", "ana"),
    "token.revealed": (lambda w: w.services.keys.reveal_token(w.ana, 1), "token 1", "ana"),
    "token.revoked": (lambda w: w.services.keys.revoke_token(w.ana, 1), "token 1", "ana"),
    "credential.created": (
        lambda w: w.services.credentials.put(w.ana, "new", {"user": "1"}),
        "new",
        "ana",
    ),
    "credential.changed": (
        lambda w: w.services.credentials.put(w.ana, "line", {"user": "2"}, replace=True),
        "line",
        "ana",
    ),
    "credential.deleted": (lambda w: w.services.credentials.delete(w.ana, "line"), "line", "ana"),
    "project.created": (lambda w: w.services.projects.create(w.ana, "lab"), "project lab", "ana"),
    "project.changed": (
        lambda w: w.services.projects.limit(w.ana, "office", max_running=2, max_queued=None),
        "project office",
        "ana",
    ),
    "test.created": (
        lambda w: w.services.tests.create(w.ana, TEST, project="office", name="other"),
        "test other",
        "ana",
    ),
    "test.changed": (
        lambda w: w.services.tests.update(w.ana, "mine", document=TEST + "\n"),
        "test mine",
        "ana",
    ),
    "test.deleted": (lambda w: w.services.tests.delete(w.ana, "mine"), "test mine", "ana"),
    "run.started": (lambda w: w.services.runs.start(w.ana, "mine"), "run ", "ana"),
    "run.stopped": (lambda w: _run(w, "stop"), "run ", "ana"),
    "kiosk.shared": (lambda w: _run(w, "share"), "run ", "ana"),
    "kiosk.revoked": (lambda w: _run(w, "revoke_kiosk"), "run ", "ana"),
    "target.added": (
        lambda w: w.services.targets.add(w.ana, network="192.0.2.0/24"),
        "target 2",
        "ana",
    ),
    "target.removed": (lambda w: w.services.targets.remove(w.ana, 1), "target 1", "ana"),
    "kill.engaged": (lambda w: w.services.runs.kill(w.ana, "smoke"), "1 runs", "ana"),
    "kill.released": (lambda w: w.services.runs.release_kill_switch(w.ana), "", "ana"),
    "pool.created": (lambda w: w.services.agents.create_pool(w.ana, "far"), "pool far", "ana"),
    "pool.changed": (lambda w: _give_pool(w), "pool lab", "ana"),
    "pool.deleted": (lambda w: w.services.agents.delete_pool(w.ana, "empty"), "pool empty", "ana"),
    "agent.enrolment": (lambda w: w.services.agents.create_enrolment(w.ana, "lab"), "pool lab", "ana"),
    "agent.enrolled": (lambda w: w.enrol(), "agent two", "callwright"),
    "enrolment.revoked": (_made, "enrolment 2", "callwright"),
    "agent.drain": (lambda w: _agent(w, "drain"), "agent one", "ana"),
    "agent.resume": (lambda w: _agent(w, "resume"), "agent one", "ana"),
    "agent.revoke": (lambda w: _agent(w, "revoke"), "agent one", "ana"),
    "agent.restore": (lambda w: _agent(w, "restore"), "agent one", "ana"),
    "server.created": (lambda w: w.services.servers.order(w.ana), "server ", "ana"),
    "server.changed": (lambda w: _server(w, "changed"), "server one", "ana"),
    "server.deleted": (lambda w: _server(w, "deleted"), "server one", "ana"),
    "server.recovered": (lambda w: _server(w, "recovered"), "server ", "ana"),
    "alert.created": (
        lambda w: w.services.alerts.create(w.ana, {"name": "new", "condition": "mos < 3"}, project="office"),
        "alert new",
        "ana",
    ),
    "alert.changed": (lambda w: w.services.alerts.change(w.ana, 1, {"reminder": 60.0}), "alert loud", "ana"),
    "alert.deleted": (lambda w: w.services.alerts.cancel(w.ana, 1), "alert loud", "ana"),
    "alert.recovered": (lambda w: w.services.alerts.recover(w.ana, 2), "alert quiet", "ana"),
    "incident.acknowledged": (lambda w: w.services.alerts.acknowledge(w.ana, 1), "incident 1", "ana"),
    "channel.created": (lambda w: _channel(w, "created"), "channel new", "ana"),
    "channel.changed": (lambda w: _channel(w, "changed"), "channel ops", "ana"),
    "channel.deleted": (lambda w: _channel(w, "deleted"), "channel ops", "ana"),
    "channel.tried": (lambda w: _channel(w, "tried"), "channel ops", "ana"),
    "endpoint.created": (lambda w: _endpoint(w, "created"), "endpoint desk", "ana"),
    "endpoint.changed": (lambda w: _endpoint(w, "changed"), "endpoint phone", "ana"),
    "endpoint.deleted": (lambda w: _endpoint(w, "deleted"), "endpoint phone", "ana"),
    "endpoint.recovered": (lambda w: _endpoint(w, "recovered"), "endpoint cancelled", "ana"),
    "status_page.created": (
        lambda w: w.services.status_pages.create(w.ana, "new", [1], project="office"),
        "status page new",
        "ana",
    ),
    "status_page.changed": (lambda w: w.services.status_pages.renew(w.ana, 1), "status page out", "ana"),
    "status_page.deleted": (lambda w: w.services.status_pages.delete(w.ana, 1), "status page out", "ana"),
    "pbx.created": (
        lambda w: w.services.dialplan.create(w.ana, "ringgroups", {"name": "Sales", "ext": "601"}),
        "ring group Sales",
        "ana",
    ),
    "pbx.changed": (
        lambda w: w.services.dialplan.change(w.ana, "queues", [(1, {"ring_time": 5})]),
        "queue Desk",
        "ana",
    ),
    "pbx.deleted": (lambda w: w.services.dialplan.delete(w.ana, "queues", [1]), "queue Desk", "ana"),
    "contact.created": (
        lambda w: w.services.contacts.create(w.ana, {"first_name": "Eve"}),
        "contact 2",
        "ana",
    ),
    "contact.changed": (
        lambda w: w.services.contacts.change(w.ana, [(1, {"tel": "43123"})]),
        "contact 1",
        "ana",
    ),
    "contact.deleted": (lambda w: w.services.contacts.delete(w.ana, [1]), "contact 1", "ana"),
    "sms.sent": (lambda w: _text(w), "sms 2", "ana"),
    "sms.deleted": (lambda w: w.services.texts.delete(w.ana, [1]), "sms 1", "ana"),
    "voicemessage.deleted": (
        lambda w: w.services.voicemail.delete(w.ana, ["left"]),
        "voice message left",
        "ana",
    ),
    "call.placed": (lambda w: _call(w, "placed"), "call new", "ana"),
    "call.answered": (lambda w: _call(w, "answered"), "call two", "ana"),
    "call.moved": (lambda w: _call(w, "moved"), "call one", "ana"),
    "call.recorded": (lambda w: _call(w, "recorded"), "call one", "ana"),
    "call.ended": (lambda w: _call(w, "ended"), "call one", "ana"),
    "fleet.paused": (lambda w: w.services.servers.pause(w.ana, True), "fleet", "ana"),
    "fleet.resumed": (lambda w: w.services.servers.pause(w.ana, False), "fleet", "ana"),
    "fleet.pool": (lambda w: w.services.servers.set_pool(w.ana, "lab", {"maximum": 3}), "pool lab", "ana"),
}


async def _text(w: World) -> None:
    await w.services.texts.keep(w.ana, "2001", "2002", "hello", Status.DELIVERED, "200 OK")


async def _call(w: World, what: str) -> None:
    broker = MemoryBroker()
    live = replace(w.services, broker=broker)
    try:
        await Desk(live_at(w.services.clock.wall())).open(broker)
        match what:
            case "placed":
                await switchboard.place(live, w.ana, "2002", 100_002)
            case "answered":
                await switchboard.answer(live, w.ana, "two")
            case "moved":
                await switchboard.move(live, w.ana, "one", "2003")
            case "recorded":
                await switchboard.record(live, w.ana, "one", True)
            case _:
                await switchboard.end(live, w.ana, ["one"])
    finally:
        await broker.close()


async def _server(w: World, what: str) -> None:
    servers = w.services.servers
    one, deleted = await servers.listed()
    match what:
        case "changed":
            await servers.describe(w.ana, one.number, label="Berlin")
        case "deleted":
            await servers.cancel(w.ana, one.number)
        case "recovered":
            await servers.recover(w.ana, deleted.number)


async def _endpoint(w: World, what: str) -> None:
    monitors = w.services.monitors
    match what:
        case "created":
            fields = {"name": "desk", "ip_address": "192.168.1.21", "category": "ping"}
            await monitors.create(w.ana, fields, project="office")
        case "changed":
            await monitors.change(w.ana, 1, {"description": "in the hall"})
        case "deleted":
            await monitors.cancel(w.ana, 1)
        case "recovered":
            await monitors.recover(w.ana, 2)


async def _channel(w: World, what: str) -> None:
    channels = w.services.notifications
    if what == "created":
        fields = {"name": "new", "url": "https://hooks.example.com/2"}
        await channels.create(w.ana, fields, kind="webhook", project="office")
        return
    channel = await channels.channel(w.ana, 1)
    match what:
        case "changed":
            await channels.change(w.ana, channel, {"after": 5})
        case "deleted":
            await channels.remove(w.ana, channel)
        case "tried":
            await channels.try_out(w.ana, channel)


async def _changed_user(w: World) -> None:
    await w.services.accounts.change_user(w.ana, await _user(w), role=Role.RUNNER)


async def _deleted_user(w: World) -> None:
    await w.services.accounts.delete_user(w.ana, await _user(w))


async def _restored_user(w: World) -> None:
    (dan,) = [user for user in await w.services.stores.accounts.users(deleted=True) if user.deleted_at]
    await w.services.accounts.restore_user(w.ana, dan.id)


async def _password(w: World) -> None:
    await w.services.accounts.set_password(w.ana, await _user(w), PASSWORD + "!")


async def _give_pool(w: World) -> None:
    await w.services.agents.give_pool(w.ana, "lab", await w.services.projects.get(w.ana, "office"))


def records(data: Path) -> list[str]:
    """Everything that is kept but the log."""
    with sqlite3.connect(data / "data" / "callwright.db") as connection:
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "audit"')]


def test_every_action_has_its_case() -> None:
    assert set(CASES) == set(ACTIONS)


def test_the_page_of_the_docs_is_made_from_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "audit-log.md"
    assert page.read_text(encoding="utf-8") == render_markdown(), "run `make docs`"


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_is_in_the_log_with_who_did_it_and_to_what(
    services: Services, admin: Identity, clock: ManualClock, tmp_path: Path, action: str
) -> None:
    world = await World.made(services, admin, tmp_path / "data")
    before = (await services.audit.log(PLATFORM))[0].id
    clock.advance(5)
    act, object_, who = CASES[action]
    await act(world)
    log = [entry for entry in await services.audit.log(PLATFORM) if entry.id > before]
    found = [entry for entry in log if entry.action == action]
    assert len(found) == 1, log
    assert found[0].object == object_ or (object_.endswith(" ") and found[0].object.startswith(object_))
    assert (found[0].username, found[0].at) == (who, clock.wall())
    assert not any(secret in str(log) for secret in (PASSWORD, "s3cret-word"))


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "login.failed"])
async def test_a_change_whose_entry_cannot_be_kept_is_not_made(
    services: Services, admin: Identity, tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await World.made(services, admin, tmp_path / "data")
    act, _, _ = CASES[action]
    kept = services.stores.audit.add_audit

    async def full(entry: AuditEntry) -> None:
        if entry.action != action:
            await kept(entry)
        else:
            raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(services.stores.audit, "add_audit", full)
    if action in ("agent.enrolled", "enrolment.revoked"):  # they begin with an entry that is kept
        with pytest.raises(StorageUnavailable):
            await act(world)
        states = [(a.name, a.state) for a in await services.agents.list()]
        assert states == [("one", "active")]
        assert (await services.agents.enrolments(PLATFORM))[0].used_at is None
        return
    before = records(tmp_path)
    with pytest.raises(StorageUnavailable):
        await act(world)
    assert records(tmp_path) == before


#: The least role that may do it. All else is anybody's own: signing in, tokens, and what a token enrols.
LEAST: dict[str, Role] = {
    **dict.fromkeys(("run.started", "run.stopped", "kiosk.shared", "kiosk.revoked"), Role.RUNNER),
    **dict.fromkeys(("test.created", "test.changed", "test.deleted"), Role.MEMBER),
    **dict.fromkeys(
        (
            f"{what}.{done}"
            for what in ("endpoint", "alert")
            for done in ("created", "changed", "deleted", "recovered")
        ),
        Role.MEMBER,
    ),
    **dict.fromkeys((f"status_page.{done}" for done in ("created", "changed", "deleted")), Role.MEMBER),
    "incident.acknowledged": Role.RUNNER,
    **{f"channel.{done}": Role.MEMBER for done in ("created", "changed", "deleted", "tried")},
}
OWN = {
    "login.succeeded",
    "login.failed",
    "token.created",
    "token.revealed",
    "token.revoked",
    "agent.enrolled",
    "enrolment.revoked",
    "twofactor.on",
    "twofactor.codes",
    "contact.created",
    "sms.sent",
}


@pytest.mark.parametrize("action", [action for action in ACTIONS if action not in OWN])
async def test_an_action_is_refused_to_each_role_below_the_least_that_may_do_it(
    services: Services, admin: Identity, tmp_path: Path, action: str
) -> None:
    await World.made(services, admin, tmp_path / "data")
    act = CASES[action][0]
    office = (await services.projects.get(admin, "office")).id
    least = LEAST.get(action, Role.ADMIN)
    for role in Role:
        member = [Membership(9, "kim", office, "office", role, 0.0)]
        as_role = World(services, identity_of(9, "kim", role, member))
        if role == least:
            await act(as_role)
            break
        with pytest.raises((Forbidden, NotFound)):
            await act(as_role)
        assert all(entry.username != "kim" for entry in await services.audit.log(PLATFORM))
    assert (await services.audit.log(PLATFORM))[0].username == "kim"


async def test_a_change_that_is_refused_is_not_in_the_log(
    services: Services, admin: Identity, tmp_path: Path
) -> None:
    await World.made(services, admin, tmp_path / "data")
    count = len(await services.audit.log(PLATFORM, limit=1000))
    for attempt in (
        services.targets.remove(admin, 99),
        services.keys.revoke(admin, 99),
        services.tests.delete(admin, "nothing"),
        services.tests.create(admin, TEST, project="office"),
        services.agents.revoke(admin, "nobody"),
        services.accounts.create_user(admin, username="bob", password=PASSWORD),
        services.runs.start(admin, "nothing"),
    ):
        with pytest.raises(Exception, match=r"There is|taken"):
            await attempt
    assert len(await services.audit.log(PLATFORM, limit=1000)) == count


async def test_the_log_says_which_key_was_used_and_from_where_somebody_came(
    services: Services, admin: Identity
) -> None:
    owner = await services.accounts.user(admin.user_id)
    public, secret = await services.keys.create("ci", owner, identity=admin)
    by_key = await services.accounts.authenticate_basic(public, secret)
    assert by_key is not None
    await services.targets.add(by_key, host="sbc.example.com")
    await services.accounts.login("nobody", "wrong", source="192.0.2.7")
    await services.accounts.note_failed_login(public, "192.0.2.8")
    key, unknown, target = (await services.audit.log(admin))[:3]
    assert (target.username, target.key_id) == ("ana", by_key.key_id)
    assert (unknown.user_id, unknown.object, unknown.detail) == (0, "user nobody", "from 192.0.2.7")
    assert (key.user_id, key.object) == (admin.user_id, f"user {public}")


async def test_guesses_by_the_thousand_do_not_fill_the_log(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    for _ in range(500):
        await services.accounts.note_failed_login("ana", "192.0.2.7")
    clock.advance(1)
    await services.accounts.note_failed_login("ana", "192.0.2.7")
    log = await services.audit.log(admin, limit=1000)
    assert len(log) == 21
    assert log[0].detail == "from 192.0.2.7, 480 more before it were not listed"


async def test_a_key_is_revoked_with_all_that_it_made(services: Services, admin: Identity) -> None:
    """Also with what a key made that it made, and with agents that came by its tokens."""
    accounts, agents = services.accounts, services.agents
    owner = await accounts.user(admin.user_id)

    async def made(maker: Identity) -> Identity:
        found = await accounts.authenticate_basic(*await services.keys.create("ci", owner, identity=maker))
        assert found is not None
        return found

    first = await made(admin)
    second = await made(first)
    third = await made(second)
    stranger = await made(admin)
    await services.keys.create_token(third, "laptop")
    token, _ = await agents.create_enrolment(second, "lab")
    agent, _ = await agents.enrol(token, "one", AgentInfo())
    await agents.create_enrolment(second, "lab")
    assert second.key_id is not None
    # One in the middle was revoked alone: what it made is found all the same.
    assert await services.keys.revoke(admin, second.key_id) == []
    assert await accounts.authenticate_basic("x", "y") is None
    assert first.key_id is not None
    listed = await services.keys.made_by(admin, first.key_id)
    assert sorted((one.kind, one.name) for one in listed) == [
        ("agent", "one"),
        ("enrolment", "lab"),
        ("key", "ci"),
        ("token", "laptop"),
    ]
    assert sorted(map(str, await services.keys.revoke(admin, first.key_id, with_made=True))) == sorted(
        map(str, listed)
    )
    living = [key.id for key in await services.keys.list(admin) if key.revoked_at is None]
    assert living == [stranger.key_id]
    assert await services.keys.tokens(admin) == []
    assert (await agents.get(agent.id)).state == "revoked"
    assert await services.keys.made_by(admin, first.key_id) == []
    keys = {key.id: key for key in await services.keys.list(admin)}
    assert second.key_id in keys
    assert (keys[second.key_id].created_by, keys[second.key_id].made_by_key) == ("ana", first.key_id)
