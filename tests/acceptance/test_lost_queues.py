"""JetStream's folder lost under a running nats-server: it is told, mended, and the runs are carried out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx

from tests.kit.served import Served, serving


def health(served: Served) -> list[str]:
    answer = httpx.get(f"{served.url}/healthz", headers={"Accept": "application/json"}, timeout=10.0)
    missing: list[str] = answer.json().get("missing", [])
    assert bool(missing) == (answer.status_code == 503)
    return missing


def test_runs_are_carried_out_after_the_folder_of_the_queues_was_lost(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--no-pbx") as served:
        assert served.finished(served.run("basic_call"))["is_finished"]
        shutil.rmtree(tmp_path / "data" / "nats" / "jetstream")
        lost = time.monotonic()
        told: list[str] = []

        def seen() -> list[str]:
            missing = health(served)
            told.extend(missing)
            return missing

        served.until(lambda missing: bool(told) and not missing, seen, 90)
        print(f"mended {time.monotonic() - lost:.1f} s after the loss, told meanwhile: {dict.fromkeys(told)}")
        assert any("tickets do not go round" in missing for missing in told)
        began = time.monotonic()
        assert served.finished(served.run("basic_call"))["is_finished"]
        print(f"a run after it took {time.monotonic() - began:.1f} s")
