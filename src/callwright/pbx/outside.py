"""The trunks of a PBX: where each is, whether it knows us, and which calls are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callwright.pbx.plan import Trunk
from callwright.pbx.record import PbxEvent, TrunkChanged
from callwright.phone.permission import NotPermitted, Permission
from callwright.sip import events
from callwright.sip.digest import Credentials
from callwright.sip.endpoint import Endpoint
from callwright.sip.registration import Registration
from callwright.sip.timers import Agenda
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["TrunkLines", "trunk_address"]

_AGAIN = 60.0  # seconds after a registration that failed for good


class TrunkLines:
    """`tell` gets what becomes of registrations. Hops come from whoever asks DNS (`locate`)."""

    def __init__(
        self,
        endpoint: Endpoint,
        agenda: Agenda,
        permission: Permission,
        tell: Callable[[PbxEvent], None],
    ) -> None:
        self._endpoint, self._agenda, self._permission, self._tell = endpoint, agenda, permission, tell
        self._trunks: dict[str, Trunk] = {}
        self._hops: dict[str, tuple[Hop, ...]] = {}
        self._registrations: dict[str, Registration] = {}

    def adopt(self, trunks: Sequence[Trunk], now: float) -> None:
        """From now on these. One that changed is told anew where we are, once it is located again."""
        new = {trunk.name: trunk for trunk in trunks}
        for name, trunk in self._trunks.items():
            if new.get(name) != trunk:
                self._hops.pop(name, None)
                registration = self._registrations.pop(name, None)
                if registration is not None:
                    registration.unregister(now=now)
        self._trunks = new

    def locate(self, name: str, hops: Sequence[Hop], now: float) -> None:
        """What a trunk's host resolved to, in the order to try them; registers where that is due."""
        trunk = self._trunks.get(name)
        if trunk is None:
            return
        self._hops[name] = tuple(hops)
        if trunk.register and hops and name not in self._registrations:
            self._register(trunk, now)

    def ways(self, trunk: Trunk, number: str) -> list[PermittedHop]:
        """Where a call to that number goes by a trunk, as far as the policy permits it. Raises NotPermitted
        when it permits none of them."""
        found: list[PermittedHop] = []
        refusal: NotPermitted | None = None
        for hop in self._hops.get(trunk.name, ()):
            try:
                found.append(self._permission.resolved(hop, Uri.parse(trunk.uri).host, number))
            except NotPermitted as error:
                refusal = error
        if refusal is not None and not found:
            raise refusal
        return found

    def caller(self, hop: Hop) -> Trunk | None:
        """The trunk that a call over this hop is of."""
        for name, trunk in self._trunks.items():
            if hop.remote.host in trunk.sources:
                return trunk
            for known in self._hops.get(name, ()):
                if known.remote == hop.remote and known.transport is hop.transport:
                    return trunk
        return None

    def on_event(self, event: events.Event) -> None:
        """What became of a registration."""
        registration = getattr(event, "registration", None)
        trunk = registration.user_data if isinstance(registration, Registration) else None
        if not isinstance(trunk, Trunk) or self._registrations.get(trunk.name) is not registration:
            return
        match event:
            case events.RegistrationSucceeded():
                self._tell(TrunkChanged(event.at, trunk.name, True, ""))
            case events.RegistrationFailed():
                self._tell(TrunkChanged(event.at, trunk.name, False, event.reason))
                if event.retry_at is None:
                    self._again(trunk, event.at)
            case events.RegistrationExpired():
                self._tell(TrunkChanged(event.at, trunk.name, False, "it ran out"))
                self._again(trunk, event.at)
            case _:
                pass

    def _register(self, trunk: Trunk, now: float) -> None:
        uri = Uri.parse(trunk.uri)
        try:
            hop = self._permission.resolved(self._hops[trunk.name][0], uri.host)
        except NotPermitted as error:
            self._tell(TrunkChanged(now, trunk.name, False, str(error)))
            return
        registration = self._endpoint.register(
            Uri("sip", None, None, uri.host, uri.port),
            local=trunk_address(trunk, trunk.username),
            hop=hop,
            now=now,
            credentials=Credentials(trunk.username, trunk.password),
        )
        registration.user_data = trunk
        self._registrations[trunk.name] = registration

    def _again(self, trunk: Trunk, now: float) -> None:
        def register(at: float) -> None:
            if self._trunks.get(trunk.name) == trunk and self._hops.get(trunk.name):
                self._register(trunk, at)

        self._agenda.at(now + _AGAIN, register)


def trunk_address(trunk: Trunk, user: str) -> NameAddr:
    """An address at a trunk."""
    uri = Uri.parse(trunk.uri)
    return NameAddr("", Uri("sip", user, None, uri.host, uri.port))
