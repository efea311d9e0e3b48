"""A test as a value: what a document says, typed, with every default filled in."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callwright.scenario.actions import (
    Accept,
    Action,
    Call,
    Message,
    Options,
    Publish,
    Raw,
    Register,
    Subscribe,
    Transfer,
    Wait,
)
from callwright.scenario.check import Check
from callwright.scenario.condition import Condition
from callwright.scenario.parameter import (
    TRANSPORTS,
    Choice,
    Duration,
    Host,
    ParameterView,
    Secret,
    parameter,
    parameters_of,
    view,
)
from callwright.scenario.party import Party, PartyAccount, escape_user, numbered_after
from callwright.scenario.placing import HEAD_BLOCKS, Agentpool, Placement, wish_of
from callwright.sip.leading import hosts_of, hosts_of_headers

FIRST_PBX_USER = "1001"


@dataclass(frozen=True)
class Step:
    name: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``given`` holds the addresses that were written or overridden, with their text when it names a
    variable."""

    name: str
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    version: int = 1
    target: str = parameter(
        Host(255),
        "The SIP server under test; parties without a domain have their accounts there.",
        default="",
        default_text="the built-in PBX",
    )
    transport: str = parameter(
        Choice(TRANSPORTS, "transport"), "Transport of all parties that name none.", default="udp"
    )
    max_duration: float | None = parameter(
        Duration(1, 604_800),
        "The run is ended when it takes longer.",
        default=None,
        default_text="worked out from the steps, at least 600 s",
    )
    retry: str = parameter(
        Choice(("unplaced", "never"), "retry"),
        "On the platform, when the agent is lost before it has called anybody: `unplaced` tries the run "
        "again, `never` ends it as `error`.",
        default="unplaced",
    )
    agentpool: Agentpool = dataclasses.field(default_factory=Agentpool)
    placement: Placement = dataclasses.field(default_factory=Placement)
    parties: Mapping[str, Party] = dataclasses.field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    conditions: tuple[Condition, ...] = ()
    checks: tuple[Check, ...] = ()
    given: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        *steps: Sequence[Action],
        parties: Sequence[Party] = (),
        conditions: Sequence[str] = (),
        title: str = "",
        target: str = "",
        transport: str = "",
    ) -> Scenario:
        """A test from Python: steps of actions, and conditions as a document has them ("callee.mos >= 4").

        Parties are made as actions name them; ``parties`` are those that need an account. Raises
        DocumentError with every problem.
        """
        from callwright.scenario.building import built  # which reads documents, and they make Scenarios

        return built(
            name,
            steps,
            parties=parties,
            conditions=conditions,
            title=title,
            target=target,
            transport=transport,
        )

    @property
    def asks_for_servers(self) -> bool:
        """Whether it says where a platform is to carry it out."""
        return bool(self.agentpool.name) or wish_of("", self.placement).chooses

    def actions(self) -> Iterator[Action]:
        for step in self.steps:
            yield from step.actions

    def at_the_end(self) -> list[Condition]:
        """The conditions of the document, then those of its checks."""
        return [*self.conditions, *(c for check in self.checks for c in check.conditions)]

    def action(self, address: str) -> Action:
        """Raises KeyError when there is none."""
        for action in self.actions():
            if action.address == address:
                return action
        raise KeyError(address)

    @property
    def deadline(self) -> float:
        """Seconds after which the run is ended: ``max_duration``, or twice what its steps may take."""
        if self.max_duration is not None:
            return self.max_duration
        return max(600.0, 2 * sum(max(map(_may_take, step.actions), default=0.0) for step in self.steps))

    def parameters(self) -> list[ParameterView]:
        """Every address that can be overridden: the document's own, then where it is carried out, then the
        parties', then the actions'."""
        views = [
            view(spec, spec.name, None, getattr(self, spec.name), given=spec.name in self.given)
            for spec in parameters_of(Scenario)
        ]
        holders: list[tuple[str, str | None, Any]] = [
            (name, None, getattr(self, name)) for name in HEAD_BLOCKS
        ]
        holders += [(f"party.{name}", None, party) for name, party in self.parties.items()]
        holders += [(action.address, action.kind, action) for action in self.actions()]
        for address, kind, holder in holders:
            for spec in parameters_of(type(holder)):
                full = f"{address}.{spec.name}"
                value = getattr(holder, spec.name)
                views.append(view(spec, full, kind, value, given=full in self.given))
        return views

    def shown_parameters(self) -> dict[str, str]:
        """What was given, by address, as text: secrets hidden, variables by their names."""
        shown: dict[str, str] = {}
        for spot in self.parameters():
            if spot.given:
                written = self.given.get(spot.address)
                value = ", ".join(map(str, spot.value)) if isinstance(spot.value, list) else str(spot.value)
                shown[spot.address] = value if written is None or spot.type == "secret" else written
        return shown

    def secrets(self) -> frozenset[str]:
        """Every secret value in it, for whoever removes them from what is kept."""
        holders: list[Action | Party] = [*self.parties.values(), *self.actions()]
        values = (
            getattr(holder, spec.name)
            for holder in holders
            for spec in parameters_of(type(holder))
            if isinstance(spec.type, Secret)
        )
        return frozenset(value for value in values if value)

    # Without a target the runner starts the PBX, gives it ``pbx_accounts()``, and calls ``on_pbx``.

    @property
    def needs_pbx(self) -> bool:
        """Whether something in it goes to the target, and there is none."""
        return not self.target and any(self._goes_to_target(action) for action in self.actions())

    def _goes_to_target(self, action: Action) -> bool:
        party = self.parties[action.party]
        if isinstance(action, Register):
            return not (action.registrar or party.domain)
        if isinstance(action, Options) and not action.destination:
            return not party.domain
        if isinstance(action, Call) and self.is_direct(action):
            return False
        if isinstance(action, Call | Message | Options | Publish | Raw | Subscribe | Transfer):
            named = self.parties.get(_destination(action))
            if named is not None:
                return not named.domain
            return not party.domain and not _has_host(_destination(action))
        return False

    def is_direct(self, call: Call) -> bool:
        """Whether it is a load to a party that answers a load here and is registered nowhere: it needs no
        server, and goes from one engine to the other."""
        named = self.parties.get(call.dial_destination)
        if not call.is_load or named is None or named.domain or self.target:
            return False
        of_it = [action for action in self.actions() if action.party == named.name]
        answered = any(isinstance(action, Accept) and action.is_load for action in of_it)
        return answered and not any(isinstance(action, Register) for action in of_it)

    def pbx_accounts(self) -> dict[str, str]:
        """Users that the built-in PBX must know, with the password where the document gives one, else ""."""
        accounts: dict[str, str] = {}
        for party in self._on_built_in_users().values():
            if not party.domain:
                accounts[party.user] = party.password
        for action in self.actions():
            if isinstance(action, Register) and not action.registrar:
                first = action.user or self._on_built_in_users()[action.party].user
                for user in numbered_after(first, action.users):
                    accounts.setdefault(user, accounts.get(first, ""))
        return accounts

    def _on_built_in_users(self) -> dict[str, Party]:
        taken = {party.user for party in self.parties.values()}
        free = (
            user for user in numbered_after(FIRST_PBX_USER, 2 * len(self.parties) + 1) if user not in taken
        )
        return {
            name: party if party.user or party.domain else dataclasses.replace(party, user=next(free))
            for name, party in self.parties.items()
        }

    def on_pbx(self, host: str, passwords: Mapping[str, str]) -> Scenario:
        """The same test aimed at the built-in PBX at ``host`` (``127.0.0.1:5070``)."""
        parties = {
            name: party
            if party.domain
            else dataclasses.replace(party, password=party.password or passwords.get(party.user, ""))
            for name, party in self._on_built_in_users().items()
        }
        return dataclasses.replace(self, target=host, parties=parties)

    def with_sounds(self, folder: str) -> Scenario:
        """The same test with its sound files in ``folder``, and none beside it: whoever writes the test may
        be a stranger to the machine. Raises ValueError with a sentence."""

        def placed(action: Action) -> Action:
            play = getattr(action, "play", "")
            if not play.lower().endswith(".wav"):
                return action
            path = posixpath.normpath(play)
            if posixpath.isabs(path) or path.split("/")[0] == "..":
                raise ValueError(f"{action.address}: {play} is outside of the agent's folder of sounds.")
            return dataclasses.replace(action, play=posixpath.join(folder, path))  # type: ignore[call-arg]

        steps = tuple(
            dataclasses.replace(step, actions=tuple(map(placed, step.actions))) for step in self.steps
        )
        return dataclasses.replace(self, steps=steps)

    def account(self, name: str) -> PartyAccount:
        """The account of a party. Without a user it is called as the party is."""
        party = self.parties[name]
        user = party.user or name
        return PartyAccount(
            name,
            user,
            party.password,
            party.auth_user or user,
            party.display_name,
            party.domain or self.target,
            party.proxy,
            party.transport or self.transport,
            party.ws_path,
        )

    def uri(self, destination: str, caller: PartyAccount) -> str:
        """A SIP URI for what was dialled by the caller: party, URI, ``user@host``, else a user at their
        domain."""
        if destination in self.parties:
            return self.account(destination).address_of_record
        if re.match(r"sips?:", destination, re.IGNORECASE):
            return destination
        destination = re.sub(r"^tel:", "", destination, flags=re.IGNORECASE)
        if "@" in destination:
            return f"sip:{destination}"
        return f"sip:{escape_user(destination)}@{caller.domain}"

    def host_uri(self, destination: str, caller: PartyAccount) -> str:
        """As ``uri``, but a bare word with a dot or a port is a host: what OPTIONS is sent to."""
        if not destination:
            return f"sip:{caller.domain}"
        if destination not in self.parties and re.fullmatch(
            r"(\[[^\]]+\]|[\w-]*[A-Za-z0-9][\w.-]*)(:\d+)?", destination
        ):
            looks_like_host = "." in destination or ":" in destination or destination == "localhost"
            if looks_like_host:
                return f"sip:{destination}"
        return self.uri(destination, caller)

    def is_load(self, address: str) -> bool:
        """Whether what is sent for this action is a load: for the policy."""
        return self.action(address).is_load

    def users(self) -> dict[str, str]:
        """Party to user, for conditions such as ``caller_id = alice``."""
        return {name: self.account(name).user for name in self.parties}

    def destinations(self) -> list[tuple[str, str]]:
        """(address, SIP URI) of everything it would send to, for the policy; call it after ``on_pbx``."""
        found: list[tuple[str, str]] = []
        for action in self.actions():
            account = self.account(action.party)
            if isinstance(action, Register):
                found.append((action.address, f"sip:{action.registrar or account.domain}"))
                found += [(action.address, contact) for contact in action.contacts]
            elif isinstance(action, Call) and self.is_direct(action):
                continue
            elif isinstance(action, Call | Message | Publish | Raw | Subscribe | Transfer):
                found.append((action.address, self.uri(_destination(action), account)))
            elif isinstance(action, Options):
                found.append((action.address, self.host_uri(action.destination, account)))
            found += [(action.address, f"sip:{host}") for host in _led_to(action)]
            if account.proxy:
                found.append((action.address, f"sip:{account.proxy}"))
        return list(dict.fromkeys(found))


def _may_take(action: Action) -> float:
    if isinstance(action, Call):
        each = action.ring_timeout + action.max_duration
        paced = action.placing_seconds + each
        queued = action.max_total_calls * each / action.concurrent if action.concurrent else 0.0
        return max(paced, queued)
    if isinstance(action, Transfer):
        return action.after + 2 * action.timeout + 120.0
    if isinstance(action, Subscribe | Publish):
        return action.lasting + 80.0
    if isinstance(action, Wait):
        return action.seconds
    if isinstance(action, Accept):
        return action.timeout
    return action.count * action.interval + 80.0 if isinstance(action, Options) else 80.0


def _destination(action: Call | Message | Options | Publish | Raw | Subscribe | Transfer) -> str:
    if isinstance(action, Publish):
        return action.destination or action.party
    return action.dial_destination if isinstance(action, Call) else action.destination


_WORDS = re.compile(r"(?:sips?:)?(?:[^\s@<>:]*@)?\[(?:target|local)\]")
"""What becomes an address of the target, or of ours."""


def _led_to(action: Action) -> tuple[str, ...]:
    """Hosts that headers and bodies of the document lead their reader to."""
    try:
        if isinstance(action, Raw):
            return hosts_of(_WORDS.sub("", action.text.decode("utf-8", "replace")))
        return hosts_of_headers(getattr(action, "headers", ()), getattr(action, "body", b"") or b"")
    except ValueError:
        return ()  # the phone refuses it


def _has_host(destination: str) -> bool:
    return "@" in destination or bool(re.match(r"sips?:", destination)) or "." in destination
