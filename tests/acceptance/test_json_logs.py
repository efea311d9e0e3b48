"""With `--log-format json`, whatever the processes of `serve` write is one JSON object a line."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import httpx

from tests.kit.served import serving


def test_every_log_of_serve_is_json_lines_and_holds_no_secret(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--log-format", "json", "-v") as served:
        assert served.finished(served.run("basic_call"))["status"] == "passed"
        answer = httpx.get(f"{served.url}/kiosk/sesame-sesame/x", headers={"X-Request-Id": "proxy-7"})
        assert answer.headers["x-request-id"] == "proxy-7"
        web = served.data / "log" / "web.log"
        (pid,) = re.findall(r"Spawning worker-1 with PID: (\d+)", web.read_text())
        os.kill(int(pid), signal.SIGKILL)
        served.until(lambda text: text.count("with PID: ") > 1, web.read_text)
    logs = [served.log, *(served.data / "log").glob("*.log")]
    assert {"web.log", "agent.log", "pbx.log"} <= {log.name for log in logs}
    for log in logs:
        text = log.read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
        assert not any(secret in text for secret in (served.secret, served.password, "sesame-sesame"))
    told = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert "nats-server" in {line["logger"] for line in told}
