"""`serve --evidence s3://…` against a server that checks signatures: nothing of a run is lost on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit import swift
from tests.kit.served import Served, environment, serving

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]


@pytest.fixture
def server() -> Iterator[swift.Swift]:
    swift.require()
    made = swift.Swift()
    try:
        made.start().client().create_bucket(Bucket="evidence")
        yield made
    finally:
        made.close()


def evidence_of(served: Served, session_id: str) -> dict[str, bytes]:
    """Each file, downloaded, and as long and with the SHA-256 that the list says."""
    found = {}
    for file in served.get(f"runs/{session_id}/evidence")["data"]:
        data = served.api.get(file["url"]).content
        assert len(data) == file["size"]
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        found[file["name"]] = data
    return found


def complete(names: Any) -> bool:
    return {"run.json", "ladder.json", "signalling.pcap", "report.html", "junit.xml"} <= set(names)


def names_of(served: Served, session_id: str) -> set[str]:
    return {file["name"] for file in served.get(f"runs/{session_id}/evidence")["data"]}


def test_evidence_lies_in_the_bucket_and_survives_its_absence(server: swift.Swift, tmp_path: Path) -> None:
    data = tmp_path / "data"
    env = environment(
        CALLWRIGHT_EVIDENCE="s3://evidence/platform",
        CALLWRIGHT_EVIDENCE_ENDPOINT=server.url,
        CALLWRIGHT_EVIDENCE_ACCESS_KEY=server.access_key,
        CALLWRIGHT_EVIDENCE_SECRET_KEY=server.secret,
    )
    with serving(data, "--rate-limit", "0", env=env) as served:
        demo = served.until(len, lambda: served.get("runs?limit=1")["data"])[0]["session_id"]
        assert served.finished(demo)["status"] == "passed"

        # What the run left is in the bucket, whole, and nowhere on this machine.
        served.until(complete, lambda: names_of(served, demo))
        files = evidence_of(served, demo)
        kept = {f"platform/{demo}/1/{name}" for name in files}
        assert set(server.keys("evidence", f"platform/{demo}/")) == kept
        assert not (data / "evidence").exists()

        # A player seeks, and the page shows the recordings: for people without an account too.
        audio = next(file for file in served.get(f"runs/{demo}/audio")["data"])
        span = httpx.get(audio["url"], auth=served.auth, headers={"Range": "bytes=1000-1999"})
        assert span.status_code == 206
        assert span.content == files[audio["name"]][1000:2000]
        link = served.api.post(f"runs/{demo}/kiosk").json()["data"]["kiosk_url"]
        page = httpx.get(link).text
        assert f'/files/{audio["name"]}"' in page
        assert "<audio" in page
        assert "cannot be read now" not in page

        # The store goes away under a stream of runs: verdicts come, files wait, nothing is lost.
        runs = [served.run("options_ping") for _ in range(3)]
        server.kill()
        runs += [served.run("options_ping") for _ in range(3)]
        assert {served.finished(one)["status"] for one in runs} == {"passed"}
        away = httpx.get(link)
        assert away.status_code == 200
        assert "The evidence store at" in away.text
        refused = httpx.get(f"{served.url}/api/v2/runs/{demo}/evidence/run.json", auth=served.auth)
        assert refused.status_code == 503
        assert "cannot be reached" in refused.json()["message"]
        assert names_of(served, runs[-1]) == set(), "nothing is acknowledged that is not stored"
        server.start()
        for one in runs:
            served.until(complete, lambda one=one: names_of(served, one), 60.0)
            assert complete(evidence_of(served, one))
        served.until(lambda left: not left, lambda: list((data / "agent" / "spool").glob("[0-9]*")))

    said = served.log.read_text()
    assert "The evidence store at" in said
    assert "is back" in said
    for path in (served.log, *(data / "log").iterdir()):
        assert server.secret not in path.read_text(errors="replace")

    # What is older than the retention goes from the bucket; the record of the run stays.
    with serving(data, "--no-agent", "--no-pbx", "--evidence-retention", "0.00001", env=env) as served:
        served.until(lambda keys: not keys, lambda: server.keys("evidence"))
        served.until(lambda names: not names, lambda: names_of(served, demo))
        assert served.get(f"runs/{demo}/status")["run"]["status"] == "passed"
