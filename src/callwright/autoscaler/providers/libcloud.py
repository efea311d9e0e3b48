"""Machines of a cloud, by Apache Libcloud: EC2, DigitalOcean, OpenStack, GCE and the rest of its drivers.

A machine's name in the cloud is `<installation>-<tag>`, given with the request that makes it, so that several
platforms may share an account. Libcloud waits for the network in threads.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callwright.autoscaler.installation import PACKAGE, user_data
from callwright.autoscaler.provider import Machine, Order, OutOfStock, ProviderError, Unusable, checked_tag

__all__ = ["CloudSettings", "Clouds"]

T = TypeVar("T")

_NO_STOCK = re.compile(
    r"Insufficient\w*Capacity|out of (stock|capacity)|no valid host|RESOURCE_POOL_EXHAUSTED"
    r"|size is not available|resource_unavailable",
    re.IGNORECASE,
)
#: By which argument of `create_node` user data go, of the drivers that have one; `ex_metadata` is of GCE.
_USER_DATA = ("ex_userdata", "ex_user_data")


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """A table `[providers.NAME]` of the settings file. ``driver``: as Libcloud calls it (`ec2`,
    `digitalocean`, `openstack`, `gce`, …). ``arguments``: of its constructor, credentials among them;
    ``create``: further ones of `create_node`. ``image`` and ``size``: where a pool names none.
    ``locations``: a pool's region is a location of this driver; otherwise one driver serves one region.
    ``package``: what pip installs on the machine. ``namespace``: of the XML of EC2's answers, where a server
    that imitates it differs."""

    driver: str
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    create: Mapping[str, Any] = field(default_factory=dict)
    image: str = ""
    size: str = ""
    locations: bool = False
    package: str = PACKAGE
    namespace: str = ""


class Clouds:
    """``installation``: tells the machines of this platform from those of others."""

    def __init__(self, settings: CloudSettings, installation: str) -> None:
        self._settings, self._prefix = settings, f"{installation}-"
        self._driver = _opened(settings)
        self._turn = threading.Lock()  # a driver has one connection

    # -- the three verbs

    async def create(self, order: Order) -> Machine:
        name = checked_tag(order.name)
        for machine in await self.list():
            if machine.tag == name and not machine.ended:
                return machine
        wanted = self._wanted(order)
        return self._machine(await self._ask(lambda: self._driver.create_node(**wanted)))

    async def destroy(self, machine: Machine) -> None:
        name = f"{self._prefix}{checked_tag(machine.tag)}"

        def destroy() -> None:
            for node in self._nodes():
                if node.name == name and machine.id in ("", node.id):
                    self._driver.destroy_node(node)

        await self._ask(destroy)

    async def list(self) -> Sequence[Machine]:
        return [self._machine(node) for node in await self._ask(self._nodes)]

    async def close(self, patience: float) -> None:
        """Machines of a cloud outlive the platform."""

    # -- one cloud

    def _nodes(self) -> Sequence[Any]:
        """Those that exist; some clouds list for an hour what they have destroyed."""
        from libcloud.compute.types import NodeState

        return [
            node
            for node in self._driver.list_nodes()
            if node.name.startswith(self._prefix) and node.state != NodeState.TERMINATED
        ]

    def _machine(self, node: Any) -> Machine:
        from libcloud.compute.types import NodeState

        ended = {
            NodeState.STOPPED: "its machine was stopped",
            NodeState.ERROR: "its machine is in error, says the cloud",
        }.get(node.state, "")
        address = next(iter([*node.public_ips, *node.private_ips]), "")
        return Machine(node.name.removeprefix(self._prefix), str(node.id), str(address or ""), ended)

    def _wanted(self, order: Order) -> dict[str, Any]:
        """The arguments of `create_node`. Raises Unusable."""
        from libcloud.compute.base import NodeImage, NodeLocation, NodeSize

        size, image = order.size or self._settings.size, order.image or self._settings.image
        if not size or not image:
            missing = "size" if not size else "image"
            raise Unusable(f"the pool {order.pool} and its provider name no {missing}")
        wanted: dict[str, Any] = {
            "name": f"{self._prefix}{order.name}",
            "size": NodeSize(size, size, 0, 0, 0, 0.0, self._driver),
            "image": NodeImage(image, image, self._driver),
        }
        if self._settings.locations and order.region:
            wanted["location"] = NodeLocation(order.region, order.region, "", self._driver)
        data = user_data(order, package=self._settings.package)
        known = inspect.signature(self._driver.create_node).parameters
        by = next((name for name in _USER_DATA if name in known), None)
        if by is not None:
            wanted[by] = data
        elif "ex_metadata" in known:
            wanted["ex_metadata"] = {"user-data": data}
        else:
            raise Unusable(f"the driver {self._settings.driver} gives no user data to its machines")
        return {**self._settings.create, **wanted}

    async def _ask(self, question: Callable[[], T]) -> T:
        """Raises ProviderError."""
        from libcloud.common.types import InvalidCredsError

        def asked() -> T:
            with self._turn:
                return question()

        try:
            return await asyncio.to_thread(asked)
        except InvalidCredsError:
            raise Unusable(f"the cloud refuses the credentials of {self._settings.driver}") from None
        except Unusable:
            raise
        except Exception as error:  # each driver, and the HTTP library below, has its own
            said = " ".join(str(error).split())[:500] or type(error).__name__
            if _NO_STOCK.search(said):
                raise OutOfStock(said) from None
            raise ProviderError(said) from None


def _opened(settings: CloudSettings) -> Any:
    """Libcloud's driver. Raises Unusable."""
    try:
        from libcloud.compute.providers import get_driver
    except ImportError:
        raise Unusable("Apache Libcloud is missing: pip install 'callwright[cloud]'") from None
    try:
        kind = get_driver(settings.driver)
    except (AttributeError, ValueError):
        raise Unusable(f"Apache Libcloud knows no driver {settings.driver!r}") from None
    if settings.namespace:
        _speak(settings.namespace)
    try:
        return kind(**settings.arguments)
    except Exception as error:
        raise Unusable(f"the driver {settings.driver} cannot be opened: {error}") from None


def _speak(namespace: str) -> None:
    from libcloud.compute.drivers import ec2

    ec2.NAMESPACE = namespace
