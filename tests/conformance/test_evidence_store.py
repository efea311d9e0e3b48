"""One suite, every adapter: evidence in a folder, and on an S3 server that checks signatures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.control.errors import Invalid, NotFound
from callwright.control.runs.store import EvidenceStore
from callwright.control.storage.evidence.location import EvidenceLocation, open_evidence
from callwright.net.clock import SystemClock

SESSION = "0a1b2c3d-0000-4000-8000-000000000001"
DATA = bytes(range(256)) * 10
LARGE = bytes(range(251)) * 200_000  # 50 MB: four parts
SHA = hashlib.sha256(DATA).hexdigest()
_prefixes = iter(range(1000))


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.peer)])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EvidenceStore]:
    location = EvidenceLocation()
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        location = EvidenceLocation.parse(
            f"s3://evidence/tests/{next(_prefixes)}",
            endpoint=server.url,
            access_key=server.access_key,
            secret_key=server.secret,
        )
    store = open_evidence(location, tmp_path, SystemClock())
    yield store
    await store.close()


async def keep(files: EvidenceStore, name: str, data: bytes = DATA, session: str = SESSION) -> str:
    for offset in range(0, len(data), 1 << 20):
        await files.write(session, 1, name, offset, data[offset : offset + (1 << 20)])
    digest = hashlib.sha256(data).hexdigest()
    return await files.complete(session, 1, name, len(data), digest, "audio/wav")


async def content(files: EvidenceStore, path: str, first: int = 0, last: int | None = None) -> bytes:
    return b"".join([piece async for piece in files.read(path, first, last)])


async def test_a_place_that_can_be_used_passes_the_check(files: EvidenceStore) -> None:
    await files.check()


async def test_a_file_comes_in_pieces_and_is_there_when_it_is_whole(files: EvidenceStore) -> None:
    name = "audio/al ice+=@.wav"
    assert await files.write(SESSION, 1, name, 0, DATA[:1000]) == 1000
    assert await files.write(SESSION, 1, name, 0, DATA[:1000]) == 1000
    with pytest.raises(NotFound):
        await content(files, f"{SESSION}/1/{name}")
    assert await files.write(SESSION, 1, name, 500, DATA[500:]) == len(DATA)
    path = await files.complete(SESSION, 1, name, len(DATA), SHA.upper(), "audio/wav")
    assert await content(files, path) == DATA
    assert await files.complete(SESSION, 1, name, len(DATA), SHA, "audio/wav") == path
    assert await files.write(SESSION, 1, name, 0, DATA[:10]) == len(DATA)
    with pytest.raises(Invalid, match="another size"):
        await files.complete(SESSION, 1, name, 3, SHA, "audio/wav")


async def test_a_span_of_a_file_is_read_alone(files: EvidenceStore) -> None:
    path = await keep(files, "a.wav")
    assert await content(files, path, 5, 9) == DATA[5:10]
    assert await content(files, path, 2000) == DATA[2000:]
    assert await content(files, path, 0, 0) == DATA[:1]
    assert await content(files, path, len(DATA) - 1, len(DATA) - 1) == DATA[-1:]


async def test_a_large_file_is_the_same_when_it_comes_back(files: EvidenceStore) -> None:
    path = await keep(files, "large.pcap", LARGE)
    found = hashlib.sha256()
    async for piece in files.read(path):
        assert len(piece) <= 1 << 20, "it is read in pieces, never whole"
        found.update(piece)
    assert found.hexdigest() == hashlib.sha256(LARGE).hexdigest()
    assert await content(files, path, 16_777_210, 16_777_225) == LARGE[16_777_210:16_777_226]


async def test_the_end_of_a_file_may_be_told_twice_at_once(files: EvidenceStore) -> None:
    await files.write(SESSION, 1, "a.pcap", 0, DATA)
    told = [files.complete(SESSION, 1, "a.pcap", len(DATA), SHA, "audio/wav") for _ in range(3)]
    first, *others = await asyncio.gather(*told)
    assert {first} == set(others)
    assert await content(files, first) == DATA


async def test_an_empty_file_is_a_file(files: EvidenceStore) -> None:
    path = await keep(files, "empty.txt", b"")
    assert await content(files, path) == b""


async def test_a_gap_and_damage_are_refused_and_the_file_may_come_again(files: EvidenceStore) -> None:
    with pytest.raises(Invalid, match="gap"):
        await files.write(SESSION, 1, "a.pcap", 5, b"x")
    await files.write(SESSION, 1, "a.pcap", 0, DATA[:-1] + b"?")
    with pytest.raises(Invalid, match="damaged"):
        await files.complete(SESSION, 1, "a.pcap", len(DATA), SHA, "audio/wav")
    with pytest.raises(Invalid, match="Nothing"):
        await files.complete(SESSION, 1, "a.pcap", len(DATA), SHA, "audio/wav")
    assert await content(files, await keep(files, "a.pcap")) == DATA


async def test_files_of_an_attempt_are_given_as_a_folder(files: EvidenceStore) -> None:
    await keep(files, "audio/a.wav")
    await keep(files, "b.wav", b"short")
    async with files.folder(SESSION, 1, ["audio/a.wav", "b.wav", "absent.wav"]) as folder:
        assert (folder / "audio" / "a.wav").read_bytes() == DATA
        assert (folder / "b.wav").read_bytes() == b"short"
        assert not (folder / "absent.wav").exists()


async def test_removing_takes_all_files_of_one_run_and_no_other(files: EvidenceStore) -> None:
    other = SESSION[:-1] + "12"  # begins with the same characters as the next
    gone = [await keep(files, name, session=other[:-1]) for name in ("a.wav", "audio/b.wav")]
    kept = await keep(files, "a.wav", session=other)
    await files.write(other[:-1], 2, "half.wav", 0, DATA)
    await files.remove(other[:-1])
    for path in gone:
        with pytest.raises(NotFound):
            await content(files, path)
    assert await content(files, kept) == DATA
    with pytest.raises(Invalid):
        await files.complete(other[:-1], 2, "half.wav", len(DATA), SHA, "audio/wav")
    await files.remove(other[:-1])


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "", ".", "a//b", "a\0b", ".hidden"])
async def test_a_name_that_leads_elsewhere_is_refused(files: EvidenceStore, name: str) -> None:
    with pytest.raises(Invalid):
        await files.write(SESSION, 1, name, 0, b"x")
    with pytest.raises(Invalid):
        await files.complete(SESSION, 1, name, 0, SHA, "audio/wav")
    with pytest.raises(NotFound):
        await content(files, f"{SESSION}/1/{name}")
    with pytest.raises(NotFound):
        await content(files, name)
    with pytest.raises(Invalid):
        await files.remove(name or "/")
