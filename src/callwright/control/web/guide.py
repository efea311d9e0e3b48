"""The first hour as one guided way: where the PBX is, its accounts, permission, a first call. What is kept of
it, what each step says, and the documents that it leaves; its pages are in web/guide_pages. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from callwright.control.credentials.model import Credential
from callwright.evidence.figures import milliseconds, percent
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Direction, Failure, Verdict
from callwright.quality.bands import band
from callwright.scenario.amendment import amend

NOW, DONE, WRONG, WAITING, TRYING = "now", "done", "wrong", "waiting", "trying"
WORDS = {NOW: "Now", DONE: "Done", WRONG: "Failed", WAITING: "Waiting", TRYING: "Trying"}
STEPS = ("Where is it?", "Accounts", "Permission", "Try it")
_UNSENT = (Failure.POLICY, Failure.STOPPED, Failure.PLATFORM)


class AccountForm(msgspec.Struct, frozen=True):
    """One party's. ``credential``: the name of the SIP account that holds it; its password is only there."""

    party: str
    user: str
    credential: str


class Guide(msgspec.Struct, frozen=True):
    """How far somebody is. ``host`` may have a port. The runs are session ids, empty until there are any;
    ``refused``: why the platform started none. ``began_at``: unix seconds."""

    test: str = ""
    host: str = ""
    transport: str = "udp"
    accounts: tuple[AccountForm, ...] = ()
    made: str = ""
    options_run: str = ""
    register_run: str = ""
    call_run: str = ""
    refused: str = ""
    began_at: float = 0.0
    passed_at: float = 0.0

    @classmethod
    def read(cls, text: str | None) -> Guide:
        """As it was written; a new one for what cannot be read."""
        try:
            return msgspec.json.decode(text or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def written(self) -> str:
        return msgspec.json.encode(self).decode()

    def with_target(self, test: str, host: str, transport: str) -> Guide:
        """Another target: what was found at the old one says nothing any more."""
        if (test, host, transport) == (self.test, self.host, self.transport):
            return self
        return Guide(test=test, host=host, transport=transport, began_at=self.began_at)

    def with_accounts(self, accounts: Sequence[AccountForm]) -> Guide:
        return msgspec.structs.replace(self, accounts=tuple(accounts), register_run="", call_run="", made="")


@dataclass(frozen=True, slots=True)
class Tried:
    """A run of a step as far as it is. ``outcome`` None: it goes on."""

    session_id: str
    number: int
    since: float
    outcome: RunOutcome | None = None
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Permission:
    """What policy says of the target. ``needed``: somebody must permit it first."""

    needed: bool
    sentence: str
    by: str = ""
    at: float | None = None
    """When it was permitted, unix seconds."""


@dataclass(frozen=True, slots=True)
class GuideStep:
    """One row of the page. ``wrong``: name of a field to what is wrong with it."""

    number: int
    title: str
    state: str
    said: str
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)
    run: Tried | None = None

    @property
    def word(self) -> str:
        return WORDS[self.state]


def path(
    guide: Guide,
    *,
    permission: Permission | None,
    options: Tried | None = None,
    register: Tried | None = None,
    call: Tried | None = None,
    now: float = 0.0,
) -> list[GuideStep]:
    """The four rows. ``permission`` None: not known before DNS was asked."""
    first = _where(guide, permission, options, now)
    second = _accounts(guide, first, permission, register, now)
    third = _permission(guide, second, permission, options)
    fourth = _call(guide, third, call, now)
    return [first, second, third, fourth]


def _where(guide: Guide, permission: Permission | None, options: Tried | None, now: float) -> GuideStep:
    title = STEPS[0]
    if not guide.host:
        notes = ("No call is placed until step 4.",)
        return GuideStep(1, title, NOW, "Callwright will look it up and send it one OPTIONS.", notes)
    if options is None and permission is not None and permission.needed:
        said = f"{guide.host} is noted. Nothing was sent to it yet: it is not permitted, which is step 3."
        return GuideStep(1, title, DONE, said)
    if options is None:
        return GuideStep(1, title, WRONG, guide.refused or "The OPTIONS could not be sent.")
    outcome = options.outcome
    if outcome is None:
        return GuideStep(1, title, TRYING, _awaited("Asking", guide.host, options, now), run=options)
    request = outcome.requests[0] if outcome.requests else None
    if request is None or outcome.verdict is not Verdict.PASSED:
        if request is not None and request.failure is Failure.POLICY:
            said = f"{guide.host} is noted. It is not permitted yet, so nothing was sent: that is step 3."
            return GuideStep(1, title, DONE, said, run=options)
        reason = request.reason if request is not None else outcome.reason
        advice, short = _advice(request.failure if request else None), {"host": _short(request)}
        return GuideStep(1, title, WRONG, reason, advice, wrong=short, run=options)
    facts = [("Answer", f"{request.sip_code} {request.sip_reason or ''}".strip() + _by(request.user_agent))]
    if request.peer:
        facts.append(("At", request.peer.replace(":", " ", 1)))
    found = f"It answered OPTIONS in {milliseconds(request.round_trip_ms)}."
    return GuideStep(1, title, DONE, found, facts=tuple(facts), run=options)


def _accounts(
    guide: Guide, before: GuideStep, permission: Permission | None, register: Tried | None, now: float
) -> GuideStep:
    title = STEPS[1]
    if not guide.host or before.state in (WRONG, TRYING):
        return GuideStep(2, title, WAITING, "Waits for step 1.")
    if not guide.accounts:
        said = "Each of them will register once, to see that the password is right."
        return GuideStep(2, title, NOW, said, ("Use spare extensions, not a colleague’s.",))
    kept = ("Kept", "encrypted; no page shows the passwords again")
    if register is None and permission is not None and permission.needed:
        said = "The accounts are kept. They register as soon as the host is permitted."
        return GuideStep(2, title, DONE, said, facts=(kept,))
    if register is None:
        return GuideStep(2, title, WRONG, guide.refused or "The registration could not be started.")
    outcome = register.outcome
    if outcome is None:
        users = _listed([account.user for account in guide.accounts])
        return GuideStep(2, title, TRYING, _awaited("Registering", users, register, now), run=register)
    users_of = {account.party: account.user for account in guide.accounts}
    wrong, well = {}, []
    for one in outcome.registrations:
        user = users_of.get(one.party or "", one.party or "")
        if one.verdict is Verdict.PASSED:
            well.append(f"{user} registered in {milliseconds(one.registered_ms)}")
        else:
            wrong[one.party or ""] = one.reason
    if wrong:
        said = " ".join(dict.fromkeys(wrong.values()))
        notes = [f"{', '.join(well)}."] if well else []
        notes.append("A phone’s SIP password is often not its web password: look for the extension’s secret.")
        short = {f"password-{party}": _refused(outcome, party) for party in wrong}
        return GuideStep(2, title, WRONG, said, tuple(notes), wrong=short, run=register)
    if not well:
        return GuideStep(2, title, WRONG, outcome.reason, run=register)
    return GuideStep(2, title, DONE, f"{', '.join(well)}.", facts=(kept,), run=register)


def _permission(
    guide: Guide, before: GuideStep, permission: Permission | None, options: Tried | None
) -> GuideStep:
    title = STEPS[2]
    if before.state != DONE:
        return GuideStep(
            3, title, WAITING, f"Waits for step {1 if not guide.accounts and not guide.host else 2}."
        )
    if permission is None or permission.needed:
        notes = ("So a mistake in a test can neither ring a stranger nor flood the PBX.",)
        said = f"Callwright calls only hosts that an administrator permits; {host_of(guide.host)} is not yet."
        return GuideStep(3, title, NOW, said, notes)
    return GuideStep(3, title, DONE, permission.sentence)


def _call(guide: Guide, before: GuideStep, call: Tried | None, now: float) -> GuideStep:
    title = STEPS[3]
    if before.state != DONE:
        return GuideStep(4, title, WAITING, f"Waits for step {before.number}.")
    if call is None:
        if guide.refused:
            return GuideStep(4, title, WRONG, guide.refused)
        return GuideStep(4, title, NOW, "An ordinary run: its page has the audio and every message.")
    outcome = call.outcome
    if outcome is None:
        return GuideStep(4, title, TRYING, _awaited("Calling", guide.accounts[-1].user, call, now), run=call)
    state = DONE if outcome.verdict is Verdict.PASSED else WRONG
    word = {Verdict.PASSED: "Passed.", Verdict.FAILED: "Failed."}.get(outcome.verdict, "Not measured.")
    return GuideStep(
        4, title, state, f"{word} {outcome.reason}", facts=tuple(_heard(outcome, guide)), run=call
    )


def _heard(outcome: RunOutcome, guide: Guide) -> list[tuple[str, str]]:
    users = {account.party: account.user for account in guide.accounts}
    facts = [
        (
            f"{users.get(one.party or '', one.party)} hears",
            f"{one.received.mos:.2f} {band(one.received.mos).name}",
        )
        for one in outcome.calls
        if one.received.mos is not None
    ]
    placed = next((one for one in outcome.calls if one.direction is Direction.OUTGOING), None)
    if placed is not None:
        if placed.pdd_ms is not None:
            facts.append(("Rings after", milliseconds(placed.pdd_ms)))
        if codec := placed.codec or placed.received.codec:
            facts.append(("Codec", codec))
    lost = [_loss(one) for one in outcome.calls if one.received.packets]
    if lost:
        facts.append(("Loss", percent(max(lost))))
    return facts


def _loss(call: CallOutcome) -> float:
    return call.received.loss_pct or 0.0


def _awaited(doing: str, whom: str, run: Tried, now: float) -> str:
    after = max(0.0, now - run.since)
    if run.queued and after > 3:
        return f"No agent has taken this run yet, after {after:.0f} s. The page Agents shows which are alive."
    return f"{doing} {whom}: no answer yet, after {after:.0f} s."


def _advice(failure: Failure | None) -> tuple[str, ...]:
    match failure:
        case Failure.UNRESOLVED:
            return ("Check the spelling, enter the address, or enrol an agent where the name is known.",)
        case Failure.TIMEOUT | Failure.UNREACHABLE | Failure.DEADLINE:
            return ("Check address, port and transport, and that the PBX lets this machine in.",)
        case Failure.TLS:
            return ("Try UDP or TCP first, or use the name in the PBX’s certificate.",)
    return ()


def _short(request: object) -> str:
    return {
        Failure.UNRESOLVED: "DNS has no such name",
        Failure.TIMEOUT: "Nothing answers here",
        Failure.UNREACHABLE: "Nothing listens here",
        Failure.DEADLINE: "Nothing answers here",
        Failure.TLS: "TLS failed",
    }.get(getattr(request, "failure", None) or Failure.REFUSED, "Refused")


def _refused(outcome: RunOutcome, party: str) -> str:
    one = next((r for r in outcome.registrations if r.party == party), None)
    if one is None or one.sip_code is None:
        return "Did not register"
    return f"Refused with {one.sip_code} {one.sip_reason or ''}".strip()


def _by(agent: str | None) -> str:
    return f", {agent[:80]}" if agent else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


# -- the documents that the way leaves behind


def host_of(place: str) -> str:
    """Without the port."""
    return re.sub(r"(?<=.):\d+$", "", place) if place.count(":") == 1 or place.startswith("[") else place


def slug(host: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", host.lower()).strip("_")[:80]


def options_document(host: str, transport: str) -> str:
    return (
        f"# Is the PBX alive? Any answer says that it is.\nname: options_{slug(host)}\n"
        f"title: {_quoted(f'OPTIONS to {host}')}\ntags: [first-hour]\ntarget: {_quoted(host)}\n"
        f"transport: {transport}\nmax_duration: 10 s\n\nparties:\n  caller: {{user: callwright}}\n\n"
        "steps:\n  - - options: {party: caller, count: 1}\n"
    )


def register_document(host: str, transport: str, accounts: Sequence[AccountForm]) -> str:
    parties = "".join(f"  {one.party}: {{credentials: {_quoted(one.credential)}}}\n" for one in accounts)
    first, *rest = (
        f"- register: {{party: {one.party}, regexpire: 60, expect: code = 200}}\n" for one in accounts
    )
    return (
        f"# Are the accounts and their passwords right?\nname: registration_{slug(host)}\n"
        f"title: {_quoted(f'Registration at {host}')}\ntags: [first-hour]\ntarget: {_quoted(host)}\n"
        f"transport: {transport}\nmax_duration: 40 s\n\nparties:\n{parties}\n"
        f"steps:\n  - {first}{''.join(f'    {line}' for line in rest)}"
    )


def aimed(document: str, name: str, host: str, transport: str, accounts: Sequence[AccountForm]) -> str:
    """The test pointed at the PBX, under a name of its own; all else stays as its author wrote it.

    Raises amendment.CannotAmend.
    """
    for one in accounts:
        document = amend(document, f"party.{one.party}.credentials", one.credential)
    document = amend(document, "transport", transport) if transport != "udp" else document
    document = amend(document, "target", host)
    title = re.search(r"^title: *(.*)$", document, re.MULTILINE)
    if title is not None:
        said = title[1].strip().strip("'\"")
        new = f"title: {_quoted(f'{said} at {host}')}"
        document = document[: title.start()] + new + document[title.end() :]
    return re.sub(r"^name: .*$", lambda _: f"name: {name}", document, count=1, flags=re.MULTILINE)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9][\w .@()-]*", text) else json.dumps(text, ensure_ascii=False)


def credential_name(user: str, host: str) -> str:
    return f"{user}@{host}"[:128]


def known(credentials: Sequence[Credential], name: str, project_id: int) -> Credential | None:
    """The account of this name that the project uses."""
    found = [row for row in credentials if row.name == name and row.project_id in (None, project_id)]
    return max(found, key=lambda row: row.project_id is not None, default=None)
