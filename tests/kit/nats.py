"""A nats-server of somebody else's: the real one, configured by hand, as `serve --nats URL` meets it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from callwright.host.nats_server import find_server
from tests.kit.served import free_port


class ForeignNats:
    """`with ForeignNats(folder) as nats`: `url` has the credentials in it. `stop` and `start` at will.
    ``more``: of its configuration."""

    def __init__(
        self, folder: Path, *, jetstream: bool = True, more: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": 8 * 1024 * 1024,
            "authorization": {"users": [{"user": "callwright", "password": "p@ss:word"}]},
        }
        if jetstream:
            configuration["jetstream"] = {"store_dir": str(folder / "store")}
        (folder / "nats.conf").write_text(json.dumps(configuration | dict(more or {})))

    @property
    def url(self) -> str:
        return f"nats://callwright:p%40ss%3Aword@127.0.0.1:{self.port}"

    def start(self) -> Self:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [find_server(), "-c", str(self.folder / "nats.conf")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                if probe.recv(4) == b"INFO":
                    return self
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)


@contextlib.contextmanager
def foreign_nats(
    folder: Path, *, jetstream: bool = True, more: Mapping[str, Any] | None = None
) -> Iterator[ForeignNats]:
    server = ForeignNats(folder, jetstream=jetstream, more=more)
    try:
        yield server.start()
    finally:
        server.stop()


class NatsCluster:
    """Three nats-servers that are one: `url` names all of them."""

    def __init__(self, folder: Path, *, more: Mapping[str, Any] | None = None) -> None:
        routes = [free_port() for _ in range(3)]
        self.servers = [
            ForeignNats(
                folder / f"n{number}",
                more={
                    "server_name": f"n{number}",
                    "cluster": {
                        "name": "callwright",
                        "listen": f"127.0.0.1:{route}",
                        "routes": [f"nats://127.0.0.1:{other}" for other in routes],
                    },
                    "max_payload": 1024 * 1024,
                    **(more or {}),
                },
            )
            for number, route in enumerate(routes)
        ]

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers)

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        return self

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
