"""An agent becomes known to its platform: one request with a token, answered with its identity."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import msgspec

from callwright.agent.identity import Identity
from callwright.audio.codecs import CODECS
from callwright.dispatch.messages.protocol import PROTOCOL
from callwright.host.operator import EXIT_PLATFORM, Refused
from callwright.host.settings import AgentSettings
from callwright.net.trust import verifying_context
from callwright.version import __version__

if TYPE_CHECKING:
    import httpx

DEFAULT_CAPACITY = 50
_SECONDS = 30.0
_AGAIN = 1.0  # seconds before a platform that does not answer is asked again


def enrol(settings: AgentSettings, token: str) -> Identity:
    """Raises Refused with the platform's answer; without one, when `exit_after` seconds are over too."""
    if settings.url is None:
        raise Refused("--enrol needs --url", "Give the address of the platform.")
    try:
        ca = settings.ca.read_text() if settings.ca is not None else None
        trust = verifying_context(ca) if ca is not None else verifying_context()
    except (OSError, ValueError) as error:
        raise Refused(f"--ca {settings.ca}: {error}") from None
    capacity = settings.capacity or DEFAULT_CAPACITY
    asked = {
        "token": token,
        "name": settings.display_name,
        "version": __version__,
        "protocol": PROTOCOL,
        "capacity": capacity,
        "labels": settings.label,
        "codecs": [codec.name for codec in CODECS],
    }
    address = f"{settings.url.rstrip('/')}/api/v2/agents/enrol"
    answer, told = _answered(address, asked, trust, time.monotonic() + settings.exit_after)
    if answer.status_code not in (200, 201):
        message = told.get("message") if isinstance(told, dict) else None
        raise Refused(f"the platform refused the enrolment: {message or answer.status_code}")
    if isinstance(told, dict) and isinstance(told.get("data"), dict):
        told = told["data"]
    try:
        identity = msgspec.convert({"platform_url": settings.url, **told}, type=Identity)
    except (msgspec.MsgspecError, TypeError) as error:
        raise Refused(f"the platform's answer to the enrolment cannot be used: {error}") from None
    if ca is not None:
        identity = msgspec.structs.replace(identity, platform_ca=ca)
        if identity.websocket_url and identity.websocket_ca is None:
            # It stands behind the same proxy as the pages.
            identity = msgspec.structs.replace(identity, websocket_ca=ca)
    return msgspec.structs.replace(identity, capacity=capacity, labels=settings.label)


def _answered(
    address: str, asked: dict[str, Any], trust: ssl.SSLContext, until: float
) -> tuple[httpx.Response, Any]:
    """The answer and its JSON; a platform that is not there is asked again until then. Raises Refused."""
    import httpx

    while True:
        try:
            answer = httpx.post(address, json=asked, timeout=_SECONDS, verify=trust, follow_redirects=False)
            return answer, answer.json() if answer.content else {}
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if isinstance(error, httpx.TransportError) and time.monotonic() < until:
                time.sleep(_AGAIN)  # a machine that was just made may be quicker than its network
                continue
            raise Refused(
                f"{address} does not answer: {error}", code=EXIT_PLATFORM, blame="platform"
            ) from None
        except ValueError:
            raise Refused(
                f"{address} answered {answer.status_code} without JSON: is it a Callwright platform?"
            ) from None
