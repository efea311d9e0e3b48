"""A file of evidence as an answer: streamed, with one byte range at a time (RFC 9110 section 14)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Stream

from callwright.control.api.problems import ApiProblem
from callwright.control.errors import NotFound

_PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


async def file_answer(
    request: Request[Any, Any, Any],
    path: Path,
    *,
    name: str,
    media_type: str,
    attachment: bool = True,
) -> Response[Any]:
    """Raises NotFound when it was removed meanwhile, 416 for a range beyond its end."""
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
    except OSError:
        raise NotFound("evidence", name) from None
    first, last, status = 0, size - 1, 200
    wanted = request.headers.get("range", "")
    span = _RANGE.fullmatch(wanted) if wanted else None
    if span is not None and (span[1] or span[2]):
        first, last = _span(span[1], span[2], size)
        status = 206
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Content-Disposition": _disposition(name, attachment),
        # What a stranger's device said may stand in it: it is never a page of ours.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Stream(_pieces(path, first, last), status_code=status, media_type=media_type, headers=headers)


def _span(start: str, end: str, size: int) -> tuple[int, int]:
    if not start:
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(start), min(int(end) if end else size - 1, size - 1)
    if first >= size or last < first:
        raise ApiProblem(416, f"The file has {size} octets.", headers={"Content-Range": f"bytes */{size}"})
    return first, last


async def _pieces(path: Path, first: int, last: int) -> AsyncIterator[bytes]:
    if last < first:
        return
    file = await asyncio.to_thread(open, path, "rb")
    try:
        await asyncio.to_thread(file.seek, first)
        left = last - first + 1
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(_PIECE, left))
            if not piece:
                return
            left -= len(piece)
            yield piece
    finally:
        await asyncio.to_thread(file.close)


def _disposition(name: str, attachment: bool) -> str:
    plain = name.rsplit("/", 1)[-1]
    return f"{'attachment' if attachment else 'inline'}; filename*=UTF-8''{quote(plain, safe='')}"
