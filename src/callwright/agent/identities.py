"""The authority of one run, which signs for the callers of a test and is trusted by those who are called."""

from __future__ import annotations

from callwright.identity.authority import INFO, Authority
from callwright.net.clock import Clock
from callwright.phone.identity import MISTAKES, IdentityCheck, IdentityPlan
from callwright.scenario.identity import CallerWords
from callwright.sip.uri import NameAddr

__all__ = ["Identities"]


class Identities:
    """Made when a test asks for it first: keys cost some milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made: Authority | None = None

    @property
    def _authority(self) -> Authority:
        if self._made is None:
            self._made = Authority(self._clock.wall())
            self._signer = self._made.signer()
            self._imposter = self._made.signer()
        return self._made

    def plan(self, words: CallerWords) -> IdentityPlan | None:
        """What a call says of its caller; None: nothing but From."""
        if not words.says_anything:
            return None
        signs = words.identity != "none"
        authority = self._authority if signs else None
        return IdentityPlan(
            _address(words.asserted),
            _address(words.preferred),
            "" if words.privacy == "none" else words.privacy,
            self._signer if authority is not None else None,
            INFO,
            words.attest,
            words.identity if words.identity in MISTAKES else "",
            self._imposter if authority is not None else None,
        )

    def check(self, word: str) -> IdentityCheck | None:
        """What is demanded of callers; `word` is of `verify_identity`."""
        if word == "no":
            return None
        authority = self._authority
        return IdentityCheck(authority.store(self._signer), word == "require")


def _address(text: str) -> str:
    return str(NameAddr.parse(text)) if text else ""
