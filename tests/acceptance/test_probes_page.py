"""What docs/probes.md tells to type works as it is told."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.served import environment, free_port

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"
PORTS = {"8620": free_port(), "5070": free_port()}


def typed(line: str) -> list[str]:
    for written, ours in PORTS.items():
        line = line.replace(written, str(ours))
    return [sys.executable, "-m", *line.split()]


COMMANDS = re.findall(r"^    (callwright probe .*)$", PAGE.read_text(encoding="utf-8"), re.M)


@pytest.fixture(scope="module")
def far_ends() -> Iterator[subprocess.Popen[str]]:
    pbx = f"callwright pbx --listen 127.0.0.1:{PORTS['5070']} --account 1001:secret"
    started = [
        subprocess.Popen(
            typed(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        for line in ("callwright reflect --port 8620", pbx)
    ]
    assert all(one.stderr is not None for one in started)
    assert "reflecting on 0.0.0.0" in (started[0].stderr.readline() if started[0].stderr else "")
    if started[1].stderr is not None:
        started[1].stderr.readline()
    yield started[0]
    for one in started:
        one.send_signal(signal.SIGINT)
        one.communicate(timeout=30)


@pytest.mark.parametrize("line", COMMANDS)
def test_what_the_page_tells_to_type_measures(line: str, far_ends: subprocess.Popen[str]) -> None:
    if " ping " in line and not _may_ping():
        pytest.skip("this process may not send ICMP")
    done = subprocess.run(typed(line), capture_output=True, text=True, timeout=60, env=environment())
    # 3: this machine was too busy to measure, which CI's may be.
    assert done.returncode in (0, 3), done.stdout + done.stderr
    if "--json" in line:
        document = json.loads(done.stdout)
        assert document["received"] == document["sent"]
        assert document["verdict"] in ("passed", "invalid")
    else:
        assert re.search(r"^(passed|invalid): ", done.stdout, re.M)


def _may_ping() -> bool:
    from callwright.net.exchange import NoRawSockets, icmp_socket

    try:
        import socket

        icmp_socket(socket.AF_INET).close()
    except NoRawSockets:
        return False
    return True
