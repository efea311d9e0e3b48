"""The port to whatever machines come from: a cloud, a cluster, the processes of this machine.

A provider keeps nothing that matters. It tags each machine with the name of its server before the machine can
do anything, so whoever asks it later, in another process too, finds what was made: a request whose answer was
lost leaves neither an orphan nor a double.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Machine", "Order", "OutOfStock", "Provider", "ProviderError", "Unusable", "checked_tag"]

_TAG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class ProviderError(Exception):
    """The provider did not do what it was asked for, or nobody knows whether it did; the text is a sentence
    without its full stop."""


class OutOfStock(ProviderError):
    """It has no machine of this size now. Another size may be there."""


class Unusable(ProviderError):
    """It cannot be asked at all: a setting is wrong or a library is missing. Asking again is useless."""


@dataclass(frozen=True, slots=True)
class Order:
    """A machine that is wanted. ``name``: of its server, the tag. ``url``, ``ca`` (PEM, "": the system's) and
    ``token``: where and with what its agent enrols; the token is good once. ``capacity``: calls at once.
    ``size``, ``region``, ``image``: in the provider's words, "": its default."""

    name: str
    pool: str
    url: str
    token: str = field(repr=False)
    capacity: int = 10
    size: str = ""
    region: str = ""
    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that exists. ``tag``: the name of its server; ``id``: the provider's own. ``address``: "" as
    long as it is unknown. ``ended``: why no agent can run on it any more, "": one may; what is left of it
    costs money or room until it is destroyed."""

    tag: str
    id: str
    address: str = ""
    ended: str = ""


class Provider(Protocol):
    """Everything may be asked again: it has the same effect as asked once."""

    async def create(self, order: Order) -> Machine:
        """Make a machine that installs the agent and enrols it. One that bears the tag already is returned as
        it is. Raises ProviderError, after which a machine may exist all the same."""
        ...

    async def destroy(self, machine: Machine) -> None:
        """End the machine and remove what is left of it. One that is not there is no error. Returns when the
        provider has accepted; `list` tells when it is gone. Raises ProviderError."""
        ...

    async def list(self) -> Sequence[Machine]:
        """All machines of this installation that exist, those on their way included. Raises ProviderError;
        never returns a part of them."""
        ...

    async def close(self, patience: float) -> None:
        """The platform ends. Machines that cannot be without it end too, within ``patience`` seconds."""
        ...


def checked_tag(name: str) -> str:
    """A name that every provider can use as tag, host name and folder. Raises Unusable."""
    if not _TAG.match(name):
        raise Unusable(f"{name!r} cannot be the tag of a machine: use 1 to 63 of a-z, 0-9 and '-'")
    return name
