"""Addresses of the names that a test dials, for the caps of networks. Nothing is permitted by them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from callwright.net.resolver import NameService, ResolutionFailed, resolve
from callwright.phone.addressing import transport_of
from callwright.scenario.admission import Unresolved

PATIENCE = 3.0
"""Seconds for all names of one request; a name that is not found by then reserves nothing."""
_AT_ONCE = 8


class Names:
    """Of one request that starts runs: each name is asked for once, all together within PATIENCE."""

    def __init__(self, service: NameService, patience: float = PATIENCE) -> None:
        self._service, self._left = service, patience
        self._places = asyncio.Semaphore(_AT_ONCE)
        self.found: dict[str, tuple[str, ...]] = {}

    async def look_up(self, unresolved: Iterable[Unresolved]) -> dict[str, tuple[str, ...]]:
        """Host to its addresses, as the platform's DNS has them (RFC 3263); empty for one that has none."""
        asked = {one.host: one for one in unresolved if one.host not in self.found}
        self.found |= dict.fromkeys(asked, ())
        loop = asyncio.get_running_loop()
        began = loop.time()
        tasks = [asyncio.ensure_future(self._ask(one)) for one in asked.values()]
        if tasks and self._left > 0:
            await asyncio.wait(tasks, timeout=self._left)
        for task in tasks:
            task.cancel()
        self._left -= loop.time() - began
        return self.found

    async def _ask(self, one: Unresolved) -> None:
        uri = one.uri
        try:
            async with self._places:
                hops = await resolve(one.host, uri.port, transport_of(uri), uri.scheme, names=self._service)
        except ResolutionFailed:
            return
        self.found[one.host] = tuple(dict.fromkeys(hop.address.host for hop in hops))
