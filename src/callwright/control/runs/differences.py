"""What is not as it was in the run before, in words: messages, headers, codecs, addresses, times, quality.

Pure. Two runs of a test are never octet for octet the same; tags, branches, ports and moments are their own
each time and are no difference. What is left is told in sentences, the likely causes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Literal

from callwright.control.runs.volatile_headers import OWN_EACH_TIME, VALUE_MATTERS
from callwright.evidence.explanation import duration
from callwright.evidence.ladder import Ladder, MessageRow
from callwright.evidence.naming import has_media, heard_silence, named_calls
from callwright.evidence.shown import one_line
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Direction, Verdict
from callwright.quality.bands import band
from callwright.sip.headers import COMPACT_NAMES

Sign = Literal["+", "−", "~", "="]

MOST = 40
"""Differences that are told; a run that has nothing in common with another says so in fewer."""
NOTICEABLE_SECONDS, NOTICEABLE_SHARE = 0.030, 0.2
"""A time that moved by less than this, or by a smaller share of what it was, is chance."""
NOTICEABLE_MOS, NOTICEABLE_LOSS, NOTICEABLE_JITTER_MS = 0.2, 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Difference:
    """``sign`` is + added, − removed, ~ changed, = the same. ``message``: its number in the later run."""

    sign: Sign
    text: str
    detail: str = ""
    cause: bool = False  # it may well be why the later run failed
    message: int | None = None
    ours: bool = False  # the test was told otherwise, so what differs need not be the target's doing

    @property
    def word(self) -> str:
        """For a screen reader, to which the sign says nothing."""
        return {"+": "added", "−": "removed", "~": "changed", "=": "the same"}[self.sign]


@dataclass(frozen=True, slots=True)
class Seen:
    """One run as it is compared. ``ladder`` None: its messages were not kept."""

    outcome: RunOutcome
    ladder: Ladder | None = None
    test_version: int | None = None
    agent: str | None = None


def differences(before: Seen, after: Seen) -> list[Difference]:
    """From the earlier run, which passed, to the later one; the last entry says what is the same."""
    found: list[Difference] = []
    same: list[str] = []
    _note(found, same, "document", _documents(before, after))
    if before.agent and after.agent:
        _note(found, same, "agent", _agents(before.agent, after.agent))
    pairs: list[tuple[MessageRow, MessageRow]] = []
    if before.ladder is not None and after.ladder is not None:
        earlier, later = _Talk(before.ladder), _Talk(after.ladder)
        pairs, appeared, vanished = _aligned(earlier, later)
        _note(found, same, "messages", _messages(earlier, later, appeared, vanished))
        _note(found, same, "addresses for audio", _addresses(earlier, later, pairs))
        _note(found, same, "software", _software(before.ladder, after.ladder))
        _note(found, same, "codecs offered", _codecs(later, pairs))
        _note(found, same, "headers", _headers(later, pairs))
        _note(found, same, "transport", _transport(later, pairs))
        _note(found, same, "times", _times(earlier, later))
    else:  # the messages would tell the same in more words
        _note(found, same, "results of the calls", _results(before.outcome, after.outcome))
    _note(found, same, "codec used", _codec_used(before.outcome, after.outcome))
    _note(found, same, "quality", _quality(before.outcome, after.outcome))
    if after.outcome.verdict is Verdict.PASSED:
        found = [_calm(difference) for difference in found]
    found = sorted(_once(found), key=lambda difference: not difference.cause)
    hidden = len(found) - MOST
    found = found[:MOST]
    if hidden > 0:
        found.append(Difference("~", f"{hidden} more differences", "The two runs have little in common."))
    if same:
        found.append(Difference("=", f"The same: {', '.join(same)}"))
    return found


def changes_of_test(found: Sequence[Difference]) -> list[str]:
    """What was changed in the test, a sentence each."""
    return [f"{difference.text}.".replace("..", ".") for difference in found if difference.ours]


def _note(found: list[Difference], same: list[str], name: str, new: Iterable[Difference]) -> None:
    new = list(new)
    found += new
    if not new:
        same.append(name)


def _once(found: Sequence[Difference]) -> list[Difference]:
    return list({(d.sign, d.text): d for d in reversed(found)}.values())[::-1]


def _calm(difference: Difference) -> Difference:
    return replace(difference, cause=False)


# -- the test itself -----------------------------------------------------------------------------------------


def _documents(before: Seen, after: Seen) -> Iterable[Difference]:
    one, two = before.test_version, after.test_version
    if one is not None and two is not None and one != two:
        yield Difference("~", f"The test itself changed: version {one} became {two}", cause=True, ours=True)
    old, new = before.outcome.parameters, after.outcome.parameters
    for address in sorted({*old, *new}):
        if old.get(address) != new.get(address):
            if address not in old:
                text = f"{address} is {_value(new[address])}"
                yield Difference("+", text, "It was not given before.", cause=True, ours=True)
            elif address not in new:
                yield Difference(
                    "−", f"{address} is not given", f"It was {_value(old[address])}.", cause=True, ours=True
                )
            else:
                text = f"{address}: {_value(old[address])} became {_value(new[address])}"
                yield Difference("~", text, "A parameter of the test", cause=True, ours=True)


def _agents(before: str, after: str) -> Iterable[Difference]:
    if before != after:
        yield Difference(
            "~", f"The agent is {after}, not {before}", "Another machine, another way to the target"
        )


# -- messages ------------------------------------------------------------------------------------------------

_Key = tuple[str, str, str]  # who sends, who gets it, what it is


class _Talk:
    """The messages of one run without their retransmissions, by who says them to whom."""

    def __init__(self, ladder: Ladder) -> None:
        self.names = [party.name for party in ladder.parties]
        self.messages = [m for m in ladder.messages if m.repeat_of is None]
        self.repeats = [m for m in ladder.messages if m.repeat_of is not None]
        self.between: dict[tuple[str, str], list[MessageRow]] = {}
        self.invites: dict[str, float] = {}
        self.answers: dict[str, float] = {}
        for message in self.messages:
            pair = (self.names[message.source], self.names[message.destination])
            self.between.setdefault(pair, []).append(message)
            if message.label == "INVITE":
                self.invites[message.call_id] = message.at  # the last one: after a challenge it begins anew
            if message.method == "INVITE" and message.status is not None and 200 <= message.status < 300:
                self.answers.setdefault(message.call_id, message.at)

    def sender(self, message: MessageRow) -> str:
        return self.names[message.source]

    def receiver(self, message: MessageRow) -> str:
        return self.names[message.destination]

    def place(self, message: MessageRow) -> str:
        """ "Message 9, 200 OK to alice"."""
        return f"Message {message.number}, {message.label} to {self.receiver(message)}"

    def moment(self, message: MessageRow) -> str:
        """ " 4.2 s after the answer", or nothing when it is the beginning."""
        answer, invite = self.answers.get(message.call_id), self.invites.get(message.call_id)
        if answer is not None and message.at > answer:
            return f" {duration(message.at - answer)} after the answer"
        if invite is not None and message.at > invite:
            return f" {duration(message.at - invite)} after the INVITE"
        return ""


def _kind(message: MessageRow) -> str:
    if message.status is None:
        return message.label
    return f"{message.status} to {message.method}"


def _aligned(
    before: _Talk, after: _Talk
) -> tuple[list[tuple[MessageRow, MessageRow]], list[MessageRow], list[MessageRow]]:
    """Messages that are in both runs, those that are new, and those that are gone.

    In each direction between two parties by itself: what two parties say to a third at the same moment may
    come in either order.
    """
    pairs, appeared, vanished = [], [], []
    for way in {**before.between, **after.between}:
        old, new = before.between.get(way, []), after.between.get(way, [])
        matcher = SequenceMatcher(None, [_kind(m) for m in old], [_kind(m) for m in new], autojunk=False)
        for what, i1, i2, j1, j2 in matcher.get_opcodes():
            if what == "equal":
                pairs += list(zip(old[i1:i2], new[j1:j2], strict=True))
            else:
                vanished += old[i1:i2]
                appeared += new[j1:j2]
    return (
        sorted(pairs, key=lambda pair: pair[1].number),
        sorted(appeared, key=lambda m: m.number),
        sorted(vanished, key=lambda m: m.number),
    )


def _messages(
    before: _Talk, after: _Talk, appeared: Sequence[MessageRow], vanished: Sequence[MessageRow]
) -> Iterable[Difference]:
    swapped: set[int] = set()
    for new in appeared:
        old = _instead_of(new, vanished, before, after, swapped)
        who, whom = after.sender(new), after.receiver(new)
        if old is not None:
            swapped.add(old.number)
            text = f"{who} answers {whom}’s {new.method} with {new.label}, not {old.label}"
            cause = new.status is not None and new.status >= 300
            yield Difference("~", text, f"{after.place(new)}.", cause, new.number)
        elif not _follows(new):
            sends = f"{who} sends {_article(new.label)} to {whom}{after.moment(new)}"
            cause = new.trouble or new.label == "re-INVITE" or new.label in {"BYE", "CANCEL"}
            yield Difference(
                "+",
                sends,
                f"Message {new.number}. The earlier run has no such message there.",
                cause,
                new.number,
            )
    for old in vanished:
        # A call that was not answered has no BYE to miss.
        idle = old.method == "BYE" and len(after.answers) < len(before.answers)
        if old.number not in swapped and not idle and not _follows(old):
            text = f"No {old.label} from {before.sender(old)} to {before.receiver(old)}"
            cause = old.status is None or old.status >= 180
            yield Difference("−", text, f"The earlier run has it{before.moment(old)}.", cause)
    if len(after.repeats) > len(before.repeats):
        more = len(after.repeats) - len(before.repeats)
        text = (
            f"{more} more {'message was' if more == 1 else 'messages were'} sent again because no answer came"
        )
        yield Difference("~", text, f"{len(after.repeats)} in all; {len(before.repeats)} before", True)


def _instead_of(
    new: MessageRow, vanished: Sequence[MessageRow], before: _Talk, after: _Talk, taken: set[int]
) -> MessageRow | None:
    """The final answer that stood where this one stands."""
    if new.status is None or new.status < 200:
        return None
    for old in vanished:
        same_way = (before.sender(old), before.receiver(old)) == (after.sender(new), after.receiver(new))
        final = old.status is not None and old.status >= 200
        if same_way and final and old.method == new.method and old.number not in taken:
            return old
    return None


def _follows(message: MessageRow) -> bool:
    """An ACK, a 100, or a 200 to something in a dialog goes with another message, and is not worth a line."""
    return message.method == "ACK" or (message.status in {100, 200} and message.method != "INVITE")


def _article(label: str) -> str:
    an = label[:1] in "AEIOU" or label.startswith("re-")
    return f"{'a' if label.startswith('re-') or not an else 'an'} {label}"


# -- what messages carry -------------------------------------------------------------------------------------


def _addresses(
    before: _Talk, after: _Talk, pairs: Sequence[tuple[MessageRow, MessageRow]]
) -> Iterable[Difference]:
    told: set[tuple[str, str, str]] = set()
    for old, new in pairs:
        one, two = old.media, new.media
        if one is None or two is None or one.address == two.address:
            continue
        key = (after.sender(new), one.address, two.address)
        if key in told:
            continue
        told.add(key)
        names, named = one_line(two.address, 60), one_line(one.address, 60)
        text = f"The SDP of {key[0]} names {names} for audio, not {named}"
        yield Difference("~", text, f"{after.place(new)}.", two.private and not one.private, new.number)
    known = {m.media.address for m in before.messages if m.media is not None}
    in_pairs = {new.number for _, new in pairs}
    for new in after.messages:
        media = new.media
        if media is not None and new.number not in in_pairs and media.address not in known and media.private:
            text = f"The SDP of {after.sender(new)} names {one_line(media.address, 60)} for audio"
            detail = f"{after.place(new)}. The earlier run never named it."
            yield Difference("~", text, detail, True, new.number)


def _codecs(after: _Talk, pairs: Sequence[tuple[MessageRow, MessageRow]]) -> Iterable[Difference]:
    for old, new in pairs:
        if old.media is None or new.media is None or old.media.codecs == new.media.codecs:
            continue
        what = "offer to" if new.status is None else "answer to"
        where = f"the {what} {after.receiver(new)}"
        dropped = [codec for codec in old.media.codecs if codec not in new.media.codecs]
        added = [codec for codec in new.media.codecs if codec not in old.media.codecs]
        detail = f"Message {new.number}: {', '.join(new.media.codecs) or 'none'}"
        if dropped:
            yield Difference("−", f"{_listed(dropped)} dropped from {where}", detail, message=new.number)
        if added:
            yield Difference("+", f"{_listed(added)} added to {where}", detail, message=new.number)
        if not dropped and not added:
            detail = (
                f"Message {new.number}: {', '.join(new.media.codecs)}; it was {', '.join(old.media.codecs)}"
            )
            yield Difference("~", f"The order of codecs changed in {where}", detail, message=new.number)


def _headers(after: _Talk, pairs: Sequence[tuple[MessageRow, MessageRow]]) -> Iterable[Difference]:
    told: set[tuple[str, str, str]] = set()
    for old, new in pairs:
        if new.method == "ACK":  # one to a refusal is of the transaction, one to an answer is not
            continue
        one, two = _header_values(old.raw), _header_values(new.raw)
        for name in {**one, **two}:
            if name in OWN_EACH_TIME or one.get(name) == two.get(name):
                continue
            sign: Sign = "+" if name not in one else "−" if name not in two else "~"
            if sign == "~" and name not in VALUE_MATTERS:
                continue
            key = (sign, name, after.sender(new))
            if key in told:
                continue
            told.add(key)
            yield _header(sign, one.get(name), two.get(name), after.place(new), new.number)


def _header(
    sign: Sign, old: tuple[str, str] | None, new: tuple[str, str] | None, place: str, number: int
) -> Difference:
    if sign == "+" and new is not None:
        return Difference(sign, f"Header added: {new[0]}: {_value(new[1])}", place, message=number)
    if sign == "−" and old is not None:
        return Difference(sign, f"Header gone: {old[0]}: {_value(old[1])}", place, message=number)
    assert old is not None
    assert new is not None
    text = f"Header changed: {new[0]}: {_value(new[1])}"
    return Difference("~", text, f"{place}; it was {_value(old[1])}", message=number)


def _header_values(raw: str) -> dict[str, tuple[str, str]]:
    """Full name in lower case to (name as written, values joined by commas)."""
    found: dict[str, tuple[str, str]] = {}
    name = ""
    for line in raw.split("\n")[1:]:
        if not line:
            break
        if line[0] in " \t" and name:
            found[name] = (found[name][0], f"{found[name][1]} {line.strip()}")
            continue
        written, colon, value = line.partition(":")
        if not colon:
            continue
        short = written.strip().lower()
        name = COMPACT_NAMES.get(short, short)
        before = found.get(name)
        joined = f"{before[1]}, {value.strip()}" if before else value.strip()
        found[name] = (before[0] if before else written.strip(), joined)
    return found


def _transport(after: _Talk, pairs: Sequence[tuple[MessageRow, MessageRow]]) -> Iterable[Difference]:
    for old, new in pairs:
        if old.transport != new.transport:
            whom = f"between {after.sender(new)} and {after.receiver(new)}"
            yield Difference(
                "~", f"{new.transport} {whom}, not {old.transport}", f"From message {new.number} on"
            )
            return


def _software(before: Ladder, after: Ladder) -> Iterable[Difference]:
    old = {party.name: party.role for party in before.parties}
    for party in after.parties:
        was = old.get(party.name, "")
        if was and party.role and was != party.role:
            text = f"Software of {party.name}: {was} became {party.role}"
            yield Difference("~", text, f"User-Agent or Server, every message of {party.name}")


# -- times and quality ---------------------------------------------------------------------------------------


def _times(before: _Talk, after: _Talk) -> Iterable[Difference]:
    """The first ringing and the answer, after the INVITE, as the caller saw them."""
    old, new = dict(_waits(before)), dict(_waits(after))
    for (label, leg), (waited, message) in new.items():
        if (label, leg) not in old:
            continue
        was = old[label, leg][0]
        moved = waited - was
        if abs(moved) < max(NOTICEABLE_SECONDS, NOTICEABLE_SHARE * was):
            continue
        text = f"{label} came {duration(abs(moved))} {'later' if moved > 0 else 'sooner'}"
        detail = f"Message {message.number}: {duration(waited)} after the INVITE; it was {duration(was)}"
        yield Difference("~", text, detail, message=message.number)


def _waits(talk: _Talk) -> Iterable[tuple[tuple[str, int], tuple[float, MessageRow]]]:
    """((label, n-th time), (seconds, message)) for provisional and successful answers, to the first lane that
    calls."""
    callers = {m.call_id for m in talk.messages if m.label == "INVITE" and m.source == _first_caller(talk)}
    count: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for message in talk.messages:
        status, sent = message.status, talk.invites.get(message.call_id)
        if status is None or message.method != "INVITE" or not 100 < status < 300 or sent is None:
            continue
        if message.call_id not in callers or message.at < sent or (message.call_id, message.label) in seen:
            continue
        seen.add((message.call_id, message.label))
        count[message.label] = count.get(message.label, 0) + 1
        yield (message.label, count[message.label]), (message.at - sent, message)


def _first_caller(talk: _Talk) -> int:
    return next((m.source for m in talk.messages if m.label == "INVITE"), 0)


def _results(before: RunOutcome, after: RunOutcome) -> Iterable[Difference]:
    for name, old, new in _both(before, after):
        if old.sip_code != new.sip_code:
            cause = new.sip_code is None or new.sip_code >= 300
            text = f"{_whose(name, new)} ended with {_code(new)}, not {_code(old)}"
            yield Difference("~", text, one_line(new.reason), cause)
        elif old.ended_by != new.ended_by and new.ended_by is not None and old.ended_by is not None:
            text = f"{_whose(name, new)} was ended by {_ENDERS[new.ended_by]}, not by {_ENDERS[old.ended_by]}"
            yield Difference("~", text, one_line(new.reason))


_ENDERS = {"local": "us", "remote": "the peer", "network": "the network", "platform": "our own fault"}


def _codec_used(before: RunOutcome, after: RunOutcome) -> Iterable[Difference]:
    for name, old, new in _both(before, after):
        if old.codec and new.codec and old.codec != new.codec:
            yield Difference("~", f"{_whose(name, new)} used {new.codec}, not {old.codec}")


def _quality(before: RunOutcome, after: RunOutcome) -> Iterable[Difference]:
    for name, old, new in _both(before, after):
        one, two = old.received, new.received
        if heard_silence(new) and not heard_silence(old) and one.packets:
            told = f"It was MOS {one.mos:.2f}, {band(one.mos).name}." if one.mos is not None else ""
            yield Difference("~", f"{name} heard silence: packets came without a sound", told, True)
        elif one.mos is not None and two.mos is None and has_media(old) and new.answered:
            text = f"Nothing that {name} heard could be rated"
            yield Difference("~", text, f"It was MOS {one.mos:.2f}, {band(one.mos).name}.", True)
        elif one.mos is not None and two.mos is not None and abs(two.mos - one.mos) >= NOTICEABLE_MOS:
            text = f"{name} heard MOS {two.mos:.2f}, {band(two.mos).name}"
            yield Difference("~", text, f"It was {one.mos:.2f}, {band(one.mos).name}.", two.mos < one.mos)
        if _moved(one.loss_pct, two.loss_pct, NOTICEABLE_LOSS):
            text = f"{two.loss_pct:.1f} % of the packets to {name} were lost"
            yield Difference(
                "~", text, f"It was {one.loss_pct:.1f} %.", (two.loss_pct or 0) > (one.loss_pct or 0)
            )
        if _moved(one.jitter_ms, two.jitter_ms, NOTICEABLE_JITTER_MS):
            yield Difference(
                "~", f"Jitter at {name} is {two.jitter_ms:.0f} ms", f"It was {one.jitter_ms:.0f} ms."
            )


def _moved(one: float | None, two: float | None, least: float) -> bool:
    return one is not None and two is not None and abs(two - one) >= least


def _both(before: RunOutcome, after: RunOutcome) -> list[tuple[str, CallOutcome, CallOutcome]]:
    old = dict(named_calls(before))
    return [(name, old[name], call) for name, call in named_calls(after) if name in old]


def _whose(name: str, call: CallOutcome) -> str:
    return f"The call {'of' if call.direction is Direction.OUTGOING else 'to'} {name}"


def _code(call: CallOutcome) -> str:
    return f"{call.sip_code} {one_line(call.sip_reason or '', 60)}".strip() if call.sip_code else "no answer"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _value(text: str) -> str:
    return one_line(text, 120) or "empty"
