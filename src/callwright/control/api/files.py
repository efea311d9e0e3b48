"""A file of evidence as an answer: streamed, with one byte range at a time (RFC 9110 section 14)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Stream

from callwright.control.api.problems import ApiProblem
from callwright.control.runs.evidence import RunEvidence
from callwright.control.runs.model import Evidence

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


async def file_answer(
    request: Request[Any, Any, Any],
    evidence: RunEvidence,
    file: Evidence,
    *,
    attachment: bool = True,
) -> Response[Any]:
    """Raises NotFound when it was removed meanwhile, StorageUnavailable, 416 for a range beyond its end."""
    size = file.size
    first, last, status = 0, size - 1, 200
    wanted = request.headers.get("range", "")
    span = _RANGE.fullmatch(wanted) if wanted else None
    if span is not None and (span[1] or span[2]):
        first, last = _span(span[1], span[2], size)
        status = 206
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Content-Disposition": _disposition(file.name, attachment),
        # What a stranger's device said may stand in it: it is never a page of ours.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    pieces = evidence.read(file, first, last if status == 206 else None)
    # The first is waited for, so that what is wrong with the store is an answer and no torn stream.
    begun = await anext(pieces, b"")
    return Stream(
        _all(begun, pieces, last - first + 1),
        status_code=status,
        media_type=file.media_type,
        headers=headers,
    )


def _span(start: str, end: str, size: int) -> tuple[int, int]:
    if not start:
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(start), min(int(end) if end else size - 1, size - 1)
    if first >= size or last < first:
        raise ApiProblem(416, f"The file has {size} octets.", headers={"Content-Range": f"bytes */{size}"})
    return first, last


async def _all(begun: bytes, pieces: AsyncGenerator[bytes, None], length: int) -> AsyncIterator[bytes]:
    """At most `length` octets, as was promised."""
    async with contextlib.aclosing(pieces):
        left = length - len(begun)
        yield begun
        async for piece in pieces:
            if left <= 0:
                return
            yield piece[:left]
            left -= len(piece)


def _disposition(name: str, attachment: bool) -> str:
    plain = name.rsplit("/", 1)[-1]
    return f"{'attachment' if attachment else 'inline'}; filename*=UTF-8''{quote(plain, safe='')}"
