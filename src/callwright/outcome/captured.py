"""What is kept of the messages that came to us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CapturedMessage:
    """Headers of a message that came to us: the first INVITE, the first response of each status, and every
    request inside the dialog (32 messages in all, and what ended the call)."""

    start: str  # "INVITE", "180", "BYE", "re-INVITE": what a condition names
    headers: tuple[tuple[str, str], ...] = ()  # (name, value) as received, in order

    def values(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for header, value in self.headers if header.lower() == wanted]
