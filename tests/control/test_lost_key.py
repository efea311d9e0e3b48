"""A database whose secret.key is lost, and evidence whose database is."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.control.accounts.model import PLATFORM, Identity
from callwright.control.errors import Conflict, StorageUnavailable
from callwright.control.runs.model import Run
from callwright.control.runs.transitions import Phase
from callwright.control.services import Services
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy

DOCUMENT = """name: {name}
parties: {{alice: {{credentials: {account}}}}}
steps:
  - call: {{party: alice, to: "sip:1@127.0.0.1"}}
"""


async def _opened(data: Path, clock: ManualClock, seed: int, *, new_secret_key: bool = False) -> Services:
    return await Services.open(
        data, clock=clock, entropy=seeded_entropy(seed), migrate=True, new_secret_key=new_secret_key
    )


@pytest.fixture
async def before(services: Services, admin: Identity, clock: ManualClock) -> Run:
    """Two accounts, two tests that use them, and a run with parameters of its own, queued."""
    for name in ("office", "carrier"):
        await services.credentials.put(admin, name, {"user": "1", "password": "s3cret"})
        await services.tests.create(admin, DOCUMENT.format(name=name, account=name))
    return await services.runs.start(admin, "office", {"step.0.0.max_duration": "3 s"})


@pytest.fixture
async def after(
    before: Run, services: Services, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Services]:
    """The same records with a new key, after which one password was set again."""
    await services.close()
    (tmp_path / "data" / "secret.key").unlink()
    opened = await _opened(tmp_path / "data", clock, 2, new_secret_key=True)
    await opened.credentials.put(PLATFORM, "carrier", {"user": "1", "password": "new"}, replace=True)
    yield opened
    await opened.close()


async def test_a_database_without_its_key_is_refused_and_the_file_named(
    before: Run, services: Services, tmp_path: Path, clock: ManualClock
) -> None:
    await services.close()
    key = tmp_path / "data" / "secret.key"
    key.unlink()
    with pytest.raises(StorageUnavailable, match=r"secret\.key is missing") as refused:
        await _opened(tmp_path / "data", clock, 2, new_secret_key=False)
    assert "--new-secret-key" in refused.value.remedy
    assert not key.exists()


async def test_a_new_key_opens_what_was_set_again_and_the_rest_is_named(after: Services) -> None:
    assert await after.credentials.unopened() == [("office", None)]
    revealed = await after.credentials.revealed()
    assert revealed["carrier"]["password"] == "new"
    assert "password" not in revealed["office"]


async def test_only_runs_that_need_a_closed_password_are_refused(after: Services) -> None:
    assert (await after.runs.start(PLATFORM, "carrier")).phase == Phase.QUEUED
    with pytest.raises(Conflict, match="'office' does not open"):
        await after.runs.start(PLATFORM, "office")


async def test_a_run_whose_parameters_are_closed_is_shown_and_never_run_without_them(
    before: Run, after: Services
) -> None:
    run = await after.runs.by_id(before.id)
    detail = await after.runs.detail(run)
    assert (detail.sealed, detail.overrides) == (True, {})
    assert "3.0" in detail.shown.values()
    for ask in (after.runs.overrides(run), after.runs.held.job(run.id)):
        with pytest.raises(Conflict):
            await ask
    await after.runs.held.give_up(run, "It does not open.")
    assert (await after.runs.by_id(run.id)).phase == Phase.ERROR


@pytest.mark.parametrize("left", ["empty", "gone"])
async def test_evidence_beside_an_empty_database_is_no_first_start(
    left: str, tmp_path: Path, clock: ManualClock
) -> None:
    data = tmp_path / "platform"
    (data / "evidence" / "run-1").mkdir(parents=True)
    (data / "evidence" / ".incoming").mkdir()
    if left == "empty":
        (data / "callwright.db").touch()
    with pytest.raises(StorageUnavailable, match="files of 1 run: this is not a first start"):
        await _opened(data, clock, 1)
    assert not (data / "secret.key").exists()
    shutil.rmtree(data / "evidence" / "run-1")
    await (await _opened(data, clock, 1)).close()
