"""The services on a fresh SQLite file, in virtual time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.control.accounts.model import RIGHTS, Identity, Role, User
from callwright.control.services import Services
from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from tests.kit.dns import Dns


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "callwright.db"
    asyncio.run(schema.migrate(Location(path=path)))
    return path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def dns() -> Dns:
    """Knows no name unless a test tells it."""
    return Dns({})


@pytest.fixture
async def services(
    tmp_path: Path, empty_database: Path, clock: ManualClock, dns: Dns
) -> AsyncIterator[Services]:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(empty_database, data / "callwright.db")
    opened = await Services.open(data, clock=clock, entropy=seeded_entropy(1), names=dns)
    yield opened
    await opened.close()


@pytest.fixture
async def admin(services: Services) -> Identity:
    """An administrator without a password, since hashing one takes a while."""
    row = User(0, "ana", "Ana", "ana@example.com", Role.ADMIN, "Normal", "UTC", 0.0, None, None)
    user = await services.stores.accounts.add_user(row, "")
    return Identity(user.id, user.username, Role.ADMIN, RIGHTS[Role.ADMIN])
