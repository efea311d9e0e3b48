"""Reads of an agent's result what the platform keeps in columns."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from callwright.control.runs.model import Ending, Given
from callwright.outcome.call import SILENT_PCT
from callwright.outcome.terms import Blame, Verdict

__all__ = ["changed_addresses", "find_words", "read_outcome", "searched", "weighed"]

_MOST_WORDS, _LONGEST_WORD = 2_000, 255


class _Received(msgspec.Struct, frozen=True):
    mos: float | None = None
    packets: int | None = None
    silence_pct: float | None = None


class _Condition(msgspec.Struct):
    passed: bool = True
    address: str | None = None


class _Call(msgspec.Struct):
    verdict: Verdict | None = None
    address: str | None = None
    received: _Received = _Received()
    setup_ms: float | None = None  # known of a call that was answered
    media_expected: bool = False
    pdd_ms: float | None = None
    call_id: str | None = None
    destination: str | None = None
    local: str | None = None
    remote: str | None = None
    caller_identity: str | None = None

    @property
    def deaf(self) -> bool:
        """It was to hear something and did not: no packet came, or none with a sound."""
        heard = self.received
        nothing = heard.packets == 0 or (heard.silence_pct or 0.0) >= SILENT_PCT
        return self.setup_ms is not None and self.media_expected and nothing


class _Part(msgspec.Struct):
    """A registration or a request."""

    verdict: Verdict | None = None
    address: str | None = None


class _Together(msgspec.Struct, frozen=True):
    began_at: float | None = None
    error_ms: float | None = None


class _Outcome(msgspec.Struct):
    verdict: Verdict
    blame: Blame | None = None
    reason: str = ""
    calls: list[_Call] = []
    registrations: list[_Part] = []
    requests: list[_Part] = []
    conditions: list[_Condition] = []
    together: _Together = _Together()

    @property
    def failed_at(self) -> tuple[str, ...]:
        parts: list[_Call | _Part] = [*self.calls, *self.registrations, *self.requests]
        found = [part.address for part in parts if part.verdict is Verdict.FAILED]
        found += [condition.address for condition in self.conditions if not condition.passed]
        return tuple(sorted({address for address in found if address}))


def read_outcome(document: bytes | str) -> Ending:
    """The ending that run.json tells of. One that cannot be read is an ending too: ours, as error."""
    try:
        outcome = msgspec.json.decode(document, type=_Outcome)
        text = document if isinstance(document, str) else document.decode()
    except (msgspec.DecodeError, UnicodeError) as error:
        reason = f"The agent's result cannot be read: {error}"
        return Ending(
            Verdict.ERROR.value, Verdict.ERROR.value, Blame.PLATFORM.value, reason.replace("\0", "")
        )
    heard = [call.received.mos for call in outcome.calls if call.received.mos is not None]
    if any(call.deaf for call in outcome.calls):
        heard = []  # the MOS of the other direction would say that all was well
    blamed = None if outcome.verdict is Verdict.CANCELED else outcome.blame  # somebody stopped it: no fault
    return Ending(
        outcome.verdict.value,
        outcome.verdict.value,
        blamed.value if blamed else None,
        outcome.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        min(heard, default=None),
        text,
        failed_at=outcome.failed_at,
        pdd_ms=max((call.pdd_ms for call in outcome.calls if call.pdd_ms is not None), default=None),
        words=find_words(outcome.calls),
        begun_at=outcome.together.began_at,
        begun_error_ms=outcome.together.error_ms,
    )


def find_words(calls: Iterable[_Call]) -> tuple[str, ...]:
    """Call-IDs whole and before their @, users and numbers as they were dialled and as digits alone; in lower
    case, each once, bounded."""
    found: dict[str, None] = {}
    for call in calls:
        if len(found) >= _MOST_WORDS:
            break
        whole = (call.call_id or "").strip().lower()
        numbers = [_user(text) for text in (call.destination, call.local, call.remote, call.caller_identity)]
        for word in (whole, whole.partition("@")[0], *numbers, *map(_digits, numbers)):
            if word and len(word) <= _LONGEST_WORD and "\0" not in word:
                found[word.encode("utf-8", "replace").decode()] = None
    return tuple(found)


def searched(text: str) -> tuple[str, str]:
    """What is looked for among the words: as it was typed, and the digits of a number."""
    word = text.strip().lower().removeprefix("call-id:").strip()
    return word, _digits(word) or word


def _user(text: str | None) -> str:
    """Of ``sip:4102@pbx;user=phone``, ``"Alice" <sip:4102@pbx>`` or ``+43 1 234``."""
    inside = re.search(r"<([^>]*)>", text or "")
    address = re.sub(r"^(sips?|tel):", "", (inside[1] if inside else text or "").strip().lower())
    return re.split(r"[@;:]", address, maxsplit=1)[0]


def _digits(text: str) -> str:
    """Empty when it is not a number."""
    bare = re.sub(r"[\s().\-/]", "", text)
    return bare.removeprefix("+") if re.fullmatch(r"\+?\d{2,}", bare) else ""


def weighed(ending: Ending, now: Given, last_pass: Given) -> Ending:
    """What was changed on our side since the last pass is weighed before the target: where it is a parameter
    of the very action that failed, the test is at fault; where it is anything else, nobody is known to be."""
    if ending.blame not in (Blame.TARGET.value, Blame.NETWORK.value):
        return ending
    changed = changed_addresses(now, last_pass)
    if not changed and now.test_version == last_pass.test_version:
        return ending
    explains = any(address.startswith(f"{failed}.") for address in changed for failed in ending.failed_at)
    return msgspec.structs.replace(ending, blame=Blame.TEST.value if explains else None)


def changed_addresses(now: Given, before: Given) -> list[str]:
    """Addresses of the overrides that differ."""
    one, two = now.shown, before.shown
    return sorted(address for address in {*one, *two} if one.get(address) != two.get(address))
