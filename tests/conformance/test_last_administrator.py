"""An administrator is left whatever is asked at once, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from callwright.control.accounts.model import RIGHTS, Identity, Role, User
from callwright.control.errors import Conflict
from callwright.control.services import Services
from callwright.control.storage.schema import Location
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy

PASSWORD = "correct horse battery"
Change = Callable[[Services, Identity, User], Awaitable[object]]


@pytest.fixture
async def both(location: Location, tmp_path: Path) -> AsyncIterator[tuple[Services, Services]]:
    """Two processes of one platform."""
    where = location.url or f"sqlite:///{location.path}"
    opened = [
        await Services.open(tmp_path, database=where, clock=ManualClock(), entropy=seeded_entropy(n))
        for n in (1, 2)
    ]
    yield opened[0], opened[1]
    for services in opened:
        await services.close()


async def demote(services: Services, by: Identity, user: User) -> object:
    return await services.accounts.change_user(by, user.id, role=Role.MEMBER)


async def delete(services: Services, by: Identity, user: User) -> object:
    await services.accounts.delete_user(by, user.id)
    return None


def _as(user: User) -> Identity:
    return Identity(user.id, user.username, Role.ADMIN, RIGHTS[Role.ADMIN])


@pytest.mark.parametrize(("first", "second"), [(demote, demote), (delete, delete), (demote, delete)])
async def test_of_two_administrators_who_remove_each_other_at_once_one_stays(
    both: tuple[Services, Services], first: Change, second: Change
) -> None:
    seed = Identity(0, "seed", Role.ADMIN, RIGHTS[Role.ADMIN])
    for turn in range(8):
        ana, bob = [
            await both[0].accounts.create_user(
                seed, username=f"{name}{turn}", password=PASSWORD, role=Role.ADMIN
            )
            for name in ("ana", "bob")
        ]
        for user in await both[0].accounts.users():
            if user.role == Role.ADMIN and user.id not in (ana.id, bob.id):
                await both[0].accounts.change_user(seed, user.id, role=Role.MEMBER)
        results = await asyncio.gather(
            first(both[0], _as(ana), bob), second(both[1], _as(bob), ana), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, BaseException)]
        assert [type(one) for one in refused] == [Conflict]
        assert "last administrator" in str(refused[0])
        left = [user for user in await both[1].accounts.users() if user.role == Role.ADMIN]
        assert len(left) == 1


async def test_a_change_to_an_administrator_is_not_undone_by_another_at_once(
    both: tuple[Services, Services],
) -> None:
    seed = Identity(0, "seed", Role.ADMIN, RIGHTS[Role.ADMIN])
    await both[0].accounts.create_user(seed, username="ana", password=PASSWORD, role=Role.ADMIN)
    for turn in range(8):
        bob = await both[0].accounts.create_user(
            seed, username=f"bob{turn}", password=PASSWORD, role=Role.ADMIN
        )
        await asyncio.gather(
            demote(both[0], seed, bob), both[1].accounts.change_user(seed, bob.id, name="Robert")
        )
        now = await both[0].accounts.user(bob.id)
        assert (now.role, now.name) == (Role.MEMBER, "Robert")
