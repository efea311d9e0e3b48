"""Words of documents about who calls."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.identity.passport import ATTESTATIONS

__all__ = ["ATTESTATIONS", "IDENTITY", "NOTHING_SAID", "PRIVACY", "VERIFY", "CallerWords"]

IDENTITY = ("none", "signed", "wrong_key", "stale", "wrong_number", "alg_none", "huge")
PRIVACY = ("none", "id", "user", "header", "session", "id;user", "id;critical")
VERIFY = ("no", "report", "require")


@dataclass(frozen=True, slots=True)
class CallerWords:
    """What a `call` says of its caller beside From; see its parameters."""

    asserted: str = ""
    preferred: str = ""
    privacy: str = "none"
    identity: str = "none"
    attest: str = "A"

    @property
    def says_anything(self) -> bool:
        return bool(self.asserted or self.preferred) or self.privacy != "none" or self.identity != "none"


NOTHING_SAID = CallerWords()
