"""The process that answers HTTP: Granian with its workers. Started by `serve`, no verb of its own.

    python -m callwright.host.web_worker SETTINGS.json

The settings lie in a file that only its owner may read, since they hold the passwords of the broker and of
the store of evidence.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from callwright.host.logging import set_up
from callwright.host.settings import NatsAddress, ServeSettings

SETTINGS = "CALLWRIGHT_WEB_SETTINGS"
_MASTER = "CALLWRIGHT_WEB_MASTER"  # pid of the process that starts the workers
SHARED_FIGURES = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client reads it when it is imported
BACKLOG = 2_048
MAX_CONNECTIONS = 16_384  # of a worker; each address has far fewer, so this is for many of them
_OWN_DESCRIPTORS = 512  # files, databases, the broker

# Of Granian's own lines, in its terms.
_JSON_LOG = {
    "formatters": {},
    "handlers": {name: {"class": "callwright.host.logging.JsonHandler"} for name in ("console", "access")},
}


@dataclass(frozen=True)
class WebSettings:
    """What a worker, and the PBX, must know. `port`: the one that was claimed; `pbx`: where it listens, None
    without one; `sip_socket`: its port for WebSocket on loopback, and our secret there."""

    serve: ServeSettings
    port: int
    nats: NatsAddress
    pbx: tuple[str, int] | None = None
    sip_socket: tuple[int, str] | None = None


def write_settings(path: Path, settings: WebSettings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(settings, enc_hook=str))  # of a Path


def read_settings(path: str) -> WebSettings:
    return msgspec.json.decode(
        Path(path).read_bytes(), type=WebSettings, dec_hook=lambda kind, text: kind(text)
    )


def figures_folder(data: Path) -> Path:
    """Where the workers keep what each counts of its requests, so that any of them can tell of all."""
    return data / "run" / "metrics"


def application() -> Any:
    """What Granian calls in each worker."""
    from callwright.host.web_application import web_application
    from callwright.net.process import die_with_parent

    die_with_parent(int(os.environ[_MASTER]))
    settings = read_settings(os.environ[SETTINGS])
    set_up(settings.serve.log_format, logging.INFO, stdout=True)
    return web_application(settings)


def main() -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    path = sys.argv[1]
    settings = read_settings(path)
    as_json = settings.serve.log_format == "json"
    set_up(settings.serve.log_format, logging.INFO, stdout=True)
    os.environ[SETTINGS] = path
    os.environ[_MASTER] = str(os.getpid())
    os.environ[SHARED_FIGURES] = str(figures_folder(settings.serve.data))
    Granian(
        "callwright.host.web_worker:application",
        address=settings.serve.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.serve.workers,
        loop=Loops.asyncio,
        factory=True,
        websockets=True,  # for SIP alone, see control/api/sip_socket
        # HTTP/2 without TLS has no limit in time for a connection that stays silent.
        http=HTTPModes.http1,
        backlog=BACKLOG,
        backpressure=_connections(),
        log_access=False,
        log_dictconfig=_JSON_LOG if as_json else None,
        respawn_failed_workers=True,
        respawn_interval=0.2,
        workers_kill_timeout=2,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
    ).serve()


def _connections() -> int:
    """How many a worker may hold, after the limit of descriptors was raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_CONNECTIONS + _OWN_DESCRIPTORS
    soft = most if hard == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(soft - _OWN_DESCRIPTORS, 64)


if __name__ == "__main__":
    main()
