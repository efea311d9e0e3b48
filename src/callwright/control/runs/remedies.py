"""Remedies of refusals in the words of the platform, where an administrator is the one who may."""

from __future__ import annotations

from callwright.policy.remedy import Remedy, RemedyKind

__all__ = ["by_administrator"]


def by_administrator(remedy: Remedy) -> str:
    match remedy.kind:
        case RemedyKind.PERMIT_NUMBER:
            return (
                "If it is safe there, an administrator can permit this number at this host on the page "
                "Targets."
            )
        case RemedyKind.PERMIT_PLACE | RemedyKind.TYPE_PLACE:
            return f"An administrator can permit {remedy.place} on the page Targets."
        case RemedyKind.CORRECT_PORT:
            return "Use a port from 1 to 65535."
        case RemedyKind.CORRECT_PEER:
            return "Correct the address that the peer puts into its messages."
