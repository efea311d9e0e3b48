"""Who asks, and by which scheme, when a reverse proxy asks for them: believed of the proxies that are known.

Without it everybody behind a proxy has one address, and the wrong passwords of one would lock out all.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

__all__ = ["LOOPBACK", "PEER", "Forwarded", "networks_of"]

PEER = "callwright_peer"  # in a scope: (host, port) of the connection, where `client` was told by a proxy

#: A proxy on this machine.
LOOPBACK = ("127.0.0.0/8", "::1/128")

Networks = Sequence[Any]


def networks_of(texts: Sequence[str]) -> Networks:
    """Addresses and networks: 10.0.0.7, 10.1.0.0/16. Raises ValueError with the one that is none."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


class Forwarded:
    """An ASGI application around another. Where the peer of a connection is one of `proxies`, the last
    address of X-Forwarded-For that is not a proxy's becomes the client, and X-Forwarded-Proto the scheme. Of
    anybody else these headers say nothing."""

    def __init__(self, app: Any, proxies: Sequence[str]) -> None:
        self._app, self._proxies = app, networks_of(proxies)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            scope = self._as_forwarded(scope)
        await self._app(scope, receive, send)

    def _as_forwarded(self, scope: Any) -> Any:
        host, port = scope["client"]
        peer = _address(host)
        if peer is None or not self._known(peer):
            return scope
        client = self._client(_values(scope, b"x-forwarded-for"))
        scheme = (_values(scope, b"x-forwarded-proto") or [""])[-1].lower()
        changed = {**scope, PEER: (host, port)}
        if client is not None:
            changed["client"] = (str(client), port)
        if scheme in ("http", "https") and scope["type"] == "http":
            changed["scheme"] = scheme
        return changed

    def _client(self, told: Sequence[str]) -> IPv4Address | IPv6Address | None:
        """Read from its end: what stands before the word of a stranger is the stranger's own."""
        found = None
        for text in reversed(told):
            address = _address(text)
            if address is None:
                break
            found = address
            if not self._known(address):
                break
        return found

    def _known(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._proxies)


def _values(scope: Any, name: bytes) -> list[str]:
    told = b",".join(value for key, value in scope["headers"] if key == name).decode("latin-1")
    return [item.strip() for item in told.split(",") if item.strip()]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Of 192.0.2.1, 192.0.2.1:5000, 2001:db8::1, [2001:db8::1] and [2001:db8::1]:5000."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
