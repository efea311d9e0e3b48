"""keys, users, backup, restore and migrate: what they answer, beside a running platform too."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, Table

from callwright.cli.main import run
from callwright.control.accounts.model import PLATFORM, Identity
from callwright.control.services import Services
from callwright.control.storage import schema
from callwright.control.storage.evidence.location import EvidenceLocation
from callwright.control.storage.sql.tables import metadata
from callwright.host.evidence_place import note_place
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from tests.kit import postgresql
from tests.kit.served import serving

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def command(data: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a verb on the data folder, and returns its JSON document."""

    def act(*arguments: str, code: int = 0, on: Path = data) -> dict[str, Any]:
        assert run([*arguments, "--data", str(on), "--json"]) == code
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return act


def opened(data: Path) -> Services:
    return asyncio.run(Services.open(data, clock=SystemClock(), entropy=system_entropy, migrate=True))


def authenticated(data: Path, public: str, secret: str) -> Identity | None:
    async def work() -> Identity | None:
        services = await Services.open(data, clock=SystemClock(), entropy=system_entropy)
        try:
            return await services.accounts.authenticate_basic(public, secret)
        finally:
            await services.close()

    return asyncio.run(work())


def test_a_key_is_made_listed_and_revoked_beside_a_running_platform(data: Path, command: Command) -> None:
    running = opened(data)
    command("users", "create", "ana", "--role", "admin")
    made = command("keys", "create", "--name", "ci")
    assert set(made) == {"name", "public_key", "secret", "user", "project"}
    assert made["user"] == "ana"
    identity = authenticated(data, made["public_key"], made["secret"])
    assert identity is not None
    (listed,) = command("keys", "list")["keys"]
    assert (listed["public_key"], listed["revoked_at"]) == (made["public_key"], None)
    assert made["secret"] not in str(listed)
    command("keys", "revoke", made["public_key"])
    assert authenticated(data, made["public_key"], made["secret"]) is None
    asyncio.run(running.close())


def test_where_there_is_no_platform_nothing_is_made_and_the_remedy_is_told(
    data: Path, command: Command
) -> None:
    refused = command("keys", "create", "--name", "ci", code=2)
    assert "no platform" in refused["reason"]
    assert "--data" in refused["remedy"]
    assert not data.exists()
    assert "mysql" in command("keys", "list", "--database", "mysql://h/d", code=2)["reason"]


def test_a_key_needs_a_user(data: Path, command: Command) -> None:
    command("migrate")
    assert "users create" in command("keys", "create", "--name", "ci", code=2)["remedy"]
    command("users", "create", "ana", "--role", "admin")
    assert "bob" in command("keys", "create", "--name", "ci", "--user", "bob", code=2)["reason"]
    assert "key" in command("keys", "revoke", "99", code=2)["reason"]


def test_users_are_made_changed_and_deleted(data: Path, command: Command, tmp_path: Path) -> None:
    made = command("users", "create", "ana", "--role", "admin", "--email", "ana@example.com")
    assert len(made["password"]) >= 20
    file = tmp_path / "password"
    file.write_text("correct horse battery\n")
    robot = command("users", "create", "bot", "--category", "API", "--password-file", str(file))
    assert "password" not in robot
    assert authenticated(data, "bot", "correct horse battery") is not None
    command("users", "role", "bot", "viewer")
    users = {user["username"]: user for user in command("users", "list")["users"]}
    assert (users["ana"]["role"], users["bot"]["role"]) == ("admin", "viewer")
    assert "password" not in str(users)
    assert "last administrator" in command("users", "delete", "ana", code=2)["reason"]
    assert "Permitted" in command("users", "role", "bot", "king", code=2)["remedy"]
    command("users", "delete", "bot")
    assert authenticated(data, "bot", "correct horse battery") is None
    assert command("users", "password", "ana")["password"] != made["password"]


def test_a_backup_holds_everything_and_comes_back_elsewhere(
    data: Path, command: Command, tmp_path: Path
) -> None:
    running = opened(data)
    command("users", "create", "ana", "--role", "admin")
    key = command("keys", "create", "--name", "ci")
    (data / "evidence" / "abc" / "1").mkdir(parents=True)
    (data / "evidence" / "abc" / "1" / "call.pcap").write_bytes(b"packets")
    (data / "evidence" / ".incoming").mkdir()
    (data / "evidence" / ".incoming" / "half").write_bytes(b"half")
    file = tmp_path / "backup.tar.gz"
    assert command("backup", "--to", str(file))["schema"] == schema.HEAD
    assert file.stat().st_mode & 0o777 == 0o600
    asyncio.run(running.close())

    elsewhere = tmp_path / "elsewhere"
    assert command("restore", str(file), on=elsewhere)["schema"] == schema.HEAD
    assert authenticated(elsewhere, key["public_key"], key["secret"]) is not None
    assert (elsewhere / "secret.key").read_bytes() == (data / "secret.key").read_bytes()
    assert (elsewhere / "evidence" / "abc" / "1" / "call.pcap").read_bytes() == b"packets"
    assert not (elsewhere / "evidence" / ".incoming").exists()

    command("keys", "create", "--name", "later", on=elsewhere)
    assert "--replace" in command("restore", str(file), code=2, on=elsewhere)["remedy"]
    assert len(command("keys", "list", on=elsewhere)["keys"]) == 2
    command("restore", str(file), "--replace", on=elsewhere)
    assert len(command("keys", "list", on=elsewhere)["keys"]) == 1
    assert (elsewhere / "callwright.db.before-restore").exists()


def test_a_backup_says_that_evidence_in_a_bucket_stays_there(
    data: Path, command: Command, tmp_path: Path
) -> None:
    asyncio.run(opened(data).close())
    (data / "evidence").mkdir()
    (data / "evidence" / "old.pcap").write_bytes(b"of before the bucket")
    note_place(data, EvidenceLocation.parse("s3://calls/team", access_key="AK", secret_key="hidden"))
    assert "hidden" not in "".join(path.read_text("latin-1") for path in data.iterdir() if path.is_file())
    file = tmp_path / "backup.tar.gz"
    assert command("backup", "--to", str(file))["evidence_place"] == "s3://calls/team"
    with tarfile.open(file) as archive:
        assert not [name for name in archive.getnames() if name.startswith("evidence")]
    note_place(data, EvidenceLocation())
    assert command("backup", "--to", str(file))["evidence_place"] is None
    with tarfile.open(file) as archive:
        assert "evidence/old.pcap" in archive.getnames()


def test_what_is_no_backup_or_a_newer_one_changes_nothing(
    data: Path, command: Command, tmp_path: Path
) -> None:
    command("users", "create", "ana", "--role", "admin")
    before = (data / "callwright.db").read_bytes()
    junk = tmp_path / "junk.tar.gz"
    junk.write_bytes(b"not a tar file")
    newer, manifest = tmp_path / "newer.tar.gz", tmp_path / "callwright-backup.json"
    manifest.write_text(json.dumps({"callwright_backup": 1, "schema": "9999", "database": "sqlite"}))
    with tarfile.open(newer, "w:gz") as archive:
        archive.add(manifest, manifest.name)
    outside = tmp_path / "outside.tar.gz"
    with tarfile.open(outside, "w:gz") as archive:
        archive.add(manifest, "../../outside")
    for file in (junk, newer, outside):
        command("restore", str(file), "--replace", code=2)
    command("restore", str(tmp_path / "absent"), "--replace", code=3)
    assert (data / "callwright.db").read_bytes() == before
    assert sorted(path.name for path in data.iterdir()) == [
        "callwright.db",
        "callwright.db.migrate",
        "secret.key",
        "serve.lock",
    ]


_HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def test_nothing_is_restored_while_a_platform_runs_there(
    data: Path, command: Command, tmp_path: Path
) -> None:
    command("users", "create", "ana", "--role", "admin")
    file = tmp_path / "backup.tar.gz"
    command("backup", "--to", str(file))
    command("users", "create", "bob", "--role", "viewer")
    before = (data / "callwright.db").read_bytes()
    platform = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(data / "serve.lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert platform.stdout is not None
        assert platform.stdout.readline() == "held\n"
        refused = command("restore", str(file), "--replace", code=2)
        assert "is running" in refused["reason"]
        assert (data / "callwright.db").read_bytes() == before
    finally:
        platform.kill()  # the file stays, the lock does not
        platform.wait()
    assert (data / "serve.lock").exists()
    command("restore", str(file), "--replace")
    assert [user["username"] for user in command("users", "list")["users"]] == ["ana"]


@pytest.mark.peer
def test_a_backup_of_postgresql_comes_back_row_for_row(data: Path, command: Command, tmp_path: Path) -> None:
    """By pg_dump and pg_restore, against a server of the test's own."""
    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        there, elsewhere = server.create("before"), server.create("after")
        on = ("--database", there)
        command("users", "create", "ana", "--role", "admin", *on)
        asyncio.run(_fill(data, there))
        command("users", "create", "bob", "--project", "demo", *on)
        command("keys", "create", "--name", "ci", "--user", "bob", "--project", "demo", *on)
        file = tmp_path / "backup.tar.gz"
        assert command("backup", "--to", str(file), *on)["schema"] == schema.HEAD
        command("users", "create", "later", "--role", "viewer", *on)

        other = tmp_path / "elsewhere"
        command("restore", str(file), "--database", elsewhere, on=other)
        before, after = asyncio.run(_rows(there)), asyncio.run(_rows(elsewhere))
        later = [row for row in before["users"] if row["username"] == "later"]
        assert len(later) == 1
        before["users"].remove(later[0])
        before["audit"] = [row for row in before["audit"] if row["object"] != "user later"]
        assert after == before
        assert {"runs", "run_details", "tests", "members", "credentials"} <= {n for n in after if after[n]}
        # It goes on from there: the next numbers are free ones.
        command("users", "create", "carla", "--role", "viewer", "--database", elsewhere, on=other)
        refused = command("restore", str(file), "--database", elsewhere, code=2, on=other)
        assert "--replace" in refused["remedy"]
        command("restore", str(file), "--replace", "--database", elsewhere, on=other)
        assert asyncio.run(_rows(elsewhere)) == before
        # What was there is kept, for its owner alone.
        aside = other / "callwright.pgdump.before-restore"
        assert aside.stat().st_mode & 0o777 == 0o600
        assert b"PGDMP" in aside.read_bytes()[:5]
    finally:
        server.close()


@pytest.mark.peer
def test_a_backup_of_before_an_upgrade_comes_back_over_the_upgraded_database(
    data: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer schema has a table that refers to one of the older; a table of somebody else stays."""
    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        url = server.create("upgraded")
        on = ("--database", url)
        command("migrate", *on)
        asyncio.run(_execute(url, "INSERT INTO settings (name, value) VALUES ('kept', 'of old')"))
        file = tmp_path / "backup.tar.gz"
        command("backup", "--to", str(file), *on)
        asyncio.run(
            _execute(
                url,
                "CREATE TABLE added_later (project_id bigint REFERENCES projects (id))",
                "DELETE FROM settings",
                "CREATE TABLE of_somebody (n int)",
            )
        )
        # The newer program would have a newer version, and bring the restored schema forward to it.
        monkeypatch.setattr(schema, "_named", lambda version, _: version)
        later = Table("added_later", metadata, Column("project_id", Integer))
        try:
            command("restore", str(file), "--replace", *on)
        finally:
            metadata.remove(later)
        assert [dict(row) for row in asyncio.run(_rows(url))["settings"]] == [
            {"name": "kept", "value": "of old"}
        ]
        asyncio.run(_execute(url, "INSERT INTO of_somebody VALUES (1)"))
    finally:
        server.close()


async def _execute(database: str, *statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.peer
def test_nothing_is_restored_into_postgresql_while_a_platform_runs_on_it(
    data: Path, command: Command, tmp_path: Path
) -> None:
    """Whatever the folder that is named: the platform may run on another machine."""
    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        on = ("--database", server.create("busy"))
        command("users", "create", "ana", "--role", "admin", *on)
        file = tmp_path / "backup.tar.gz"
        command("backup", "--to", str(file), *on)
        flags = ("--no-agent", "--no-pbx", "--no-demo", *on)
        with serving(tmp_path / "running", *flags):
            command("users", "create", "bob", "--role", "viewer", *on)
            refused = command("restore", str(file), "--replace", *on, code=2, on=tmp_path / "elsewhere")
            assert "running on this database" in refused["reason"]
            assert "callwright serve" in refused["remedy"]
            assert len(command("users", "list", *on)["users"]) == 2
        command("restore", str(file), "--replace", *on, on=tmp_path / "elsewhere")
        assert [user["username"] for user in command("users", "list", *on)["users"]] == ["ana"]
    finally:
        server.close()


async def _fill(data: Path, database: str) -> None:
    services = await Services.open(data, clock=SystemClock(), entropy=system_entropy, database=database)
    try:
        await services.tests.ensure_demo(PLATFORM)
        await services.runs.start(PLATFORM, "options_ping", report_mode="kiosk", tags=["nightly", "ü"])
        fields = {"user": "4101", "password": "kept sealed"}
        await services.credentials.put(PLATFORM, "office", fields)
    finally:
        await services.close()


async def _rows(database: str) -> dict[str, list[dict[str, Any]]]:
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        return {
            name: sorted(
                (dict(row) for row in await connection.fetch(f'SELECT * FROM "{name}"')),
                key=lambda row: str(sorted(row.items())),
            )
            for name in metadata.tables
        }
    finally:
        await connection.close()


def test_a_newer_schema_is_refused_by_every_verb(data: Path, command: Command, tmp_path: Path) -> None:
    assert command("migrate") == {"before": None, "now": schema.HEAD}
    assert command("migrate") == {"before": schema.HEAD, "now": schema.HEAD}
    with sqlite3.connect(data / "callwright.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (data / "callwright.db").read_bytes()
    for verb in (["migrate"], ["keys", "list"], ["users", "create", "bob"]):
        assert "9999" in command(*verb, code=2)["reason"]
    assert (data / "callwright.db").read_bytes() == before
