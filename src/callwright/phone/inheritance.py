"""What a guardian does when the process that it guards is gone: calls are ended, as the policy permits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from callwright.net.address import Unreachable
from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.phone.guard import Estate
from callwright.phone.permission import NotPermitted
from callwright.phone.phone import Phone
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import MalformedMessage
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr, Uri
from callwright.sip.will import Will

_log = logging.getLogger(__name__)

PATIENCE = 34.0
"""Seconds in which all is over: 64*T1 (RFC 3261 section 17.1.1.1), and a little."""
_AT_ONCE = 200  # calls that are ended in one turn: more would be too much for the buffers on the way
_TURN = 0.02
_LOOK_EVERY = 0.02


async def end_estate(
    estate: Estate,
    wills: Sequence[Will],
    sockets: Iterable[int] = (),
    *,
    patience: float = PATIENCE,
) -> int:
    """Ends the calls of these wills and waits for what is answered; how many were not ended, for the policy
    or the network refused. `sockets`: descriptors of bound ones, which are taken over."""
    phone = Phone(estate.config(), permission=estate.permission(), on_warning=_log.warning)
    phone.on_invite = lambda received: _refuse(phone, received)
    for descriptor in sockets:
        phone.driver.adopt(descriptor)
    left = 0
    try:
        for number, will in enumerate(wills):
            if number % _AT_ONCE == _AT_ONCE - 1:
                phone.drain()
                await asyncio.sleep(_TURN)
            try:
                await _inherit(phone, will)
            except (NotPermitted, ResolutionFailed, BindFailed, Unreachable, TlsConfigurationError) as error:
                left += 1
                _log.warning("a call with %s is not ended: %s", will.hop[3], error)
            except (MalformedMessage, SipSyntaxError, ValueError, LookupError) as error:
                left += 1
                _log.warning("the will of a call with %s cannot be read: %s", will.hop[3], error)
        phone.drain()
        deadline = phone.clock.now() + patience
        while phone.clock.now() < deadline:
            pending = phone.endpoint.pending()
            if not (pending.calls or pending.requests or pending.unconfirmed):
                break
            await asyncio.sleep(_LOOK_EVERY)
    finally:
        await phone.close()
    return left


def _refuse(phone: Phone, received: object) -> None:
    call = getattr(received, "call", None)
    if call is not None:
        call.reject(480, now=phone.clock.now())


async def _inherit(phone: Phone, will: Will) -> None:
    flow = will.flow
    hop = Hop(flow.transport, _local(phone, flow), flow.remote, flow.name)
    permission = phone.permission
    if will.outbound:
        request = will.request()
        routes = request.headers.get_all("route")
        proxy = NameAddr.parse(routes[0]).uri if routes else None
        try:
            way = await permission.way(Uri.parse(request.uri), _Known(phone, hop), proxy)
            permitted = way.hops[0]
        except NotPermitted:  # by a name that led there then: the peer still gets its end where it is
            permitted = permission.led(hop, hop)
    else:
        permitted = permission.led(hop, hop)  # back where it came from
    phone.endpoint.inherit(will, permitted, now=phone.clock.now(), way=_way(phone, will, hop))


def _local(phone: Phone, flow: Hop) -> Address:
    """Our end as it was where its socket came along, or its port is free; else another port of ours."""
    if flow.transport is Transport.UDP and phone.driver.reopen(flow.local):
        return flow.local
    return phone.driver.hop_for(flow.remote.host, flow.remote.port, flow.transport, name=flow.name).local


def _way(phone: Phone, will: Will, along: Hop) -> PermittedHop | None:
    """Where the dialog's requests went, when a name in it had been looked up."""
    if will.dialog is None or will.dialog.way is None:
        return None
    transport, host, port, name = will.dialog.way
    hop = phone.driver.hop_for(host, port, Transport(transport), name=name)
    try:
        return phone.permission.led(hop, along, name)
    except NotPermitted:
        return None  # back the way its answer came


class _Known:
    """The directory of a request that has gone already: its hop is known, so nothing is looked up for it."""

    def __init__(self, phone: Phone, hop: Hop) -> None:
        self._phone, self._hop = phone, hop

    async def hops(self, uri: Uri) -> list[Hop]:
        return [self._hop]

    async def addresses(self, uri: Uri) -> list[Address]:
        try:
            return await self._phone.driver.addresses(uri.host, uri.port, None, uri.scheme.lower())
        except ResolutionFailed:
            return []
