"""The services of the platform, put together once: `await Services.open(data, …)`."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from callwright.control.accounts.keys import Keys
from callwright.control.accounts.second_factors import SecondFactors
from callwright.control.accounts.service import Accounts
from callwright.control.agents.service import Agents
from callwright.control.alerts.evaluation import Evaluation
from callwright.control.alerts.service import Alerts
from callwright.control.alerts.telling import IncidentTeller
from callwright.control.api.bounds import Bounds
from callwright.control.audit.service import Audit
from callwright.control.cdrs.service import Cdrs
from callwright.control.cdrs.telling import CallTeller
from callwright.control.certificates.service import Certificates
from callwright.control.contacts.service import Contacts
from callwright.control.credentials.service import Credentials
from callwright.control.credentials.vault import Vault
from callwright.control.dialplan.service import Dialplan
from callwright.control.errors import StorageUnavailable
from callwright.control.evidence.service import EvidenceLimits, RunEvidence
from callwright.control.lines.service import Lines
from callwright.control.monitors.service import Monitors
from callwright.control.notifications.apprise import recognise
from callwright.control.notifications.outbox import Outbox
from callwright.control.notifications.service import Notifications
from callwright.control.projects.service import Projects
from callwright.control.recordings.service import Recordings
from callwright.control.runs.service import Runs
from callwright.control.runs.settings import RunSettings
from callwright.control.runs.telling import RunTeller
from callwright.control.servers.history import History
from callwright.control.servers.service import Servers
from callwright.control.servers.sites import Sites
from callwright.control.status_pages.service import StatusPages
from callwright.control.storage.evidence.location import EvidenceLocation, open_evidence
from callwright.control.storage.schema import Location, current
from callwright.control.storage.stores import Stores, open_stores
from callwright.control.targets.service import Targets
from callwright.control.tests.service import Tests
from callwright.control.texts.service import Texts
from callwright.control.views.service import Views
from callwright.control.voicemail.service import VoiceMail
from callwright.dispatch.broker import Broker
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.net.resolver import NameService, SystemNames

__all__ = ["PBX_ACCOUNTS", "PBX_MESSAGES", "PBX_PLAN", "PBX_RECORDINGS", "PbxPlace", "Services", "Settings"]

PBX_ACCOUNTS = Path("pbx") / "accounts.csv"  # in the data folder
PBX_PLAN = Path("pbx") / "pbx.yaml"
PBX_MESSAGES = Path("pbx") / "messages"
PBX_RECORDINGS = Path("pbx") / "recordings"


@dataclass(frozen=True, slots=True)
class PbxPlace:
    """Where the platform's PBX listens; a port None: not over this transport."""

    host: str
    udp: int | None
    tcp: int | None
    tls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the API and the pages must know of how the platform was started.

    ``public_url``: what links begin with; without it, what the client called us. ``rate_limit``: requests a
    second of one key. ``lease``: seconds. ``agent_expected``: without an agent alive we are not healthy.
    ``metrics_token``: who shows it may read /metrics. ``proxies``: addresses and networks whose
    X-Forwarded-For is believed. ``data``: the folder whose disk must have room. ``bounds``: what may be held
    at once. ``pbx``: None without one; ``sip_socket``: its port for WebSocket on loopback, and our secret
    there. ``cors_origins``: sites whose scripts may use the telephony API.
    """

    public_url: str | None = None
    rate_limit: float = 200.0
    lease: float = 15.0
    agent_expected: bool = True
    metrics_token: str | None = None
    proxies: tuple[str, ...] = ()
    data: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)
    pbx: PbxPlace | None = None
    sip_socket: tuple[int, str] | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()

    def room(self) -> int | None:
        """Octets that may still be written to the data folder; None when that cannot be told."""
        if self.data is None:
            return None
        try:
            return shutil.disk_usage(self.data).free
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Services:
    """What the API, the pages and the keeper are given. ``broker`` None: nothing is heard live, and the
    keeper finds by itself what was queued."""

    stores: Stores
    accounts: Accounts
    second_factors: SecondFactors
    keys: Keys
    credentials: Credentials
    projects: Projects
    audit: Audit
    targets: Targets
    tests: Tests
    runs: Runs
    evidence: RunEvidence
    agents: Agents
    certificates: Certificates
    servers: Servers
    sites: Sites
    monitors: Monitors
    alerts: Alerts
    status_pages: StatusPages
    evaluation: Evaluation
    notifications: Notifications
    vault: Vault
    lines: Lines
    dialplan: Dialplan
    contacts: Contacts
    texts: Texts
    voicemail: VoiceMail
    cdrs: Cdrs
    recordings: Recordings
    views: Views
    clock: Clock
    entropy: Entropy
    history: History
    broker: Broker | None = None

    @classmethod
    async def open(
        cls,
        data: Path,
        *,
        clock: Clock,
        entropy: Entropy,
        database: str | None = None,
        settings: RunSettings | None = None,
        limits: EvidenceLimits | None = None,
        evidence: EvidenceLocation | None = None,
        migrate: bool = False,
        new_secret_key: bool = True,
        cdr_retention: float | None = None,
        connections: int = 10,
        broker: Broker | None = None,
        site: str | None = None,
        names: NameService | None = None,
    ) -> Self:
        """``data``: the folder of everything; made when it is not there. ``database``: postgresql://…, else
        ``<data>/callwright.db``. ``evidence``: where files are kept, else ``<data>/evidence``.
        ``cdr_retention``: seconds, None: for ever.
        ``new_secret_key``: make the key where a database has none, else that is refused. ``site``: what links
        in messages begin with. ``names``: DNS, else the system's.

        Raises UnknownSchema, Unmigrated, StorageUnavailable.
        """
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        location = Location.of(data, database)
        if migrate and await current(location) is None:
            await asyncio.to_thread(_refuse_orphans, data, location)
        stores = await open_stores(location, migrate=migrate, connections=connections)
        try:
            create = new_secret_key or not await _has_sealed(stores, location)
            vault = Vault.open_file(data / "secret.key", entropy, create=create)
        except BaseException:
            await stores.close()
            raise
        audit = Audit(stores.audit, clock=clock)
        factors = SecondFactors(stores.accounts, vault, audit=audit, clock=clock, entropy=entropy)
        accounts = Accounts(stores.accounts, factors, audit=audit, clock=clock, entropy=entropy)
        keys = Keys(stores.accounts, accounts, vault, audit=audit, clock=clock, entropy=entropy)
        credentials = Credentials(stores.credentials, vault, audit=audit, clock=clock)
        projects = Projects(stores.projects, audit=audit, clock=clock)
        targets = Targets(stores.targets, audit=audit, clock=clock)
        tests = Tests(stores.tests, projects, audit=audit, clock=clock)
        agents = Agents(stores.agents, audit=audit, clock=clock, entropy=entropy)
        servers = Servers(stores.servers, agents, audit=audit, clock=clock, entropy=entropy)
        sites = Sites(agents, servers, clock=clock)
        runs = Runs(
            stores.runs,
            tests,
            credentials,
            vault,
            audit=audit,
            clock=clock,
            entropy=entropy,
            settings=settings,
            fleet=sites,
            names=names or SystemNames(),
        )
        monitors = Monitors(
            stores.monitors,
            projects,
            servers,
            agents,
            credentials,
            targets,
            audit=audit,
            clock=clock,
            alert_ids=stores.alerts.ids_of,
            embedded=runs.settings.embedded,
        )
        outbox = Outbox(stores.notifications, clock=clock, entropy=entropy, site=site)
        stores.runs.on_end.append(RunTeller(outbox, stores.runs).tell)
        notifications = Notifications(
            stores.notifications,
            outbox,
            projects,
            vault,
            audit=audit,
            clock=clock,
            entropy=entropy,
            recognise=recognise,
            named_by=partial(_alerts_naming, stores),
            test_names=lambda project_id: stores.tests.names((project_id,)),
        )

        lines = Lines(
            stores.lines,
            accounts,
            vault,
            audit=audit,
            clock=clock,
            entropy=entropy,
            taken=partial(_own_numbers, data),
            also_taken=stores.dialplan.has_extension,
        )

        async def server_names() -> dict[int, str]:
            return {one.number: one.label for one in await servers.listed()}

        async def channel_ids(project_id: int) -> set[int]:
            return {one.id for one in await stores.notifications.channels([project_id])}

        files = open_evidence(evidence or EvidenceLocation(), data, clock)
        kept = RunEvidence(stores.runs, files, clock=clock, limits=limits)
        recordings = Recordings(
            stores.recordings,
            stores.cdrs,
            files,
            audit=audit,
            clock=clock,
            retention=kept.limits.retention,
        )
        kept.on_sweep.append(recordings.forget_old)
        return cls(
            stores,
            accounts,
            factors,
            keys,
            credentials,
            projects,
            audit,
            targets,
            tests,
            runs,
            kept,
            agents,
            Certificates(stores.certificates, vault, clock=clock),
            servers,
            sites,
            monitors,
            Alerts(stores.alerts, monitors, projects, audit=audit, clock=clock, channel_ids=channel_ids),
            StatusPages(
                stores.status_pages,
                stores.monitors,
                monitors.measurements,
                stores.alerts,
                projects,
                vault,
                audit=audit,
                clock=clock,
            ),
            Evaluation(stores.alerts, stores.monitors, IncidentTeller(outbox, server_names), clock=clock),
            notifications,
            vault,
            lines,
            Dialplan(
                stores.dialplan,
                lines,
                targets,
                vault,
                audit=audit,
                clock=clock,
                taken=partial(_own_numbers, data),
            ),
            Contacts(stores.contacts, audit=audit, clock=clock),
            Texts(stores.texts, audit=audit, clock=clock),
            VoiceMail(data / PBX_MESSAGES, lines, audit=audit),
            Cdrs(stores.cdrs, CallTeller(outbox), audit=audit, clock=clock, retention=cdr_retention),
            recordings,
            Views(stores.views),
            clock,
            entropy,
            History(stores.history, clock=clock),
            broker,
        )

    async def close(self) -> None:
        await self.evidence.close()
        await self.stores.close()


async def _alerts_naming(stores: Stores, project_id: int, channel_id: int) -> list[str]:
    """Names of the project's alerts that name the channel."""
    found = await stores.alerts.alerts([project_id])
    return [one.name for one in found if one.deleted_at is None and channel_id in (one.channel_ids or ())]


async def _has_sealed(stores: Stores, location: Location) -> bool:
    """Whether somebody may miss the key: a file of SQLite stands beside it, a server's database may be used
    from a new folder as long as it has no secrets."""
    if location.path is not None and await stores.accounts.users():
        return True
    if any(row.sealed_password for row in await stores.credentials.sealed_credentials()):
        return True
    if any(item.sealed for item in await stores.dialplan.items()):
        return True
    return bool(await stores.accounts.users_with_second_factor() or await stores.lines.lines_in_use())


def _own_numbers(data: Path) -> frozenset[str]:
    """Of the files that the platform's PBX reads besides the database."""
    from callwright.pbx.plan_file import read_plan

    found: set[str] = set()
    with contextlib.suppress(OSError, KeyError):
        rows = csv.DictReader((data / PBX_ACCOUNTS).read_text().splitlines())
        found |= {row["user"] for row in rows}
    with contextlib.suppress(OSError, ValueError):  # a file with a mistake: the PBX does not run with it
        plan = read_plan((data / PBX_PLAN).read_text("utf-8-sig"))
        found |= {number for one in plan.accounts for number in (one.user, one.extension) if number}
        found |= {service.number for service in plan.services}
    return frozenset(found)


def _refuse_orphans(data: Path, location: Location) -> None:
    """Evidence of runs beside a database without any is a database that was lost, and no first start."""
    folder = data / "evidence"
    try:
        with os.scandir(folder) as entries:
            runs = sum(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    except OSError:
        return
    if runs:
        empty = location.path is not None and location.path.exists()
        what = f"{location.path or 'The database'} has {'0 octets' if empty else 'no records'}"
        raise StorageUnavailable(
            f"{what}, but {folder} has files of {runs} run{'s' if runs > 1 else ''}: "
            "this is not a first start.",
            f"Restore the database from a backup: callwright restore. To begin anew, move {folder} away.",
        )
