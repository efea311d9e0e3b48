"""`GET /api/v2/runs?limit=100` over HTTP on 100,000 runs, and the same query by hand behind the same server.

    python -m benchmarks.api [--runs 100000] [--seconds 5]

Ours is the real `serve` with one HTTP worker: key and secret are checked, the query is built from its
filters, times and URLs are written for people. By hand is one Granian worker with one handler of Litestar
that runs the statement on the driver (sqlite3 in as many threads, asyncpg with as many connections), fills
the same structs and writes them as JSON: no key, no filters, no links. A second one by hand reads the key and
its user on the driver first, as whoever answers nobody else must. Eight connections ask each in turns from a
process of their own; the ratio is the median of those of the turns. All of them share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.exceptions import NotAuthorizedException

from benchmarks import lists, noise
from benchmarks.lists import AT_ONCE, GOAL, ROWS, Figures
from callwright.control.runs.model import Run
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import open_stores

TURNS = 15
CHECKED = ", key checked by hand too"
_SERVE = ("--no-agent", "--no-pbx", "--no-demo", "--rate-limit", "0", "--workers", "1")
_KEY = (
    "SELECT secret_hash, role FROM api_keys JOIN users ON users.id = user_id "
    "WHERE revoked_at IS NULL AND deleted_at IS NULL AND public_key ="
)
_LOCATION, _PORT = "BENCHMARK_LOCATION", "BENCHMARK_PORT"


def by_hand() -> Any:
    """What Granian calls in the worker by hand."""
    location = os.environ[_LOCATION]
    query = f"SELECT {', '.join(Run.__struct_fields__)} FROM runs ORDER BY id DESC LIMIT"
    pool: Any = None
    local = threading.local()
    threads = ThreadPoolExecutor(2)  # as many as the store reads with

    def read() -> list[Run]:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(location)
        return [Run(*row) for row in local.connection.execute(f"{query} ?", (ROWS,)).fetchall()]

    async def connect() -> None:
        nonlocal pool
        if pool is None:
            import asyncpg

            pool = await asyncpg.create_pool(location, min_size=AT_ONCE, max_size=AT_ONCE)

    async def rows() -> list[Run]:
        if not location.startswith("postgresql:"):
            return await asyncio.get_running_loop().run_in_executor(threads, read)
        await connect()
        return [Run(*row) for row in await pool.fetch(f"{query} $1", ROWS)]

    def read_key(public_key: str) -> tuple[Any, ...] | None:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(location)
        found: tuple[Any, ...] | None = local.connection.execute(f"{_KEY} ?", (public_key,)).fetchone()
        return found

    async def key_fits(authorization: str) -> bool:
        public_key, _, secret = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
        if location.startswith("postgresql:"):
            await connect()
            row = await pool.fetchrow(f"{_KEY} $1", public_key)
        else:
            row = await asyncio.get_running_loop().run_in_executor(threads, read_key, public_key)
        return row is not None and hmac.compare_digest(row[0], hashlib.sha256(secret.encode()).hexdigest())

    @get("/runs")
    async def page() -> Response[Any]:
        return Response({"data": await rows()}, media_type="application/json")

    @get("/runs/checked")
    async def checked_page(request: Request[Any, Any, Any]) -> Response[Any]:
        if not await key_fits(request.headers["authorization"]):
            raise NotAuthorizedException
        return Response({"data": await rows()}, media_type="application/json")

    return Litestar([page, checked_page], openapi_config=None, logging_config=None)


def serve_by_hand() -> None:
    """The process of the server by hand, with the settings of `serve`'s."""
    from granian import Granian
    from granian.constants import Interfaces, Loops

    Granian(
        "benchmarks.api:by_hand",
        address="127.0.0.1",
        port=int(os.environ[_PORT]),
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.asyncio,
        factory=True,
        websockets=False,
        log_access=False,
        log_enabled=False,
    ).serve()


@contextmanager
def serving_by_hand(location: str) -> Iterator[int]:
    """Its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", "from benchmarks.api import serve_by_hand; serve_by_hand()"],
        env=os.environ | {_LOCATION: location, _PORT: str(port)},
        start_new_session=True,  # as `serve` starts its own: the kernel shares its time out by sessions
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, "the server by hand has ended"
                assert time.monotonic() < deadline, "the server by hand did not start"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, path: str, authorization: str, seconds: float) -> tuple[float, float]:
    """(requests a second, p99 in ms) over AT_ONCE connections that stay open. In a process of its own."""
    request = _request(path, authorization)
    times: list[float] = []
    begun = time.perf_counter()

    def client(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while (asked := time.perf_counter()) - begun < seconds:
                connection.sendall(request)
                read_answer(connection)
                times.append(time.perf_counter() - asked)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(client, range(AT_ONCE)))
    took = time.perf_counter() - begun
    return len(times) / took, 1000 * sorted(times)[int(len(times) * 0.99)]


def read_answer(connection: socket.socket) -> bytes:
    """The body of one answer, which must be 200 and say its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, start = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    assert lines[0].split()[1] == "200", head
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    pieces, missing = [start], length - len(start)
    while missing > 0:
        pieces.append(_some(connection))
        missing -= len(pieces[-1])
    return b"".join(pieces)


def _request(path: str, authorization: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n\r\n".encode()


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(262_144)
    assert data, "the server closed the connection"
    return data


Side = tuple[int, str, str]  # port, path, authorization


def compare(ours: Side, by_hand: dict[str, Side], seconds: float) -> dict[str, Figures]:
    """Ours against each by hand, by its name. All must answer with the same runs."""
    sides = {"ours": ours, **by_hand}
    assert len({tuple(_ids(*side)) for side in sides.values()}) == 1
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for side in sides.values():
            pool.apply(ask, (*side, 0.5))  # what all need is loaded
        for turn in range(TURNS):
            for name, side in list(sides.items())[:: 1 if turn % 2 else -1]:
                turns[name].append(pool.apply(ask, (*side, seconds / TURNS)))
    return {name: Figures.of(turns["ours"], turns[name]) for name in by_hand}


def _ids(port: int, path: str, authorization: str) -> list[int]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_request(path, authorization))
        found = [row["id"] for row in json.loads(read_answer(connection))["data"]]
    assert len(found) == ROWS
    return found


def of(runs: int, seconds: float, name: str, database: str | None = None) -> dict[str, Figures]:
    """On SQLite, or on the empty PostgreSQL `database`."""
    from tests.kit.served import serving

    flags = [*_SERVE, *(("--database", database) if database else ())]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data", *flags) as served:
        location = Location.of(served.data, database)
        asyncio.run(_fill(location, runs))
        key = base64.b64encode(f"{served.public_key}:{served.secret}".encode()).decode()
        with serving_by_hand(location.url or str(location.path)) as port:
            return compare(
                (served.port, f"/api/v2/runs?limit={ROWS}", f"Basic {key}"),
                {name: (port, "/runs", "none"), f"{name}{CHECKED}": (port, "/runs/checked", f"Basic {key}")},
                seconds,
            )


async def _fill(location: Location, runs: int) -> None:
    stores = await open_stores(location)
    try:
        await lists.fill(stores, runs)
    finally:
        await stores.close()
    if location.url is not None:
        import asyncpg

        connection = await asyncpg.connect(location.url)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()


def measure_all(runs: int, seconds: float) -> dict[str, Figures]:
    """By the name of the database, without and with the key checked by hand too; PostgreSQL only where it is
    installed."""
    from tests.kit import postgresql

    found = of(runs, seconds, "SQLite")
    if postgresql.programs() is not None:
        server = postgresql.PostgreSql().start()
        try:
            found |= of(runs, seconds, "PostgreSQL", server.create("api"))
        finally:
            server.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each side")
    options = parser.parse_args()
    print(noise.sentence())
    found = measure_all(options.runs, options.seconds)
    print("\n".join(lists.sentences(found, options.runs)))
    met = all(figures.met for name, figures in found.items() if not name.endswith(CHECKED))
    print(f"goal {GOAL:.2f}: {'met' if met else 'missed'}; {noise.sentence()}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
