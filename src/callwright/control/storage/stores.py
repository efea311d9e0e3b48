"""Opens the records: `await open_stores(Location.of(data, database))`."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.control.accounts.store import AccountStore
from callwright.control.agents.store import AgentStore
from callwright.control.alerts.store import AlertStore
from callwright.control.audit.store import AuditStore
from callwright.control.cdrs.store import CdrStore
from callwright.control.certificates.store import CertificateStore
from callwright.control.contacts.store import ContactStore
from callwright.control.credentials.store import CredentialStore
from callwright.control.dialplan.store import DialplanStore
from callwright.control.errors import Unmigrated
from callwright.control.leading import LeaderStore
from callwright.control.lines.store import LineStore
from callwright.control.monitors.store import MonitorStore
from callwright.control.notifications.store import NotificationStore
from callwright.control.projects.store import ProjectStore
from callwright.control.recordings.store import RecordingStore
from callwright.control.runs.store import RunStore
from callwright.control.servers.store import HistoryStore, ServerStore
from callwright.control.status_pages.store import StatusPageStore
from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.control.storage.sql.database import Database
from callwright.control.targets.store import TargetStore
from callwright.control.tests.store import TestStore
from callwright.control.texts.store import TextStore
from callwright.control.views.store import ViewStore

__all__ = ["Stores", "open_stores"]


@dataclass(frozen=True, slots=True)
class Stores:
    """All on one database."""

    database: Database
    accounts: AccountStore
    projects: ProjectStore
    credentials: CredentialStore
    audit: AuditStore
    targets: TargetStore
    tests: TestStore
    runs: RunStore
    agents: AgentStore
    servers: ServerStore
    certificates: CertificateStore
    history: HistoryStore
    lines: LineStore
    dialplan: DialplanStore
    contacts: ContactStore
    texts: TextStore
    monitors: MonitorStore
    cdrs: CdrStore
    recordings: RecordingStore
    alerts: AlertStore
    views: ViewStore
    notifications: NotificationStore
    status_pages: StatusPageStore
    leaders: LeaderStore

    async def close(self) -> None:
        await self.database.close()


async def open_stores(location: Location, *, migrate: bool = False, connections: int = 10) -> Stores:
    """``migrate``: bring the schema forward first, where it is older or not there.

    Raises UnknownSchema (nothing was touched), Unmigrated, StorageUnavailable.
    """
    version = await schema.current(location)
    if not schema.check(version):
        if not migrate:
            raise Unmigrated(
                "The database is empty."
                if version is None
                else f"The database has the old schema {version}.",
                "Bring it forward: callwright migrate",
            )
        await schema.migrate(location)
    return on_database(await _open_database(location, connections))


def on_database(database: Database) -> Stores:
    from callwright.control.storage.sql.accounts import SqlAccountStore
    from callwright.control.storage.sql.agents import SqlAgentStore
    from callwright.control.storage.sql.alerts import SqlAlerts
    from callwright.control.storage.sql.audit import SqlAuditStore
    from callwright.control.storage.sql.cdrs import SqlCdrs
    from callwright.control.storage.sql.certificates import SqlCertificates
    from callwright.control.storage.sql.contacts import SqlContacts
    from callwright.control.storage.sql.credentials import SqlCredentials
    from callwright.control.storage.sql.dialplan import SqlDialplan
    from callwright.control.storage.sql.fleet_history import SqlFleetHistory
    from callwright.control.storage.sql.leaders import SqlLeaders
    from callwright.control.storage.sql.lines import SqlLines
    from callwright.control.storage.sql.members import SqlProjectStore
    from callwright.control.storage.sql.monitors import SqlMonitors
    from callwright.control.storage.sql.notifications import SqlNotifications
    from callwright.control.storage.sql.recordings import SqlRecordings
    from callwright.control.storage.sql.runs.store import SqlRunStore
    from callwright.control.storage.sql.servers import SqlServers
    from callwright.control.storage.sql.status_pages import SqlStatusPages
    from callwright.control.storage.sql.targets import SqlTargets
    from callwright.control.storage.sql.tests import SqlTestStore
    from callwright.control.storage.sql.texts import SqlTexts
    from callwright.control.storage.sql.views import SqlViews

    return Stores(
        database,
        SqlAccountStore(database),
        SqlProjectStore(database),
        SqlCredentials(database),
        SqlAuditStore(database),
        SqlTargets(database),
        SqlTestStore(database),
        SqlRunStore(database),
        SqlAgentStore(database),
        SqlServers(database),
        SqlCertificates(database),
        SqlFleetHistory(database),
        SqlLines(database),
        SqlDialplan(database),
        SqlContacts(database),
        SqlTexts(database),
        SqlMonitors(database),
        SqlCdrs(database),
        SqlRecordings(database),
        SqlAlerts(database),
        SqlViews(database),
        SqlNotifications(database),
        SqlStatusPages(database),
        SqlLeaders(database),
    )


async def _open_database(location: Location, connections: int) -> Database:
    if location.path is not None:
        from callwright.control.storage.sql.sqlite import SqliteDatabase

        return SqliteDatabase(location.path)
    from callwright.control.storage.sql.postgres import PostgresDatabase

    return await PostgresDatabase.open(str(location.url), connections=connections)
