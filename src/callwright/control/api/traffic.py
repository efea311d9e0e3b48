"""What is counted of requests, by route, method and class of status; and how long each took to be answered.

With PROMETHEUS_MULTIPROC_DIR in the environment, as `serve` sets it, all workers count into one folder and
each tells of all; without it, of itself.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from callwright.net.clock import Clock

_log = logging.getLogger("callwright.http")

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_ROOM = 1 << 20  # octets of a worker's file; it stays below, since routes, methods and classes are few
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class Traffic:
    """``around(app)`` is the application that is counted. What found no route has the route `none`."""

    def __init__(self, clock: Clock) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._clock = clock
        self._shared = os.environ.get(FOLDER)
        self._counts = not self._shared or _make_room(Path(self._shared))
        self._own = CollectorRegistry()
        self._requests = Counter(
            "callwright_http_requests",
            "Requests that were answered, by route template and class of status.",
            ("route", "method", "status"),
            registry=self._own,
        )
        self._seconds = Histogram(
            "callwright_http_request_seconds",
            "Seconds until an answer began.",
            ("route", "method"),
            buckets=_BOUNDS,
            registry=self._own,
        )
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def around(self, app: Any) -> Any:
        if not self._counts:
            return app
        now = self._clock.now

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began = now()

            async def answered(message: Any) -> None:
                if message["type"] == "http.response.start":
                    route = scope.get("path_template") or "none"
                    self._count(route, scope["method"], message["status"] // 100, now() - began)
                await send(message)

            await app(scope, receive, answered)

        return counted

    def collect(self) -> list[Any]:
        """Families of metrics. Reads files when there are several workers: not for the loop."""
        if not self._shared:
            return list(self._own.collect())
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        collector: Any = MultiProcessCollector(CollectorRegistry(), path=self._shared)  # type: ignore[no-untyped-call]
        return list(collector.collect())

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        key = route, method, status
        found = self._known.get(key)
        if found is None:
            named = method if method in _METHODS else "other"
            found = (
                self._requests.labels(route, named, f"{status}xx"),
                self._seconds.labels(route, named),
            )
            if named == method:  # what anybody may make up is not remembered
                self._known[key] = found
        found[0].inc()
        found[1].observe(seconds)


def _make_room(folder: Path) -> bool:
    """The files of this worker, with their blocks: on a full disk a hole in a mapped file is a SIGBUS.

    False: there is no room, and nothing may be counted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("counter", "histogram"):
            with open(folder / f"{kind}_{os.getpid()}.db", "ab") as file:
                os.posix_fallocate(file.fileno(), 0, _ROOM)
    except OSError as error:
        _log.warning("requests are not counted: no room in %s: %s", folder, error)
        return False
    return True
