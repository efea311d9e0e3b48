"""The first start in an empty data folder: an administrator, a key, the demo. And accounts of the PBX."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.host.operator import say

if TYPE_CHECKING:
    from callwright.control.runs.model import Run
    from callwright.control.services import Services

FILE = "first-start-credentials.txt"
USERNAME = "admin"
DEMO_TEST = "basic_call"
PBX_PREFIX = "pbx_"
_PBX_USERS = ("1001", "1002", "1003", "1004")


@dataclass
class FirstStart:
    """`password` None: it was given to us, and nobody needs to be told. `file`: where the secrets are, when
    they are not for a terminal. `told`: of them was said."""

    username: str
    email: str
    password: str | None
    public_key: str
    secret: str
    demo: bool
    file: Path | None = None
    told: bool = False

    def __repr__(self) -> str:
        return f"FirstStart(username={self.username!r}, …)"


async def prepare(services: Services, email: str, password: str | None, *, demo: bool) -> FirstStart | None:
    """None when somebody is known already: then nothing is changed. Raises Refused."""
    from callwright.control.accounts.model import PLATFORM, Role
    from callwright.control.errors import DomainError
    from callwright.host.operator import Refused

    if await services.accounts.users():
        return None
    made = password or services.entropy(12).hex()
    try:
        user = await services.accounts.create_user(
            PLATFORM, username=USERNAME, email=email, password=made, role=Role.ADMIN
        )
    except DomainError as error:
        if await services.accounts.users():
            return None  # another platform on this database was faster
        raise Refused(f"the administrator cannot be made: {error.message}", error.remedy) from None
    public, secret = await services.keys.create("first start", user)
    if demo:
        await services.tests.ensure_demo(PLATFORM)
    return FirstStart(USERNAME, email, None if password else made, public, secret, demo)


def keep(new: FirstStart, data: Path) -> None:
    """Where nobody is at a terminal, the secrets go at once to a file that only its owner reads."""
    if sys.stderr.isatty():
        return
    new.file = data / FILE
    with os.fdopen(os.open(new.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("\n".join(_lines(new)) + "\n")


def tell(new: FirstStart) -> None:
    """The secrets, once, to the person at the terminal; else where they are."""
    if new.told:
        return
    new.told = True
    if new.file is not None:
        say(
            f"First start: the administrator's password and an API key are in {new.file}. "
            "Keep them, delete it."
        )
        return
    say("First start. These are shown once:")
    for line in _lines(new):
        say(f"  {line}")


def _lines(new: FirstStart) -> list[str]:
    lines = [f"username: {new.username}", f"email: {new.email}"]
    if new.password is not None:
        lines.append(f"password: {new.password}")
    return [*lines, f"public_key: {new.public_key}", f"secret: {new.secret}"]


async def run_demo(services: Services) -> Run | None:
    from callwright.control.accounts.model import PLATFORM
    from callwright.control.errors import DomainError

    try:
        return await services.runs.start(PLATFORM, DEMO_TEST)
    except DomainError as error:
        say(f"the demo run was not started: {error.message}")
        return None


async def pbx_accounts(services: Services, folder: Path) -> Path:
    """The accounts file of the reference PBX, made when there is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "accounts.csv"
    if not path.is_file():
        rows = ["user,secret,display_name"]
        rows += [f"{user},{services.entropy(12).hex()}," for user in _PBX_USERS]
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(rows) + "\n")
    return path


async def keep_pbx_credentials(services: Services, folder: Path, domain: str) -> None:
    """Documents may name the accounts of the reference PBX: `credentials: pbx_1001`."""
    import csv

    from callwright.control.accounts.model import PLATFORM

    shared = [row for row in await services.credentials.list(PLATFORM) if row.project_id is None]
    known = {record.name: record for record in shared}
    closed = {name for name, _ in await services.credentials.unopened()}
    for row in csv.DictReader((folder / "accounts.csv").read_text().splitlines()):
        name = f"{PBX_PREFIX}{row['user']}"
        if name in known and known[name].domain == domain and name not in closed:
            continue
        fields = {"user": row["user"], "password": row["secret"], "domain": domain}
        await services.credentials.put(PLATFORM, name, fields, replace=True)
