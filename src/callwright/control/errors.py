"""What the platform refuses: exceptions with a sentence and a remedy; control/api maps them to HTTP, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callwright.scenario.source import Problem

__all__ = [
    "CapReached",
    "Conflict",
    "DomainError",
    "EvidenceAway",
    "Forbidden",
    "IdempotencyConflict",
    "Invalid",
    "KillSwitchEngaged",
    "LinkExpired",
    "NotFound",
    "NotRegistered",
    "PbxAway",
    "QuotaExceeded",
    "RefusedByPolicy",
    "StorageUnavailable",
    "TooManyGuesses",
    "UnknownSchema",
    "Unmigrated",
    "WroteLate",
]


class DomainError(Exception):
    """``message``: a sentence; ``remedy``: what to do about it, or empty."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class NotFound(DomainError):
    """``what``: "test", "run", …; ``name``: as it was asked for; ``near``: what may have been meant, the
    likeliest (``nearest``) first."""

    def __init__(self, what: str, name: object, *, near: Sequence[str] = ()) -> None:
        shown = str(name)[:200]
        words = f"{', '.join(near[:-1])} or {near[-1]}" if len(near) > 1 else "".join(near)
        super().__init__(f"There is no {what} {shown!r}.", f"Did you mean {words}?" if near else "")
        self.what, self.name, self.near = what, shown, list(near)

    @property
    def nearest(self) -> str | None:
        return self.near[0] if self.near else None


class LinkExpired(NotFound):
    """The public link was right, and its time is over."""

    def __init__(self, name: object) -> None:
        super().__init__("page", name)


class Invalid(DomainError):
    """A value that is not permitted. ``errors``: one entry a problem, with ``message`` and ``field`` or
    ``address``, and ``permitted`` where there is a list."""

    def __init__(
        self, message: str, remedy: str = "", *, field: str = "", errors: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(message, remedy)
        self.field = field
        self.errors: list[dict[str, Any]] = list(errors) or [{"message": message, "field": field or None}]

    @classmethod
    def of_document(cls, problems: Sequence[Problem]) -> Invalid:
        """Every problem of a document or of overrides, each with its address and its place."""
        first = problems[0].message if problems else "The document is wrong."
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(f"{first}{more}", errors=[problem.to_json() for problem in problems])


class Forbidden(DomainError):
    """The identity is known, its role has not this right."""


class Conflict(DomainError):
    """The name is taken, or somebody else has changed the record since it was read. ``field``: the one whose
    value is taken, if it is one."""

    def __init__(self, message: str, remedy: str = "", *, field: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class IdempotencyConflict(Conflict):
    """The same Idempotency-Key came with another request."""


class RefusedByPolicy(DomainError):
    """``address``: the action that would go there; ``reason`` is the message."""

    def __init__(self, address: str, reason: str, remedy: str) -> None:
        super().__init__(f"{address}: {reason}" if address else reason, remedy)
        self.address, self.reason = address, reason


class KillSwitchEngaged(DomainError):
    """Nothing is started until an administrator releases the switch."""


class QuotaExceeded(DomainError):
    """There is no room for more evidence, or for more runs in the queue."""


class CapReached(QuotaExceeded):
    """A cap of a target is used up by other runs."""


class TooManyGuesses(DomainError):
    """``seconds``: how long the next one must wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many wrong codes came.", f"Try again in {seconds} s.")
        self.seconds = seconds


class StorageUnavailable(DomainError):
    """The database or the disk does not answer, or is full. Nothing was acknowledged; try again."""


class WroteLate(StorageUnavailable):
    """The database answered after ``seconds``: too late for what was to be written. Nothing was."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The database took {seconds:.1f} s to write.", "Check its disk, and what else uses that disk."
        )


class EvidenceAway(StorageUnavailable):
    """The store of evidence is away for a while. Nothing was taken: it is to be brought again, and kept until
    then."""


class PbxAway(StorageUnavailable):
    """The PBX of the platform does not answer, or there is none."""


class NotRegistered(DomainError):
    """A call cannot begin or be answered: the user has no phone that could."""


class UnknownSchema(DomainError):
    """A newer Callwright wrote the database, or one from before the first release; it is left untouched."""


class Unmigrated(DomainError):
    """The database has the schema of an older Callwright."""
