"""A platform under posts, event streams and slow clients: it answers all along, and its memory stays flat.

`make soak` takes an hour; CALLWRIGHT_SOAK_SECONDS says how long, some seconds without it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.served import Served, serving

SECONDS = float(os.environ.get("CALLWRIGHT_SOAK_SECONDS", "10"))
LOOK = max(0.5, SECONDS / 200)  # seconds between looks at the memory
# Of the last quarter over the second, and octets that any process may take besides. In the first minutes
# more: modules are loaded, and a password that is compared takes 64 MiB that the allocator keeps.
GROWTH, ROOM = 1.10, (24 if SECONDS >= 600 else 192) * 2**20
PING = "name: soak\nparties: {a: {credentials: pbx_1001}}\nsteps: [options: {party: a}]\n"
NEVER = b"POST /login HTTP/1.1\r\nHost: soak\r\nContent-Length: 100000\r\n\r\nemail="

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
    pytest.mark.timeout(SECONDS + 150),
]


class Soak:
    """Clients that go on until `over`; what they did is counted, what went wrong is kept."""

    def __init__(self, served: Served) -> None:
        self.served, self.over = served, threading.Event()
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0

    def repeat(self, name: str, pause: float, work: Callable[[], None]) -> None:
        while not self.over.wait(pause):
            try:
                work()
                self.done[name] += 1
            except (httpx.HTTPError, OSError, AssertionError) as error:
                self.wrong.append(f"{name}: {error!r}"[:300])

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.served.url, auth=self.served.auth, timeout=30.0)

    def post_runs(self) -> None:
        with self.client() as client:

            def work() -> None:
                answer = client.post("/api/v2/tests/run", json={"test.name": "soak"})
                assert answer.status_code == 200, answer.text
                run = answer.json()["data"]["session_id"]
                self.follow(client, f"/api/v2/runs/{run}/events")

            self.repeat("runs", 0.3, work)

    def post_documents(self) -> None:
        with self.client() as client:
            large = PING + "# a comment\n" * 2_000
            turn = iter(range(10**9))

            def work() -> None:
                text = f"{large}# {next(turn)}\n"
                answer = client.patch("/api/v2/tests/soak", json={"document": text})
                assert answer.status_code in (200, 409), answer.text
                wrong = client.post("/login", data={"email": "a@b", "password": "wrong"})
                assert wrong.status_code in (401, 429), wrong.status_code

            self.repeat("documents", 0.5, work)

    def ask_health(self) -> None:
        with self.client() as client:

            def work() -> None:
                began = time.monotonic()
                answer = client.get("/healthz")
                self.slowest = max(self.slowest, time.monotonic() - began)
                assert answer.status_code in (200, 503), answer.text
                self.done["unhealthy"] += answer.status_code == 503  # a busy machine is late with heartbeats
                assert client.get("/api/v2/runs?limit=50").status_code == 200

            self.repeat("health", 0.2, work)

    def follow(self, client: httpx.Client, path: str) -> None:
        """A stream to its end, or given up in its midst."""
        with client.stream("GET", path) as stream:
            for number, _ in enumerate(stream.iter_lines()):
                if number > 3:
                    break

    def stall(self) -> None:
        """Bodies that never come, heads that stop, answers that nobody reads."""
        unread = b"GET /api/v2/openapi.json HTTP/1.1\r\nHost: s\r\n\r\n"
        begins = (NEVER, b"", unread[:20], unread)
        with contextlib.ExitStack() as held:

            def work() -> None:
                for begin in begins:
                    connection = held.enter_context(
                        socket.create_connection(("127.0.0.1", self.served.port), timeout=10)
                    )
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(begin)
                self.done["held"] += len(begins)
                if self.done["held"] % 400 == 0:
                    held.close()

            self.repeat("stalled", 0.05, work)


def memory(served: Served) -> dict[str, int]:
    """Octets that each process of the platform holds, by pid and what it is."""
    found = {}
    for pid in (served.process.pid, *served.children()):
        with contextlib.suppress(OSError, IndexError, StopIteration):
            status = Path(f"/proc/{pid}/status").read_text()
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
            found[f"{pid} {b' '.join(words[:6]).decode()}"] = int(resident.split()[1]) * 1024
    return found


@contextlib.contextmanager
def working(soak: Soak) -> Iterator[None]:
    threads = [
        threading.Thread(target=work, daemon=True)
        for work in (soak.post_runs, soak.post_documents, soak.ask_health, soak.stall)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        soak.over.set()
        for thread in threads:
            thread.join(60)


def test_the_memory_stays_flat_under_posts_streams_and_slow_clients(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--no-demo", "--rate-limit", "0") as served:
        answer = httpx.post(f"{served.url}/api/v2/tests", json={"document": PING}, auth=served.auth)
        assert answer.status_code == 201, answer.text
        soak = Soak(served)
        looks: list[dict[str, int]] = []
        with working(soak):
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                time.sleep(LOOK)
                looks.append(memory(served))
        served.until(
            lambda answer: answer.status_code == 200,
            lambda: httpx.get(f"{served.url}/healthz", timeout=10),
            60,
        )
    print(f"soak: {dict(soak.done)}, slowest answer of /healthz {soak.slowest:.2f} s")
    assert soak.wrong == []
    assert min(soak.done[name] for name in ("runs", "documents", "health", "stalled")) > 0
    quarter = len(looks) // 4
    for process in looks[-1]:
        early = [look[process] for look in looks[quarter : 2 * quarter] if process in look]
        late = [look[process] for look in looks[-quarter:] if process in look]
        if len(early) < quarter or len(late) < quarter:  # a guardian of a run that came and went
            continue
        before, after = statistics.median(early), statistics.median(late)
        print(f"  {before / 2**20:7.1f} MiB to {after / 2**20:7.1f} MiB  {process}")
        assert after <= before * GROWTH + ROOM, f"{process} grew from {before:,.0f} to {after:,.0f} octets"
