"""The providers of this platform, opened when a pool first names them, with what they listed last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from callwright.autoscaler.provider import Machine, Provider, ProviderError, Unusable
from callwright.net.clock import Clock

__all__ = ["Place", "Places"]

_LIST_SECONDS = 60.0
_ROUND_SECONDS = 2.0  # that a round waits for lists
_CREATIONS = 10  # at once at one provider
Open = Callable[[], Provider]


class Place:
    """One provider. ``machines``: as it listed them last, None: it did not; ``trouble``: why not.
    ``at_round``: the same when the round began, for those who compare it with records."""

    def __init__(self, name: str, provider: Provider, clock: Clock, every: float) -> None:
        self.name, self.provider = name, provider
        self.machines: Sequence[Machine] | None = None
        self.at_round: Sequence[Machine] = ()
        self.trouble = ""
        self._asking: asyncio.Task[None] | None = None
        self.room = asyncio.Semaphore(_CREATIONS)
        self._clock, self._every = clock, every
        self._listed_at = float("-inf")

    def refresh(self) -> asyncio.Task[None] | None:
        """Ask again, if the last answer is old and nobody asks yet; what is being asked."""
        if self._asking is None or self._asking.done():
            self._asking = None
            if self._clock.now() - self._listed_at >= self._every:
                self._asking = asyncio.ensure_future(self._ask())
        return self._asking

    async def _ask(self) -> None:
        try:
            await self.fresh()
        except ProviderError as error:
            self.machines, self.trouble = None, str(error)
            self._listed_at = self._clock.now()

    async def close(self, patience: float) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self.provider.close(patience)

    async def fresh(self) -> Sequence[Machine]:
        """Ask now. Raises ProviderError."""
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                machines = await self.provider.list()
        except TimeoutError:
            raise ProviderError(f"{self.name} did not list its machines within {_LIST_SECONDS:g} s") from None
        self.machines, self.trouble, self._listed_at = machines, "", self._clock.now()
        return machines

    def stale(self) -> None:
        """Something was made or destroyed: the next look asks again."""
        self._listed_at = float("-inf")

    def machine(self, tag: str, id: str = "") -> Machine | None:  # noqa: A002 (as the provider calls it)
        """As it was listed; the one of this id rather than another with the tag."""
        return chosen(self.machines or (), tag, id)


def chosen(machines: Sequence[Machine], tag: str, id: str) -> Machine | None:  # noqa: A002
    found = [machine for machine in machines if machine.tag == tag]
    return next((machine for machine in found if machine.id == id), found[0] if found else None)


class Places:
    """``openers``: how a provider of each name is opened. ``every``: seconds for which its list is good, by
    name."""

    def __init__(
        self, openers: Mapping[str, Open], clock: Clock, every: Mapping[str, float] | None = None
    ) -> None:
        self._openers, self._clock, self._every = openers, clock, dict(every or {})
        self._open: dict[str, Place] = {}

    def get(self, name: str) -> Place:
        """Raises Unusable."""
        if name not in self._open:
            if name not in self._openers:
                known = ", ".join(sorted(self._openers)) or "none"
                raise Unusable(f"no provider {name!r} is set up; those that are: {known}")
            provider = self._openers[name]()
            self._open[name] = Place(name, provider, self._clock, self._every.get(name, 15.0))
        return self._open[name]

    async def refresh(self, names: Sequence[str]) -> None:
        """Those of these names, and those that are open already. One that is slow is not waited for: what it
        listed before holds until it answers."""
        for name in names:
            try:
                self.get(name)
            except Unusable:
                continue  # told by whoever needs it
        asking = [task for place in self._open.values() if (task := place.refresh()) is not None]
        if asking:
            done, _ = await asyncio.wait(asking, timeout=_ROUND_SECONDS)
            for task in done:
                task.result()  # a bug of a provider is told by the round
        for place in self._open.values():
            place.at_round = place.machines or ()

    @property
    def open(self) -> Sequence[Place]:
        return list(self._open.values())

    async def close(self, patience: float) -> None:
        """See `Provider.close`."""
        await asyncio.gather(*(place.close(patience) for place in self._open.values()))
