"""Which act a service is, and what all calls share in them: rooms, queues, parked calls, mailboxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from callwright.pbx.booth import Act, Booth
from callwright.pbx.mailbox import LeaveMessage, ListenMessages
from callwright.pbx.menu import ConferenceAct, EchoAct, Farewell, MenuAct, Quiet
from callwright.pbx.messages import Mailboxes
from callwright.pbx.plan import (
    ConferenceRoom,
    EchoTest,
    Menu,
    MessageCenter,
    ParkingSlot,
    PbxPlan,
    Pickup,
    Queue,
)
from callwright.pbx.routing import Refuse, Serve, TakeMessage
from callwright.pbx.waiting import ParkingAct, QueueAct
from callwright.sip.call import Call

__all__ = ["Reception", "ReceptionHost"]


class ReceptionHost(Protocol):
    """What services ask the PBX."""

    def free(self, users: Sequence[str]) -> tuple[str, ...]:
        """Who of them has a phone, wants calls and is in none."""
        ...

    def pick_up(self, number: str, call: Call, now: float) -> bool:
        """Give the call that rings at that number to `call`; False: none does."""
        ...

    def rings_at(self, number: str) -> bool:
        """A call rings there."""
        ...

    def mailbox_changed(self, user: str, now: float) -> None:
        """The messages of an account are others than before."""
        ...


class Reception:
    """Without `mailboxes` no messages are taken."""

    def __init__(self, host: ReceptionHost, mailboxes: Mailboxes | None) -> None:
        self.mailboxes = mailboxes
        self.lot: dict[str, Booth] = {}
        self._host = host
        self._present: dict[str, set[Booth]] = {}
        self._lines: dict[str, list[Booth]] = {}

    def act(self, found: Serve | TakeMessage, user: str | None, plan: PbxPlan, parker: str) -> Act | Refuse:
        """What happens to a party. `user`: the account it proved to be; `parker`: who put it there."""
        if isinstance(found, TakeMessage):
            if self.mailboxes is None:
                return Refuse(480, "Temporarily Unavailable (there is no place for messages)")
            account = plan.account(found.user)
            box, greeting = (account.messages, account.greeting) if account is not None else (found.user, ())
            return LeaveMessage(found.user, box, self.mailboxes, self._host.mailbox_changed, greeting)
        match service := found.service:
            case EchoTest():
                return EchoAct()
            case Menu():
                return MenuAct(service, _knows(plan))
            case ConferenceRoom():
                return ConferenceAct(service, self._present)
            case Queue():
                return QueueAct(service, self._lines.setdefault(service.number, []), self._host.free)
            case MessageCenter():
                if self.mailboxes is None or user is None:
                    return Refuse(403, "Forbidden (messages are for accounts)")
                account = plan.account(user)
                box = account.messages if account is not None else user
                return ListenMessages(user, box, self.mailboxes, self._host.mailbox_changed)
            case ParkingSlot():
                if not parker:
                    return Refuse(404, f"Not Found (nobody is parked at {service.number})")
                if service.number in self.lot:
                    return Refuse(486, f"Busy Here (somebody is parked at {service.number})")
                return ParkingAct(service, self.lot, parker, plan.music)
            case Pickup():
                number = found.dialled.removeprefix(service.number)
                if not self._host.rings_at(number):
                    return Refuse(404, f"Not Found (no call rings at {number[:32]})")
                return _PickUp(number, self._host.pick_up)
            case _:
                raise ValueError(f"{service} is not a service that answers")


class _PickUp(Quiet):
    """Give the party the call that rings elsewhere."""

    def __init__(self, number: str, pick_up: Callable[[str, Call, float], bool]) -> None:
        self._number, self._pick_up = number, pick_up

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        if self._pick_up(self._number, booth.call, now):
            booth.hand_over(f"picked up the call at {self._number}", now)
        else:
            booth.become(Farewell("say:goodbye"), now)


def _knows(plan: PbxPlan) -> Callable[[str], bool]:
    numbers = {number for account in plan.accounts for number in (account.user, account.extension)}
    return lambda number: number in numbers or plan.service(number) is not None
