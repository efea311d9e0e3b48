"""Remedies of refusals in the words of the command line: each verb names its own flag."""

from __future__ import annotations

from callwright.policy.remedy import Remedy, RemedyKind, Worded


def _worded(permit: str) -> Worded:
    """`permit` has ``{place}`` for what shall be permitted."""

    def words(remedy: Remedy) -> str:
        return {
            RemedyKind.PERMIT_PLACE: permit.format(place=remedy.place),
            RemedyKind.PERMIT_NUMBER: "If it is safe there, name the number itself in the targets file of a "
            f"test: {remedy.place} number={remedy.number}",
            RemedyKind.TYPE_PLACE: f"Type {remedy.place} itself if you may test it.",
            RemedyKind.CORRECT_PORT: "Use a port from 1 to 65535.",
            RemedyKind.CORRECT_PEER: "Correct the address that the peer puts into its messages.",
        }[remedy.kind]

    return words


with_allow = _worded("Add --allow {place} if you may test it.")
"""Of `run` and `load`."""
without_allow = _worded("`callwright run --allow {place}` permits it.")
"""Of verbs that go to what is typed alone."""
of_callers = _worded("Add --allow-media {place} if callers may bring media from there.")
"""Of `answer`."""
