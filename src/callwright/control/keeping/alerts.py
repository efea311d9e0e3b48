"""Looks again and again whether an alert is to be raised, or is over."""

from __future__ import annotations

import asyncio
import logging

from callwright.control.alerts.evaluation import Evaluation
from callwright.control.errors import DomainError

__all__ = ["watch_alerts"]

_log = logging.getLogger(__name__)
_EVERY = 5.0  # seconds


async def watch_alerts(evaluation: Evaluation) -> None:
    """Until it is canceled."""
    while True:
        try:
            for incident, event in await evaluation.once():
                _log.warning("incident %d: %s", incident.id, event.kind)
        except DomainError as error:
            _log.warning("alerts were not evaluated: %s", error)
        except Exception:
            _log.exception("an exception with the alerts")
        await asyncio.sleep(_EVERY)
