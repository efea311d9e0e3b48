"""What clients of the platform may hold at once, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one worker; 0 is no limit. ``requests`` and ``streams`` (of events) at once: of one address before
    sign-in, of one account after it, of all together, of which ``kept`` are for those with credentials.
    Seconds: for a body at once, for a body in all, until a piece of an answer is taken. ``body_rate``: octets
    that earn a body another second."""

    connections_of_address: int = 256
    requests_of_address: int = 128
    requests_of_account: int = 256
    requests: int = 1_024
    kept: int = 128
    streams_of_address: int = 32
    streams_of_account: int = 128
    streams: int = 1_024
    body_seconds: float = 20.0
    body_longest: float = 120.0
    body_rate: float = 32_768.0
    answer_seconds: float = 60.0

    def shared_by(self, workers: int) -> Bounds:
        """What each of several workers gives out; they share nothing."""

        def part(number: int) -> int:
            return -(-number // workers) if number else 0

        return replace(
            self,
            connections_of_address=part(self.connections_of_address),
            requests_of_address=part(self.requests_of_address),
            requests_of_account=part(self.requests_of_account),
            streams_of_address=part(self.streams_of_address),
            streams_of_account=part(self.streams_of_account),
        )

    def __str__(self) -> str:
        """For the start: which limits hold."""
        return (
            f"before sign-in {_many(self.connections_of_address)} connections, "
            f"{_many(self.requests_of_address)} requests and {_many(self.streams_of_address)} "
            f"event streams at once for each address, after it {_many(self.requests_of_account)} and "
            f"{_many(self.streams_of_account)} for each account; {self.kept} of {self.requests} places are "
            f"kept for those with credentials; a body has {self.body_seconds:g} s, and another second for "
            f"each {self.body_rate / 1024:g} KiB"
        )


def _many(number: int) -> str:
    return str(number) if number else "any number of"
