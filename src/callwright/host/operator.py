"""What a process tells its operator: lines on stderr, a refusal that ends it, and its exit code."""

from __future__ import annotations

import sys
from typing import Any

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2  # usage, a bad document, or refused by policy
EXIT_PLATFORM = 3  # our own error, or a measurement that is not to be believed
EXIT_REVOKED = 4  # of an agent: it makes no sense to start it again
EXIT_INTERRUPTED = 130


class Refused(Exception):
    """A wish that cannot be granted, told in a sentence with a remedy.

    `code` is the exit code (2 unless said otherwise); `details` goes into the JSON document as it is.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        code: int = EXIT_REFUSED,
        blame: str = "test",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code
        self.blame = blame
        self.details = details or {}


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr; what a peer wrote into it cannot act there."""
    from callwright.evidence.shown import shown

    print(shown(text), file=sys.stderr, flush=True)
