"""The HTTP application: the chapters of the API and their reference, the pages for people, and health."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State

from callwright.control.api import documentation, health, metrics, problems, root
from callwright.control.api.access import audit, credentials, keys, projects, users
from callwright.control.api.auth import Gate, pass_gate
from callwright.control.api.chapters import MONITORING, TELEPHONY
from callwright.control.api.cors import Cors
from callwright.control.api.door import Door
from callwright.control.api.fleet import servers as fleet_servers
from callwright.control.api.fleet import state as fleet_state
from callwright.control.api.forwarded import Forwarded
from callwright.control.api.limits import RateLimit
from callwright.control.api.links import PATH
from callwright.control.api.monitoring import alerts, as_code, endpoints, incidents, monitors, voip_tests
from callwright.control.api.monitoring import root as monitoring
from callwright.control.api.monitoring import servers as monitoring_servers
from callwright.control.api.monitoring import users as monitoring_users
from callwright.control.api.monitoring.answers import Refusal
from callwright.control.api.packing import Packed
from callwright.control.api.places import Places
from callwright.control.api.request_id import identified
from callwright.control.api.sip_socket import SipSockets
from callwright.control.api.telephony import access as telephony_access
from callwright.control.api.telephony import answers as telephony_answers
from callwright.control.api.telephony import calls as telephony_calls
from callwright.control.api.telephony import cdr_files, sms, voicemessages
from callwright.control.api.telephony import cdrs as telephony_cdrs
from callwright.control.api.telephony import contacts as telephony_contacts
from callwright.control.api.telephony import dialplan as telephony_dialplan
from callwright.control.api.telephony import events as telephony_events
from callwright.control.api.telephony import monitors as telephony_monitors
from callwright.control.api.telephony import users as telephony_users
from callwright.control.api.telephony import webhooks as telephony_webhooks
from callwright.control.api.testing import agents, notifications, pools, runs, safety, tests
from callwright.control.api.traffic import Traffic
from callwright.control.services import Services, Settings
from callwright.control.web.pages import create_router

_log = logging.getLogger("callwright.http")

_BURST = 5.0  # seconds' worth of the rate that may come at once
_FAILURES = (5.0, 100.0)  # wrong credentials a second from one address, and at once
_GUESSES = (0.1, 10.0)  # wrong passwords of people, likewise


def create_app(services: Services, settings: Settings, places: Callable[[Any], Places] | None = None) -> Any:
    """The ASGI application. ``places``: makes those around an application, for who wants to look at them."""
    traffic = Traffic(services.clock)
    app: Any = Packed(create_litestar(services, settings, traffic))
    if settings.cors_origins:
        app = Cors(app, settings.cors_origins)
    app = SipSockets(app, settings.sip_socket, settings.cors_origins, settings.public_url)
    app = places(app) if places else Places(app, settings.bounds, services.clock)
    app = traffic.around(Door(Forwarded(app, settings.proxies) if settings.proxies else app))
    return identified(app, services.entropy)


def create_litestar(services: Services, settings: Settings, traffic: Traffic | None = None) -> Litestar:
    gate = Gate(
        services.accounts,
        services.clock,
        requests=RateLimit(settings.rate_limit, settings.rate_limit * _BURST),
        failures=RateLimit(*_FAILURES),
        guesses=RateLimit(*_GUESSES),
        on_failure=services.accounts.note_failed_login,
    )
    documents = [
        documentation.Documentation(PATH, api_routes()),
        documentation.Documentation(MONITORING, monitoring_routes(), error=Refusal),
        documentation.Documentation(TELEPHONY[0], telephony_routes(), error=telephony_answers.Refusal),
    ]
    pages = create_router(services, settings, documents[0])
    chapters = [(PATH, api_routes()), (MONITORING, monitoring_routes())]
    chapters += [(path, telephony_routes()) for path in TELEPHONY]
    chapters += [("/", [*fleet_servers.ROUTES, *fleet_state.ROUTES])]
    return Litestar(
        route_handlers=[
            *(Router(path, route_handlers=[*routes], guards=[pass_gate]) for path, routes in chapters),
            *(route for document in documents for route in documentation.routes(document)),
            *health.ROUTES,
            metrics.metrics,
            pages,
        ],
        exception_handlers=problems.handlers(_log_bug, people=pages.exception_handlers[Exception]),
        state=State(
            {
                "services": services,
                "settings": settings,
                "gate": gate,
                "metrics": metrics.Metrics(services, settings, traffic),
            }
        ),
        openapi_config=None,  # control/api/documentation.py makes and completes the document
        request_max_body_size=None,  # control/api/body.py reads and bounds bodies
        debug=False,
        logging_config=None,
    )


def api_routes() -> list[Any]:
    parts = (
        root,
        tests,
        runs,
        agents,
        pools,
        notifications,
        safety,
        audit,
        credentials,
        keys,
        users,
        projects,
    )
    return [route for part in parts for route in part.ROUTES]


def monitoring_routes() -> list[Any]:
    records = (monitoring, monitoring_users, monitoring_servers, endpoints, voip_tests, alerts, incidents)
    return [route for part in (*records, monitors, as_code) for route in part.ROUTES]


def telephony_routes() -> list[Any]:
    return [
        route
        for part in (
            telephony_access,
            telephony_users,
            cdr_files,
            telephony_cdrs,
            telephony_calls,
            telephony_dialplan,
            telephony_monitors,
            telephony_contacts,
            sms,
            voicemessages,
            telephony_webhooks,
            telephony_events,
        )
        for route in part.ROUTES
    ]


def _log_bug(line: str, error: Exception) -> None:
    _log.error("a bug answered 500 to %s", line, exc_info=error)
