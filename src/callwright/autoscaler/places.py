"""The providers of this platform, opened when a pool first names them, with what they listed last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from callwright.autoscaler.provider import Machine, Provider, ProviderError, Unusable
from callwright.net.clock import Clock

__all__ = ["Place", "Places"]

_LIST_SECONDS = 60.0
_CREATIONS = 10  # at once at one provider
Open = Callable[[], Provider]


class Place:
    """One provider. ``machines``: as it listed them last, None: it did not; ``trouble``: why not."""

    def __init__(self, name: str, provider: Provider, clock: Clock, every: float) -> None:
        self.name, self.provider = name, provider
        self.machines: Sequence[Machine] | None = None
        self.trouble = ""
        self.room = asyncio.Semaphore(_CREATIONS)
        self._clock, self._every = clock, every
        self._listed_at = float("-inf")

    async def refresh(self) -> None:
        """Ask again, if the last answer is old."""
        if self._clock.now() - self._listed_at < self._every:
            return
        try:
            await self.fresh()
        except ProviderError as error:
            self.machines, self.trouble = None, str(error)
            self._listed_at = self._clock.now()

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
        """Those of these names, and those that are open already."""
        for name in names:
            try:
                self.get(name)
            except Unusable:
                continue  # told by whoever needs it
        await asyncio.gather(*(place.refresh() for place in self._open.values()))

    @property
    def open(self) -> Sequence[Place]:
        return list(self._open.values())

    async def close(self, patience: float) -> None:
        """See `Provider.close`."""
        await asyncio.gather(*(place.provider.close(patience) for place in self._open.values()))
