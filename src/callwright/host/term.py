"""What one platform alone does at a time, from when it leads until it does no more: the keeper, the fleet."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from callwright.control.keeping.keeper import Keeper
from callwright.dispatch.broker import BrokerError, Unavailable
from callwright.host.fleet import Fleet

if TYPE_CHECKING:
    from callwright.control.keeping.agents import BrokerAccounts
    from callwright.control.notifications.delivery import Delivery
    from callwright.control.services import Services
    from callwright.dispatch.broker import Broker
    from callwright.host.providers import Agents
    from callwright.host.settings import ServeSettings

__all__ = ["Term"]


class Term:
    """`begin` and `end` as often as the lead comes and goes. ``own``: PBXs that runs may always call.
    ``accounts`` and ``restart``: of agents at the broker, see `Keeper`. ``url``: of the pages on this
    machine, ``answers``: whether they can be asked; ``agents``: those on this machine."""

    def __init__(
        self,
        settings: ServeSettings,
        services: Services,
        broker: Broker,
        delivery: Delivery,
        *,
        own: tuple[tuple[str, int], ...],
        accounts: BrokerAccounts | None,
        restart: Callable[[], Awaitable[None]] | None,
        url: str,
        agents: Agents,
        answers: Callable[[], Awaitable[bool]],
    ) -> None:
        self._settings, self._services, self._broker, self._delivery = settings, services, broker, delivery
        self._own, self._accounts, self._restart = own, accounts, restart
        self._of_fleet: dict[str, Any] = {"url": url, "agents": agents, "answers": answers}
        self._keeper: Keeper | None = None
        self._fleet: Fleet | None = None
        self._closing = False

    async def begin(self) -> None:
        """Raises BrokerError, StorageUnavailable."""
        if self._closing:
            raise Unavailable("this platform ends")
        keeper = self._new_keeper()
        try:
            await keeper.start()
            self._fleet = await self._new_fleet(keeper)
            await self._fleet.start()
        except BaseException:
            await self._end_keeper(keeper)
            raise
        self._keeper = keeper

    async def end(self) -> None:
        """Machines go on: whoever leads next looks after them."""
        if self._fleet is not None:
            await self._fleet.pause()
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            await self._end_keeper(keeper)

    async def close_fleet(self) -> None:
        """The platform ends, and the agents on this machine with it; the keeper still hears them."""
        self._closing = True
        if self._fleet is not None:
            fleet, self._fleet = self._fleet, None
            await fleet.close()

    @staticmethod
    async def _end_keeper(keeper: Keeper) -> None:
        with contextlib.suppress(BrokerError):  # its subscriptions went with the connection
            await keeper.close()

    def _new_keeper(self) -> Keeper:
        services = self._services
        return Keeper(
            services.runs,
            services.agents,
            services.evidence,
            self._broker,
            lease=self._settings.lease,
            own=self._own,
            accounts=self._accounts,
            restart=self._restart,
            certificates=services.certificates,
            servers=services.servers,
            measurements=services.monitors.measurements,
            evaluation=services.evaluation,
            delivery=self._delivery,
            cdrs=services.cdrs,
            clock=services.clock,
        )

    async def _new_fleet(self, keeper: Keeper) -> Fleet:
        settings, services = self._settings, self._services
        elsewhere = settings.nats_listen or settings.nats
        fleet = Fleet(
            services,
            self._broker,
            expel=keeper.expel,
            public_url=settings.public_url if elsewhere else None,
            providers=settings.providers,
            installation=await services.servers.installation(),
            **self._of_fleet,
        )
        keeper.on_new_agent.append(fleet.wake)
        return fleet
