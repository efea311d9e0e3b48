"""What makes sense of an endpoint and of a VoIP test, without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from callwright.control.errors import Invalid
from callwright.control.monitors.history import RESOLUTIONS
from callwright.control.monitors.model import PORTS, Category, Endpoint, VoipTest
from callwright.dispatch.messages.monitors import LONGEST_INTERVAL, SHORTEST_INTERVAL
from callwright.policy.addresses import bare, numeric
from callwright.quality.codec_table import impairment
from callwright.sip.uri import SipSyntaxError, Uri

__all__ = [
    "SIGNALLING",
    "TRANSPORTS",
    "blank",
    "check_length",
    "checked_test",
    "first",
    "settled",
    "uri",
    "wrong",
]

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_MOST_PACKETS, _SHORTEST_GAP, _LONGEST_GAP = 1_000, 5.0, 10_000.0
_MOST_ROWS = 20_000
SIGNALLING = (Category.SIP, Category.CALL, Category.REGISTER)
TRANSPORTS = ("udp", "tcp", "tls")
_LOWEST_MOS, _HIGHEST_MOS = 1.0, 4.5


def blank(project_id: int = 0, now: float = 0.0) -> Endpoint:
    """As the API takes one of which nothing is said but its name."""
    return Endpoint(
        id=0,
        project_id=project_id,
        name="",
        ip_address="",
        port=None,
        description="",
        category=Category.PING,
        interval=60,
        alert_threshold=None,
        alert_ids=(),
        uri="",
        credentials="",
        transport="udp",
        created_at=now,
        deleted_at=None,
    )


def settled(endpoint: Endpoint) -> Endpoint:
    """With the place and the port of its category. Raises Invalid for what makes no sense by itself."""
    if not endpoint.name.strip():
        raise wrong("name", "An endpoint has a name.")
    if not SHORTEST_INTERVAL <= endpoint.interval <= LONGEST_INTERVAL:
        raise wrong(
            "interval",
            f"interval is {SHORTEST_INTERVAL} to {LONGEST_INTERVAL:,} s, not {endpoint.interval}.",
        )
    if endpoint.transport not in TRANSPORTS:
        raise wrong("transport", f"{endpoint.transport!r} is not a transport.", permitted=TRANSPORTS)
    endpoint = _with_place(endpoint)
    if endpoint.port is not None and not 1 <= endpoint.port <= 65535:
        raise wrong("port", f"There is no port {endpoint.port}.", "Use a port from 1 to 65535.")
    if endpoint.port is None and (port := PORTS.get(endpoint.category)) is not None:
        port += endpoint.category is Category.SIP and endpoint.transport == "tls"
        endpoint = msgspec.structs.replace(endpoint, port=port)
    threshold = endpoint.alert_threshold
    if threshold is None:
        if endpoint.alert_ids:
            raise wrong("alert_ids", "Without an alert_threshold alert_ids must be empty.")
    elif not _LOWEST_MOS <= threshold <= _HIGHEST_MOS:
        raise wrong(
            "alert_threshold",
            f"alert_threshold is a MOS from {_LOWEST_MOS:g} to {_HIGHEST_MOS:g}, not {threshold:g}.",
        )
    if not endpoint.credentials:
        if endpoint.category is Category.REGISTER:
            raise wrong("credentials", "A registration needs the name of a SIP account.")
    elif endpoint.category not in SIGNALLING:
        raise wrong("credentials", f"The category {endpoint.category} uses no SIP account.")
    return endpoint


def _with_place(endpoint: Endpoint) -> Endpoint:
    """Where it is, from the URI or the name where its category has them there."""
    category, host, port = endpoint.category, endpoint.ip_address, endpoint.port
    if category not in SIGNALLING and endpoint.uri:
        raise wrong("uri", f"The category {category} has no URI.")
    if category in (Category.PING, Category.DNS) and port is not None:
        raise wrong("port", f"The category {category} has no port.")
    if category is Category.REGISTER and not endpoint.uri:
        raise wrong("uri", "A registration needs the URI of the registrar, such as sip:pbx.example.com.")
    if endpoint.uri:
        given = uri(endpoint.uri)
        host = host or given.host
        port = port or given.port
    if category is Category.DNS:
        host = host or endpoint.name
    if not host:
        raise wrong("ip_address", "ip_address is missing: the address or the host name of the endpoint.")
    if numeric(bare(host)) is None and (len(host) > 253 or _HOST.fullmatch(host) is None):
        raise wrong("ip_address", f"{host[:100]!r} is neither an address nor a host name.")
    return msgspec.structs.replace(endpoint, ip_address=host, port=port)


def uri(text: str) -> Uri:
    """Raises Invalid."""
    try:
        found = Uri.parse(text)
    except SipSyntaxError as error:
        raise wrong("uri", f"{text[:100]!r} is no SIP URI: {error}") from None
    if not found.is_sip or not found.host:
        raise wrong("uri", f"{text[:100]!r} is no SIP URI: it begins with sip: or sips: and has a host.")
    return found


def first(endpoint_id: int, server_id: int, now: float) -> VoipTest:
    """With the packets that the chapter has by default; nothing is measured yet."""
    return VoipTest(
        id=0,
        endpoint_id=endpoint_id,
        server_id=server_id,
        codec="g711",
        num_tests=25,
        interpacket_ms=100.0,
        created_at=now,
        deleted_at=None,
        mos=None,
        updated_at=None,
        slot=None,
        state="",
        reason="",
        verdict="",
        figures={},
    )


def checked_test(test: VoipTest) -> VoipTest:
    """Raises Invalid."""
    try:
        impairment(test.codec)
    except ValueError as error:
        raise wrong("codec", f"The E-model has no figures for this codec: {error}.") from None
    if not 1 <= test.num_tests <= _MOST_PACKETS:
        raise wrong("num_tests", f"num_tests is 1 to {_MOST_PACKETS:,} packets, not {test.num_tests}.")
    if not _SHORTEST_GAP <= test.interpacket_ms <= _LONGEST_GAP:
        raise wrong(
            "interpacket_ms",
            f"interpacket_ms is {_SHORTEST_GAP:g} to {_LONGEST_GAP:g} ms, not {test.interpacket_ms:g}.",
        )
    return test


def wrong(field: str, message: str, remedy: str = "", *, permitted: Sequence[str] = ()) -> Invalid:
    """To be raised."""
    entry = {"field": field, "message": message, "permitted": list(permitted)}
    return Invalid(message, remedy, field=field, errors=[entry])


def check_length(since: float, until: float, seconds: int) -> None:
    """Of a time in rows of so many seconds. Raises Invalid for too many."""
    if until <= since:
        raise wrong("to", "`to` is not after `from`.")
    if (until - since) / seconds > _MOST_ROWS:
        raise wrong(
            "resolution",
            f"This asks for more than {_MOST_ROWS:,} rows.",
            "Ask for a shorter time, or a coarser resolution.",
            permitted=("raw", *RESOLUTIONS),
        )
