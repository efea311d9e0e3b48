"""The PBX that a test without a target starts for itself: on a free port of loopback, until it is left."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from callwright.net.own_certificate import own_certificate
from callwright.net.tls import TlsSettings
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.news import NewsOfCalls
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.sip.transport import Address, Transport

HOST = "127.0.0.1"


@asynccontextmanager
async def embedded_pbx(
    passwords: Mapping[str, str], transport: str, news: NewsOfCalls | None = None
) -> AsyncIterator[tuple[Address, TlsSettings | None]]:
    """Serve the accounts of `passwords` (user to password) over `transport` (udp, tcp, tls, ws or wss).

    `news`: see Pbx. Gives its address and, over TLS, the settings of a client that trusts its certificate.
    Raises BindFailed.
    """
    accounts = [PbxAccount(user, password) for user, password in passwords.items()]
    listen = PbxListener(Transport(transport.upper()), HOST)
    with tempfile.TemporaryDirectory(prefix="callwright-") as folder:
        server, client = TlsSettings(), None
        if listen.transport.secure:
            server, client = own_certificate(Path(folder), HOST)
        async with Pbx(PbxConfig(HOST, accounts, (listen,), tls=server), news=news) as pbx:
            yield pbx.address, client
