"""keys, users, backup, restore and migrate: what they answer, beside a running platform too."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callwright.cli.main import run
from callwright.control.accounts.model import Identity
from callwright.control.services import Services
from callwright.control.storage import schema
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy

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
    ]


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
