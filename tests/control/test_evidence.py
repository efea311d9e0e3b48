from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from callwright.control.accounts.model import Identity
from callwright.control.errors import Invalid, NotFound, QuotaExceeded, StorageUnavailable
from callwright.control.evidence.service import ARRIVAL, EvidenceLimits, media_type
from callwright.control.runs.model import Evidence, Run
from callwright.control.services import Services
from callwright.net.clock import ManualClock

DATA = bytes(range(256)) * 10
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
async def run(services: Services, admin: Identity) -> Run:
    await services.tests.ensure_demo(admin)
    return await services.runs.start(admin, "basic_call")


async def keep(services: Services, run: Run, name: str, data: bytes = DATA) -> Evidence:
    await services.evidence.write(run.session_id, 1, name, 0, data)
    digest = hashlib.sha256(data).hexdigest()
    return await services.evidence.complete(run.session_id, 1, name, len(data), digest)


async def end(services: Services, run: Run, files: int = 0) -> None:
    await services.runs.held.claim(run.id, 1, "ag", 15)
    await services.runs.held.finish(run.session_id, 1, '{"verdict":"passed"}', agent_id="ag", files=files)


async def test_a_file_comes_in_chunks_and_is_there_when_it_is_whole(services: Services, run: Run) -> None:
    name = "audio/alice.wav"
    assert await services.evidence.write(run.session_id, 1, name, 0, DATA[:1000]) == 1000
    assert await services.evidence.list(run) == []
    assert await services.evidence.write(run.session_id, 1, name, 0, DATA[:1000]) == 1000
    assert await services.evidence.write(run.session_id, 1, name, 500, DATA[500:2000]) == 2000
    assert await services.evidence.write(run.session_id, 1, name, 2000, DATA[2000:]) == len(DATA)
    entry = await services.evidence.complete(run.session_id, 1, name, len(DATA), SHA)
    assert (entry.name, entry.size, entry.media_type) == (name, len(DATA), "audio/wav")
    again = await services.evidence.complete(run.session_id, 1, name, len(DATA), SHA)
    assert again.path == entry.path
    assert await services.evidence.write(run.session_id, 1, name, 0, DATA[:10]) == len(DATA)
    found = await services.evidence.find(run, name)
    assert found == again
    assert await services.evidence.content(found) == DATA


async def test_a_gap_and_damage_are_refused_and_the_file_may_come_again(services: Services, run: Run) -> None:
    with pytest.raises(Invalid, match="gap"):
        await services.evidence.write(run.session_id, 1, "a.pcap", 5, b"x")
    await services.evidence.write(run.session_id, 1, "a.pcap", 0, DATA[:-1] + b"?")
    with pytest.raises(Invalid, match="damaged"):
        await services.evidence.complete(run.session_id, 1, "a.pcap", len(DATA), SHA)
    with pytest.raises(Invalid):
        await services.evidence.complete(run.session_id, 1, "a.pcap", len(DATA), SHA)
    assert await services.evidence.list(run) == []
    assert await keep(services, run, "a.pcap")


async def test_an_empty_file_is_a_file(services: Services, run: Run) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    entry = await services.evidence.complete(run.session_id, 1, "empty.txt", 0, digest)
    assert await services.evidence.content(await services.evidence.find(run, "empty.txt")) == b""
    assert entry.size == 0


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a/../../b",
        "",
        ".",
        "a//b",
        "a\0b",
        "a/b/c/d/e",
        ".hidden",
        "x" * 200,
        "a\\..\\b\n",
    ],
)
async def test_a_name_that_leads_elsewhere_is_refused(services: Services, run: Run, name: str) -> None:
    with pytest.raises(Invalid):
        await services.evidence.write(run.session_id, 1, name, 0, b"x")
    with pytest.raises(NotFound):
        await services.evidence.find(run, name)
    with pytest.raises(Invalid):
        await services.evidence.write("../..", 1, "a", 0, b"x")


async def test_evidence_belongs_to_a_run_and_an_attempt_that_there_was(services: Services, run: Run) -> None:
    with pytest.raises(NotFound):
        await services.evidence.complete("0" * 8, 1, "a", 0, SHA)
    for attempt in (0, 2):
        with pytest.raises(Invalid):
            await services.evidence.complete(run.session_id, attempt, "a", 0, SHA)


async def test_a_run_may_leave_only_so_much(services: Services, run: Run) -> None:
    services.evidence.limits = EvidenceLimits(per_run=len(DATA) + 10)
    await keep(services, run, "a")
    with pytest.raises(QuotaExceeded):
        await keep(services, run, "b")
    with pytest.raises(QuotaExceeded):
        await services.evidence.write(run.session_id, 1, "c", len(DATA), b"x" * 20)


async def test_old_evidence_goes_and_the_record_of_its_run_stays(
    services: Services, admin: Identity, run: Run, clock: ManualClock
) -> None:
    await keep(services, run, "a")
    await end(services, run)
    clock.advance(20 * 86_400)
    young = await services.runs.start(admin, "basic_call")
    await keep(services, young, "b")
    await end(services, young)
    assert await services.evidence.sweep() == 0
    clock.advance(11 * 86_400)
    assert await services.evidence.sweep() == len(DATA)
    assert await services.evidence.list(run) == []
    with pytest.raises(NotFound):
        await services.evidence.find(run, "a")
    assert (await services.runs.known(run.session_id)).phase == "passed"
    assert await services.evidence.find(young, "b")


async def test_a_project_may_keep_its_runs_for_so_many_days(
    services: Services, admin: Identity, run: Run, clock: ManualClock
) -> None:
    await keep(services, run, "a")
    await end(services, run)
    limits = {"max_running": None, "max_queued": None}
    await services.projects.limit(admin, run.project_name, **limits, keep_runs_days=3)
    clock.advance(3 * 86_400 - 60)
    unfinished = await services.runs.start(admin, "basic_call")
    assert await services.evidence.age() == 0
    clock.advance(61)
    assert await services.evidence.age() == 1
    with pytest.raises(NotFound):
        await services.runs.known(run.session_id)
    assert await services.evidence.sweep() == 0
    clock.advance(30 * 86_400)
    assert await services.evidence.age() == 0
    assert (await services.runs.known(unfinished.session_id)).phase == "queued"


async def test_one_sweep_removes_all_that_is_too_old(
    services: Services, admin: Identity, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callwright.control.evidence.service._SWEPT_AT_ONCE", 2)
    await services.tests.ensure_demo(admin)
    for _ in range(5):
        run = await services.runs.start(admin, "basic_call")
        await keep(services, run, "a")
        await end(services, run)
    clock.advance(31 * 86_400)
    assert await services.evidence.sweep() == 5 * len(DATA)


async def test_a_file_that_was_announced_is_waited_for_and_no_longer_than_promised(
    services: Services, run: Run, clock: ManualClock
) -> None:
    await end(services, run, files=1)
    ended = await services.runs.known(run.session_id)
    asked = asyncio.ensure_future(services.evidence.find(ended, "a.pcap"))
    await asyncio.sleep(0)
    await keep(services, run, "a.pcap")
    assert (await asked).name == "a.pcap"
    clock.advance(ARRIVAL)
    with pytest.raises(NotFound):
        await services.evidence.find(ended, "b.pcap")


async def test_the_oldest_goes_when_there_is_too_much_but_none_of_a_living_run(
    services: Services, admin: Identity, run: Run
) -> None:
    services.evidence.limits = EvidenceLimits(quota=len(DATA))
    await keep(services, run, "a")
    second = await services.runs.start(admin, "basic_call")
    await keep(services, second, "b")
    await end(services, second)
    assert await services.evidence.sweep() == len(DATA)
    assert await services.evidence.find(run, "a")
    assert await services.evidence.list(second) == []


async def test_a_folder_that_cannot_be_written_is_told(services: Services, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "evidence"
    folder.write_text("in the way")
    with pytest.raises(StorageUnavailable) as refused:
        await services.evidence.write(run.session_id, 1, "a", 0, b"x")
    assert refused.value.remedy


def test_media_types_are_those_a_browser_and_wireshark_know() -> None:
    assert media_type("capture.pcapng") == "application/x-pcapng"
    assert media_type("run.json") == "application/json"
    assert media_type("audio/ALICE.WAV") == "audio/wav"
    assert media_type("unknown") == "application/octet-stream"
