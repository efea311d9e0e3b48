"""A platform of the test's own: the real `callwright serve` on a free port, in a folder that goes away."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.kit.contract import Contract

READY_SECONDS = 180.0  # of a busy machine


@dataclass
class Served:
    """A running `serve`. `api` has the credentials of its first start, and holds each answer against the
    platform's own OpenAPI document."""

    process: subprocess.Popen[bytes]
    data: Path
    port: int
    log: Path
    public_key: str = ""
    secret: str = ""
    password: str = ""
    api: httpx.Client = field(default_factory=httpx.Client)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth(self) -> tuple[str, str]:
        return self.public_key, self.secret

    def get(self, path: str, **more: Any) -> Any:
        """The JSON of a page of the API that must be there."""
        answer = self.api.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, test: str, **overrides: Any) -> str:
        """Starts a run that must be accepted; its session id."""
        answer = self.api.post("tests/run", json={"test.name": test, **overrides})
        assert answer.status_code == 200, answer.text
        session_id: str = answer.json()["data"]["session_id"]
        return session_id

    def finished(self, session_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """The status once the run has ended."""
        run: dict[str, Any] = self.until(
            lambda run: bool(run["is_finished"]),
            lambda: self.get(f"runs/{session_id}/status")["run"],
            seconds,
        )
        return run

    @staticmethod
    def until(fits: Any, look: Any, seconds: float = 20.0) -> Any:
        """What `look` gives as soon as it fits."""
        deadline = time.monotonic() + seconds
        while True:
            seen = look()
            if fits(seen):
                return seen
            assert time.monotonic() < deadline, f"still {seen}"
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Pids of all its descendants."""
        return _descendants(self.process.pid)

    def end(self, number: int = signal.SIGTERM) -> float:
        """Seconds that it took to end after the signal."""
        self.api.close()
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began


_ports = itertools.count(os.getpid() * 7 % 5_000 * 2, 2)
_kept: list[int] = []  # descriptors of the locks of this process's ports


def free_port() -> int:
    """A TCP port that nobody has, nor the next one: a nats-server takes that for WebSockets. Both are below
    those that the kernel gives to connections, so none takes them before the test does; and no other
    process of tests does, which holds a lock on what it was given."""
    for step in itertools.islice(_ports, 6_000):
        at = 20_000 + step % 12_000
        if not _lock(at):
            continue
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", at))
                second.bind(("127.0.0.1", at + 1))
            except OSError:
                continue
            return at
    raise AssertionError("no port is free between 20000 and 32000")


def _lock(port: int) -> bool:
    """Until this process ends: the server starts seconds after its port was chosen."""
    folder = Path(tempfile.gettempdir()) / f"callwright-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _kept.append(lock)
    return True


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CALLWRIGHT_")}
    return kept | more


def start(data: Path, *flags: str, port: int | None = None, env: dict[str, str] | None = None) -> Served:
    """Starts it without waiting. Its words are in `log`."""
    data.mkdir(parents=True, exist_ok=True)
    chosen = port if port is not None else free_port()
    log = data.parent / f"{data.name}.serve.log"
    command = [
        sys.executable,
        "-m",
        "callwright",
        "serve",
        "--port",
        str(chosen),
        "--data",
        str(data),
        *flags,
    ]
    with open(log, "ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env or environment()
        )
    return Served(process, data, chosen, log)


def wait_ready(served: Served) -> Served:
    """Until a run would be accepted; with the credentials of the first start, if there was one now."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{served.url}/healthz", timeout=2.0).status_code == 200:
                break
        assert served.process.poll() is None, served.log.read_text()
        assert time.monotonic() < deadline, served.log.read_text()
        time.sleep(0.05)
    told = served.data / "first-start-credentials.txt"
    if told.is_file():
        found = dict(line.split(": ", 1) for line in told.read_text().splitlines())
        served.public_key, served.secret = found["public_key"], found["secret"]
        served.password = found.get("password", "")
    served.api = httpx.Client(
        base_url=f"{served.url}/api/v2/", auth=served.auth, timeout=30.0, follow_redirects=False
    )
    contract = Contract(served.api.get("openapi.json").json())
    served.api.event_hooks["response"].append(contract.as_hook)
    return served


@contextlib.contextmanager
def serving(data: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    served = start(data, *flags, env=env)
    try:
        yield wait_ready(served)
    finally:
        if served.process.poll() is None:
            served.end()


def curl(*arguments: str) -> tuple[int, Any]:
    """(status, JSON or text) of a line of curl as people type it."""
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, timeout=60, check=True
    )
    text, _, status = done.stdout.decode().rpartition("\n")
    try:
        return int(status), json.loads(text)
    except ValueError:
        return int(status), text


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: list[int] = []
    level: Sequence[int] = [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found
