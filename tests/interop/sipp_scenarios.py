"""SIPp by scenario: `tests/interop/sipp/*.xml` as a server for our calls and as a client for our phone.

SIPp itself has to say that its calls went well: by its exit code, by `-timeout_error`, and by its own count.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.interop.peers import LOOPBACK, PeerProcess, free_port, sipp, start_callwright, wait_for_port

SCENARIOS = Path(__file__).parent / "sipp"


class Sipp:
    """A SIPp of one scenario. `port` is where it speaks SIP."""

    def __init__(self, peer: PeerProcess, port: int, statistics: Path) -> None:
        self.peer, self.port, self._statistics = peer, port, statistics

    def __enter__(self) -> Sipp:
        return self

    def __exit__(self, *error: Any) -> None:
        self.peer.__exit__(*error)

    @property
    def uri(self) -> str:
        return f"sip:sut@{LOOPBACK}:{self.port}"

    def statistics(self) -> dict[str, int]:
        """SIPp's own totals: successful and failed calls, retransmissions."""
        with self._statistics.open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter=";") if row.get("SuccessfulCall(C)")]
        assert rows, "SIPp wrote no statistics"
        last = rows[-1]
        return {
            "successful": int(last["SuccessfulCall(C)"]),
            "failed": int(last["FailedCall(C)"]),
            "retransmissions": int(last["Retransmissions(C)"]),
        }

    def succeeded(self, calls: int = 1) -> None:
        """It ends by itself, with exit code 0, and counts `calls` good calls and no other."""
        code = self.peer.wait(45)
        assert code == 0, f"SIPp ended with {code}:\n{self.peer.log[-6000:]}"
        counted = self.statistics()
        assert (counted["successful"], counted["failed"]) == (calls, 0), self.peer.log[-6000:]


def _start(folder: Path, name: str, arguments: Sequence[str], port: int, *, calls: int, tcp: bool) -> Sipp:
    statistics = folder / f"{name}-statistics.csv"
    fixed = ["-p", str(port), "-m", str(calls), "-timeout", "40", "-timeout_error", "-max_socket", "100"]
    fixed += ["-trace_stat", "-stf", str(statistics), "-fd", "1", "-mp", str(free_port(pair=True))]
    if tcp:
        fixed += ["-t", "t1"]
    return Sipp(sipp(folder, *arguments, *fixed, name=name), port, statistics)


def server(
    folder: Path,
    scenario: str,
    *arguments: str,
    keys: dict[str, str] | None = None,
    tcp: bool = False,
    calls: int = 1,
    name: str = "sipp",
    echo: bool = True,
) -> Sipp:
    """SIPp waiting for our call; `keys` fill what stands as @KEY@ in the scenario."""
    port = free_port()
    text = (SCENARIOS / f"{scenario}.xml").read_text()
    # SIPp's own -key comes too late: it wants the numbers of responses when it reads the file.
    for key, value in (keys or {}).items():
        text = text.replace(f"@{key}@", value)
    filled = folder / f"{name}-scenario.xml"
    filled.write_text(text)
    given = ["-sf", str(filled), *arguments]
    if echo:
        given.append("-rtp_echo")
    started = _start(folder, name, given, port, calls=calls, tcp=tcp)
    wait_for_port(started.peer, port, tcp=tcp)
    return started


def client(
    folder: Path,
    scenario: str,
    port: int,
    *arguments: str,
    tcp: bool = False,
    calls: int = 1,
    echo: bool = True,
) -> Sipp:
    """SIPp calling our `answer` at `port`."""
    given = [f"{LOOPBACK}:{port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", "sut", *arguments]
    if echo:
        given.append("-rtp_echo")
    return _start(folder, "sipp", given, free_port(), calls=calls, tcp=tcp)


class Answering:
    """`callwright answer --json` on a port of its own."""

    def __init__(self, folder: Path, *arguments: str, calls: int = 1, transport: str = "udp") -> None:
        self.port = free_port()
        self.peer = start_callwright(
            folder,
            "answer",
            "--listen",
            f"{LOOPBACK}:{self.port}",
            "--transport",
            transport,
            "--calls",
            str(calls),
            "--json",
            *arguments,
            wait_for="listening on",
        )

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *error: Any) -> None:
        self.peer.__exit__(*error)

    def finished(self, code: int = 0, seconds: float = 30.0) -> dict[str, Any]:
        """Its JSON document, once it has ended with `code`."""
        assert self.peer.wait(seconds) == code, self.peer.log
        return self.peer.document()

    def call(self, code: int = 0, seconds: float = 30.0) -> dict[str, Any]:
        """The only call of that document."""
        calls = self.finished(code, seconds)["calls"]
        assert len(calls) == 1
        found: dict[str, Any] = calls[0]
        return found
