"""Who keeps the wills of a phone's calls, so that they end though this process is killed.

`net/guardian_line` is the way to the guardian, a process of its own; `phone/inheritance` what it does there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from callwright.net.tls import TlsSettings
from callwright.phone.permission import Permission
from callwright.phone.plan import PhoneConfig
from callwright.policy.destination import Purpose, Rules
from callwright.sip.transport import Address, Transport
from callwright.sip.websocket import DEFAULT_PATH
from callwright.sip.will import Will


def told_tls(tls: TlsSettings) -> dict[str, Any]:
    return {
        "ca": str(tls.ca) if tls.ca else None,
        "cert": str(tls.cert) if tls.cert else None,
        "key": str(tls.key) if tls.key else None,
        "sni": tls.sni,
        "insecure": tls.insecure,
    }


@dataclass(frozen=True, slots=True)
class Estate:
    """Of one phone: by which rules, and as whom, its calls are ended."""

    purpose: Purpose
    rules: Rules
    user_agent: str = "Callwright"
    bind: str | None = None
    advertise: str | None = None
    tls: Mapping[str, Any] = field(default_factory=dict)
    ws_path: str = DEFAULT_PATH

    @classmethod
    def of(cls, config: PhoneConfig, permission: Permission) -> Estate:
        return cls(
            permission.purpose,
            permission.rules,
            config.user_agent,
            config.bind,
            config.advertise,
            told_tls(config.tls),
            config.ws_path,
        )

    def config(self) -> PhoneConfig:
        return PhoneConfig(
            bind=self.bind,
            advertise=self.advertise,
            user_agent=self.user_agent,
            tls=msgspec.convert(dict(self.tls), TlsSettings, strict=False),
            ws_path=self.ws_path,
        )

    def permission(self) -> Permission:
        return Permission(self.purpose, self.rules)


class Kept(Protocol):
    """An estate that is being kept. What is said here is kept before what is sent next leaves."""

    def lend(self, local: Address, descriptor: int) -> None:
        """Of the UDP socket of our end: who inherits hears what comes to it."""
        ...

    def keep(self, key: str, will: Will | None) -> None:
        """The will of a call as it is now; None: the call is over."""
        ...

    def close(self) -> None: ...


class KeptLoad(Protocol):
    """What ends the calls of a load, in memory that is shared."""

    def close(self) -> None: ...

    def orphan(self) -> None:
        """Who placed them is gone: they are ended now."""
        ...


class Guard(Protocol):
    def open(self, estate: Estate) -> Kept: ...

    def watch(
        self,
        estate: Estate,
        local: tuple[str | int, ...],
        remote: tuple[str | int, ...] | None,
        accounts: Sequence[tuple[str, str]],
        descriptors: Sequence[int],
    ) -> KeptLoad:
        """A load from `local` (host, port, and a transport other than UDP) to `remote` (host, port, and the
        name that its certificate bears): `descriptors` of `generator.loop.Loop`, `accounts`: users and
        passwords."""
        ...


class Testator:
    """Tells a guard the wills of one endpoint; to be asked before what the endpoint sends leaves.

    `estate`: by which rules its calls are ended; `wills` of the endpoint; `descriptor_of` of the driver.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        estate: Callable[[], Estate],
        wills: Callable[[], Sequence[tuple[str, Will | None]]],
        descriptor_of: Callable[[Address], int],
    ) -> None:
        self._guard, self._estate, self._wills, self._descriptor_of = guard, estate, wills, descriptor_of
        self._kept: Kept | None = None
        self._lent: set[int] = set()

    def tell(self) -> None:
        for key, will in self._wills():
            if self._kept is None:
                if will is None:
                    continue
                self._kept = self._guard.open(self._estate())
            if will is not None and will.flow.transport is Transport.UDP:
                descriptor = self._descriptor_of(will.flow.local)
                if descriptor not in self._lent:
                    self._lent.add(descriptor)
                    self._kept.lend(will.flow.local, descriptor)
            self._kept.keep(key, will)

    def close(self) -> None:
        """Every call is over, or given up."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
