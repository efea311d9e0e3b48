"""The HTTP application put together: services on a database, a broker, the pages. One in each web worker."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from callwright.host.web_worker import WebSettings

if TYPE_CHECKING:
    from callwright.control.api.places import Places
    from callwright.control.services import Services

_log = logging.getLogger("callwright.http")
_BROKER_SECONDS = 30.0
_LOOK_AT_CONNECTIONS = 0.5  # seconds


def web_application(settings: WebSettings) -> Any:
    """An ASGI application that opens everything when its server starts, on the server's own loop."""
    return _Opening(settings)


class _Opening:
    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._app: Any = None
        self._places: list[Places] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        started = await receive()
        try:
            services = await _open(self._settings)
            self._app = _assemble(services, self._settings, self._places)
        except Exception:
            # The server would go on without an application; another worker is started after this one's end.
            _log.exception("the application does not start")
            os._exit(1)
        watch = asyncio.ensure_future(_watch_connections(self._places[0], self._settings))
        first = [started]

        async def again() -> Any:
            return first.pop() if first else await receive()

        try:
            await self._app(scope, again, send)
        finally:
            watch.cancel()
            if services.broker is not None:
                await services.broker.close()
            await services.close()


async def _open(settings: WebSettings) -> Services:
    from callwright.control.runs.settings import RunSettings
    from callwright.control.services import Services
    from callwright.dispatch.nats import NatsBroker
    from callwright.host.announcing import Announcer
    from callwright.host.pbx_link import announcing
    from callwright.net.clock import SystemClock
    from callwright.net.entropy import system_entropy

    nats, serve = settings.nats, settings.serve
    broker = await NatsBroker.connect(
        nats.url,
        user=nats.user,
        password=nats.password,
        ca=nats.ca,
        name="callwright-web",
        wait=_BROKER_SECONDS,
    )
    services = await Services.open(
        serve.data,
        clock=SystemClock(),
        entropy=system_entropy,
        database=serve.database,
        evidence=serve.evidence_location,
        settings=RunSettings(embedded=not serve.strangers),
        new_secret_key=False,
        broker=broker,
        site=serve.public_url,
    )
    announcer = Announcer(broker)
    services.runs.on_change.append(announcer.run)
    services.servers.on_move.append(announcer.server)
    if settings.pbx is not None:
        announce = announcing(broker)
        services.lines.on_change.append(announce)
        services.dialplan.on_change.append(announce)
    return services


def _assemble(services: Services, settings: WebSettings, made: list[Places]) -> Any:
    from callwright.control.api.places import Places
    from callwright.control.app import create_app
    from callwright.control.services import PbxPlace, Settings

    serve = settings.serve
    host, port = settings.pbx or ("", 0)

    def places(app: Any) -> Places:
        made.append(Places(app, serve.bounds.shared_by(serve.workers), services.clock))
        return made[-1]

    return create_app(
        services,
        Settings(
            public_url=serve.public_url,
            rate_limit=serve.rate_limit / serve.workers,
            agent_expected=serve.agent,
            lease=serve.lease,
            metrics_token=serve.metrics_token,
            proxies=serve.trusted_proxies,
            data=serve.data,
            cors_origins=serve.cors_origins,
            sip_socket=settings.sip_socket,
            pbx=PbxPlace(host, udp=port, tcp=port) if host else None,
        ),
        places,
    )


async def _watch_connections(places: Places, settings: WebSettings) -> None:
    """Those on which no request has come are known to the kernel alone."""
    from callwright.control.api.places import Connections
    from callwright.net import accepted

    serve = settings.serve
    limit = serve.bounds.shared_by(serve.workers).connections_of_address
    connections = Connections(places, limit, serve.trusted_proxies)
    while True:
        await asyncio.sleep(_LOOK_AT_CONNECTIONS)
        peers = await asyncio.to_thread(accepted.peers, settings.port)
        surplus = {descriptor: peers[descriptor] for descriptor in connections.surplus(peers)}
        if surplus:
            await asyncio.to_thread(accepted.end, surplus)
