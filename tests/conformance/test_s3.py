"""What an S3 server refuses, and that it is away, in sentences: against a server that checks signatures."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callwright.control.errors import EvidenceAway
from callwright.control.storage.evidence.location import EvidenceLocation
from callwright.control.storage.evidence.s3 import S3Evidence
from callwright.net.clock import ManualClock
from tests.kit import swift
from tests.net.certificates import Authority

pytestmark = pytest.mark.peer

SESSION = "0a1b2c3d-0000-4000-8000-000000000002"
DATA = b"RIFF" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


def place(server: swift.Swift, url: str = "s3://evidence/s3", **other: str) -> EvidenceLocation:
    wanted = {"endpoint": server.url, "access_key": server.access_key, "secret_key": server.secret}
    return EvidenceLocation.parse(url, **{**wanted, **other})


@contextlib.asynccontextmanager
async def opened(location: EvidenceLocation, folder: Path) -> AsyncIterator[S3Evidence]:
    store = S3Evidence(location, folder, clock=ManualClock())
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[swift.Swift, Path]]:
    """One that speaks TLS, and may be killed; with the authority of its certificate."""
    swift.require()
    authority = Authority(tmp_path_factory.mktemp("tls"))
    server = swift.Swift(certificate=authority.issue("s3", addresses=["127.0.0.1"]), authority=authority.ca)
    try:
        server.start().client().create_bucket(Bucket="evidence")
        yield server, authority.ca
    finally:
        server.close()


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"url": "s3://nobodys"}, "There is no bucket nobodys at"),
        ({"secret_key": "wrong"}, "refuses our signature: the secret key is wrong"),
        ({"access_key": "test:nobody"}, "refuses|does not know our access key"),
        ({"access_key": swift.Swift.reader}, "refuses access to the bucket evidence"),
        ({"endpoint": "http://127.0.0.1:9"}, "at http://127.0.0.1:9 cannot be reached: Connection refused"),
    ],
)
async def test_what_is_wrong_is_said_in_a_sentence_with_a_remedy_and_no_secret(
    s3_server: swift.Swift, tmp_path: Path, other: dict[str, str], sentence: str
) -> None:
    async with opened(place(s3_server, **other), tmp_path) as store:
        with pytest.raises(EvidenceAway, match=sentence) as refused:
            await store.check()
    said = refused.value.message + refused.value.remedy
    assert refused.value.remedy.endswith("Nothing is lost: agents keep their files and bring them again.")
    assert s3_server.secret not in said
    assert "wrong." not in refused.value.remedy


async def test_a_large_upload_that_broke_leaves_nothing_behind(
    s3_server: swift.Swift, tmp_path: Path
) -> None:
    large = bytes(1024) * 20 * 1024
    client = s3_server.client()
    key = f"broken/{SESSION}/1/large.pcap"
    client.create_multipart_upload(Bucket="evidence", Key=key)  # as a platform that was killed in between
    async with opened(place(s3_server, "s3://evidence/broken"), tmp_path) as store:
        await store.write(SESSION, 1, "large.pcap", 0, large)
        digest = hashlib.sha256(large).hexdigest()
        await store.complete(SESSION, 1, "large.pcap", len(large), digest, "audio/wav")
        assert "Uploads" not in client.list_multipart_uploads(Bucket="evidence", Prefix="broken/")
        assert client.head_object(Bucket="evidence", Key=key)["Metadata"] == {"sha256": digest}
        client.create_multipart_upload(Bucket="evidence", Key=f"broken/{SESSION}/1/other.pcap")
        await store.remove(SESSION)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="evidence", Prefix="broken/")
    assert s3_server.keys("evidence", "broken/") == []


async def test_clocks_that_differ_are_named(
    s3_server: swift.Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tomorrow(remove_tzinfo: bool = True) -> datetime.datetime:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=30)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr("botocore.auth.get_current_datetime", tomorrow)
    async with opened(place(s3_server), tmp_path) as store:
        with pytest.raises(EvidenceAway, match="its clock and ours differ too much"):
            await store.check()


async def test_a_certificate_is_trusted_by_its_own_authority_and_by_no_other(
    own_server: tuple[swift.Swift, Path], tmp_path: Path
) -> None:
    server, authority = own_server
    async with opened(place(server), tmp_path) as store:
        with pytest.raises(EvidenceAway, match="cannot be trusted") as refused:
            await store.check()
    assert "--evidence-ca" in refused.value.remedy
    async with opened(place(server, ca=str(authority)), tmp_path) as store:
        await store.check()


async def test_what_comes_while_the_store_is_away_is_not_taken_and_comes_again(
    own_server: tuple[swift.Swift, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, authority = own_server
    clock = ManualClock()
    store = S3Evidence(place(server, ca=str(authority)), tmp_path, clock=clock)
    try:
        await store.write(SESSION, 1, "a.wav", 0, DATA)
        server.kill()
        for _ in range(3):
            with pytest.raises(EvidenceAway, match="cannot be reached"):
                await store.complete(SESSION, 1, "a.wav", len(DATA), SHA, "audio/wav")
        with pytest.raises(EvidenceAway):
            await store.write(SESSION, 1, "b.wav", 0, DATA)
        with pytest.raises(EvidenceAway):
            await store.remove(SESSION)
        server.start()
        clock.advance(2.0)
        path = await store.complete(SESSION, 1, "a.wav", len(DATA), SHA, "audio/wav")
        assert b"".join([piece async for piece in store.read(path)]) == DATA
        assert server.keys("evidence", "s3/") == [f"s3/{path}"]
    finally:
        await store.close()
    told = [record.getMessage() for record in caplog.records if record.name.endswith("s3")]
    assert len(told) == 2, "that it went, and that it came back"
    assert "is back" in told[1]


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("s3://", {}, "not the name of a bucket"),
        ("s3://key:secret@bucket/x", {}, "keys do not belong"),
        ("s3://bucket/../x", {}, "not a prefix"),
        ("s3://bucket", {"access_key": "a"}, "belong together"),
        ("s3://bucket", {"endpoint": "minio:9000"}, "the endpoint is a URL"),
        ("s3://bucket", {"ca": "/nowhere"}, "no file /nowhere"),
        ("ftp://bucket", {}, "ftp:// is not a place"),
        ("/folder", {"endpoint": "http://minio"}, "needs --evidence s3://"),
    ],
)
def test_a_place_that_is_none_is_refused_without_showing_a_secret(
    text: str, more: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        EvidenceLocation.parse(text, **more)
    assert "secret@" not in str(refused.value)


def test_the_place_is_shown_without_its_keys() -> None:
    location = EvidenceLocation.parse("s3://bucket/a/b/", access_key="AK", secret_key="hidden")
    assert location.url == "s3://bucket/a/b"
    assert "hidden" not in repr(location) + str(location)
    assert "AK" not in repr(location)
