"""A provider in memory, whose faults a test sets; and a stand-in for the agent's process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from callwright.autoscaler.provider import Machine, Order, OutOfStock, ProviderError, checked_tag

_SLEEPING = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
print("begun", flush=True)
time.sleep(600)
"""
#: Runs as an agent would: says so, and ends on SIGTERM.
SLEEPER = (sys.executable, "-S", "-c", _SLEEPING)


class Fault(Enum):
    FAILS = auto()  # refuses to create
    HANGS = auto()  # never answers a creation, and makes nothing
    LATE = auto()  # never answers a creation, and makes the machine after `late` seconds
    LIES = auto()  # makes the machine and answers with an error
    REFUSES = auto()  # refuses to destroy
    SILENT = auto()  # accepts a destruction and does nothing
    UNREACHABLE = auto()  # answers nothing at all
    SLOW = auto()  # never answers what machines there are


@dataclass
class Cloud:
    """What exists beyond any platform: (owner, machine). `faults` hold until a test takes them back."""

    machines: list[tuple[str, Machine]] = field(default_factory=list)
    faults: set[Fault] = field(default_factory=set)
    out_of_stock: set[str] = field(default_factory=set)
    late: float = 60.0
    seconds: float = 0.0  # that a creation takes
    created: list[str] = field(default_factory=list)  # names, in order
    sizes: dict[str, str] = field(default_factory=dict)  # of what was made, by name
    tokens: dict[str, str] = field(default_factory=dict)
    most: int = 0  # machines at once
    _number: int = 0
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    def make(self, owner: str, order: Order) -> Machine:
        self._number += 1
        made = Machine(order.name, f"i-{self._number}", f"10.0.0.{self._number % 250}")
        self.machines.append((owner, made))
        self.created.append(order.name)
        self.sizes[order.name], self.tokens[order.name] = order.size, order.token
        self.most = max(self.most, len(self.machines))
        return made

    def forget(self, tag: str) -> None:
        """The machine is gone, whoever did it."""
        self.machines = [pair for pair in self.machines if pair[1].tag != tag]

    def tags(self) -> list[str]:
        return [machine.tag for _, machine in self.machines]

    def make_later(self, owner: str, order: Order) -> None:
        async def later() -> None:
            await asyncio.sleep(self.late)
            self.make(owner, order)

        self._later.add(asyncio.ensure_future(later()))


class MemoryProvider:
    def __init__(self, cloud: Cloud, owner: str = "ours") -> None:
        self.cloud, self.owner = cloud, owner

    async def create(self, order: Order) -> Machine:
        cloud = self.cloud
        checked_tag(order.name)
        self._reach()
        if Fault.FAILS in cloud.faults:
            raise ProviderError("quota exceeded")
        if Fault.HANGS in cloud.faults:
            await asyncio.Event().wait()
        if Fault.LATE in cloud.faults:
            cloud.make_later(self.owner, order)
            await asyncio.Event().wait()
        if order.size in cloud.out_of_stock:
            raise OutOfStock(f"no {order.size} is left")
        await asyncio.sleep(cloud.seconds)
        for owner, machine in cloud.machines:
            if owner == self.owner and machine.tag == order.name:
                return machine
        made = cloud.make(self.owner, order)
        if Fault.LIES in cloud.faults:
            raise ProviderError("internal error 500")
        return made

    async def destroy(self, machine: Machine) -> None:
        self._reach()
        if Fault.REFUSES in self.cloud.faults:
            raise ProviderError("termination protection is on")
        if Fault.SILENT not in self.cloud.faults:
            self.cloud.machines = [
                (owner, one)
                for owner, one in self.cloud.machines
                if owner != self.owner or one.tag != machine.tag or (machine.id and one.id != machine.id)
            ]

    async def list(self) -> Sequence[Machine]:
        self._reach()
        if Fault.SLOW in self.cloud.faults:
            await asyncio.Event().wait()
        return [machine for owner, machine in self.cloud.machines if owner == self.owner]

    async def close(self, patience: float) -> None:
        pass

    def _reach(self) -> None:
        if Fault.UNREACHABLE in self.cloud.faults:
            raise ProviderError("connection refused")
