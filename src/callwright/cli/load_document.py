"""`callwright load --scenario FILE.yaml` with a test document: its one call, or accept, drives the load."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.host.operator import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callwright.load.plan import Plan
    from callwright.load.preparation import Wishes
    from callwright.load.verdict import Threshold
    from callwright.scenario.actions import Accept, Action, Call
    from callwright.scenario.scenario import Scenario

_SPOKEN = ("hold", "ring_for", "ring_time", "reject", "prack", "session", "media", "codec", "play",
           "min_heard", "from_", "headers")  # fmt: skip
"""What the document says, unless a flag says something else than its default."""


@dataclass(frozen=True, slots=True)
class LoadDocument:
    path: Path
    scenario: Scenario
    action: Call | Accept

    @property
    def plan(self) -> Plan:
        """As its call has it; that of an accept is never asked for."""
        from callwright.load.action import plan_of
        from callwright.scenario.actions import Call

        assert isinstance(self.action, Call)
        return plan_of(self.action)

    def wishes(self, flags: Wishes) -> Wishes:
        """What the document says of each call, under what the flags say. Raises Refused."""
        from callwright.load.action import wishes_of_accept, wishes_of_call
        from callwright.load.preparation import Wishes
        from callwright.scenario.actions import Call

        account = self.scenario.account(self.action.party)
        if isinstance(self.action, Call):
            told = wishes_of_call(
                self.action,
                account,
                flags.uri or self._destination(),
                rules=flags.rules,
                bind=flags.bind,
                rtp_ports=flags.rtp_ports,
                accounts=flags.accounts,
            )
        else:
            host = flags.listen.host if flags.listen else "127.0.0.1"
            told = wishes_of_accept(self.action, account, host, rules=flags.rules, rtp_ports=flags.rtp_ports)
            told = replace(told, listen=flags.listen)
        usual = {field.name: field.default for field in fields(Wishes)}
        spoken = {name: getattr(flags, name) for name in _SPOKEN if getattr(flags, name) != usual[name]}
        kept = {
            name: getattr(flags, name)
            for name in (
                "challenge",
                "random_accounts",
                "register",
                "cores",
                "calls",
                "rtp_ports",
                "transport",
                "ip_version",
                "connections",
                "tls",
            )
        }
        return replace(told, **(kept | spoken))

    def _destination(self) -> str:
        from callwright.scenario.actions import Call

        assert isinstance(self.action, Call)
        if self.scenario.needs_pbx or self.scenario.is_direct(self.action):
            raise Refused(
                f"--scenario {self.path}: {self.action.address} calls {self.action.dial_destination}, and "
                "the document has no target",
                "Give a URI before --scenario, or write `target: HOST` in the document.",
            )
        return self.scenario.uri(self.action.dial_destination, self.scenario.account(self.action.party))

    def thresholds(self, given: Sequence[Threshold]) -> tuple[Threshold, ...]:
        """What the document wants of the load; what is only implied there gives way to --fail-if."""
        from callwright.load.action import thresholds_of
        from callwright.scenario.load_condition import LoadCondition

        written = [*self.action.expect, *self.scenario.conditions]
        looking = [c for c in written if isinstance(c, LoadCondition) and c.concerns(self.action)]
        found = thresholds_of(self.action, looking)
        return tuple(t for t in found if t.form != "implied" or not given)


def read_load_document(path: Path, text: str, *, answer: bool) -> LoadDocument:
    """Raises Refused for what the load engine cannot do, with the step, the key and what is permitted."""
    import os

    from callwright.scenario.actions import Accept, Call, Register
    from callwright.scenario.document import load
    from callwright.scenario.source import DocumentError

    wanted = Accept if answer else Call
    try:
        scenario = load(text, environment=os.environ)
        chosen = [action for action in scenario.actions() if isinstance(action, wanted)]
        if len(chosen) != 1:
            raise Refused(
                f"--scenario {path} has {len(chosen)} {wanted.kind} actions, and a load has one",
                f"Run the whole test with `callwright run {path}`.",
            )
        (action,) = chosen
        others = [
            o for o in scenario.actions() if o is not action and not _is_its_register(o, action, Register)
        ]
        if others:
            other = others[0]
            raise Refused(
                f"--scenario {path}: {other.address} is {other.kind} of {other.party}, and `callwright load` "
                f"does one {wanted.kind} of {action.party} and, with --accounts, registers first. "
                f"Permitted: {wanted.kind}, register of {action.party}",
                f"Run the whole test with `callwright run {path}`.",
                details={"address": other.address, "permitted": [wanted.kind, "register"]},
            )
        scenario = load(text, environment=os.environ, overrides={f"{action.address}.load": "yes"})
    except DocumentError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise Refused(
            f"--scenario {path}:\n{problems}",
            details={"errors": [problem.to_json() for problem in error.problems]},
        ) from None
    found = scenario.action(action.address)
    assert isinstance(found, Call | Accept)
    return LoadDocument(path, scenario, found)


def _is_its_register(other: Action, action: Action, register: type[Action]) -> bool:
    return isinstance(other, register) and other.party == action.party
