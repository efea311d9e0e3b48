"""What docs/probes.md tells to type works as it is told."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callwright.net.exchange import NoRawSockets, icmp_socket
from tests.kit.served import environment, free_port

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"
PORTS = {"8620": free_port(), "5070": free_port()}


def typed(line: str) -> list[str]:
    for written, ours in PORTS.items():
        line = line.replace(written, str(ours))
    return [sys.executable, "-m", *line.split()]


COMMANDS = re.findall(r"^    (callwright probe .*)$", PAGE.read_text(encoding="utf-8"), re.M)


def started(line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        typed(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


@pytest.fixture(scope="module")
def commands() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of the page at once: most of their time they wait."""
    pbx = f"callwright pbx --listen 127.0.0.1:{PORTS['5070']} --account 1001:secret"
    far_ends = [started("callwright reflect --port 8620"), started(pbx)]
    for one in far_ends:
        assert one.stderr is not None
        assert one.stderr.readline()
    yield {line: started(line) for line in COMMANDS}
    for one in far_ends:
        one.send_signal(signal.SIGINT)
        one.communicate(timeout=30)


@pytest.mark.parametrize("line", COMMANDS)
def test_what_the_page_tells_to_type_measures(line: str, commands: dict[str, subprocess.Popen[str]]) -> None:
    out, err = commands[line].communicate(timeout=60)
    if " ping " in line and not _may_ping():
        pytest.skip("this process may not send ICMP")
    # 3: this machine was too busy to measure, which CI's may be.
    assert commands[line].returncode in (0, 3), out + err
    if "--json" in line:
        document = json.loads(out)
        assert document["sent"]
        assert document["received"]
        assert document["verdict"] in ("passed", "invalid")
    else:
        assert re.search(r"^(passed|invalid): ", out, re.M)


def _may_ping() -> bool:
    try:
        icmp_socket(socket.AF_INET).close()
    except NoRawSockets:
        return False
    return True
