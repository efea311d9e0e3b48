"""Removes call detail records that are older than they are kept."""

from __future__ import annotations

import asyncio
import logging

from callwright.control.cdrs.service import Cdrs
from callwright.control.errors import DomainError

__all__ = ["forget_cdrs"]

_log = logging.getLogger(__name__)
_EVERY = 600.0  # seconds
_BETWEEN = 0.1  # so that others write between two batches


async def forget_cdrs(cdrs: Cdrs) -> None:
    """Until it is canceled."""
    while True:
        gone = 0
        try:
            while found := await cdrs.forget_old():
                gone += found
                await asyncio.sleep(_BETWEEN)
        except DomainError as error:
            _log.warning("old call detail records were not removed: %s", error)
        except Exception:
            _log.exception("an exception with old call detail records")
        if gone:
            _log.info("call detail records removed, since they are older than they are kept: %d", gone)
        await asyncio.sleep(_EVERY)
