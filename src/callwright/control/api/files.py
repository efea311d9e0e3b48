"""A file of evidence as an answer: streamed, with one byte range at a time (RFC 9110 section 14), and not at
all to who has it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Stream

from callwright.control.api.problems import ApiProblem
from callwright.control.evidence.service import RunEvidence
from callwright.control.runs.model import Evidence

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_KEPT = "private, no-store"


async def file_answer(
    request: Request[Any, Any, Any],
    evidence: RunEvidence,
    file: Evidence,
    *,
    attachment: bool = True,
) -> Response[Any]:
    """206 for a range, 304 to who has it already.

    Raises NotFound when it was removed meanwhile, StorageUnavailable, 416 for a range beyond its end.
    """
    part = _part(request, f'"{file.sha256}"', file.size, file.name, file.media_type, attachment)
    if isinstance(part, Response):
        return part
    first, last, status, headers = part
    pieces = evidence.read(file, first, last if status == 206 else None)
    # The first is waited for, so that what is wrong with the store is an answer and no torn stream.
    begun = await anext(pieces, b"")
    return Stream(
        _all(begun, pieces, last - first + 1),
        status_code=status,
        media_type=file.media_type,
        headers=headers,
    )


def octets_answer(
    request: Request[Any, Any, Any], name: str, media_type: str, octets: bytes, *, attachment: bool = False
) -> Response[Any]:
    """As `file_answer`, for a file that is held in memory. Raises 416 for a range beyond its end."""
    tag = f'"{hashlib.sha256(octets).hexdigest()}"'
    part = _part(request, tag, len(octets), name, media_type, attachment)
    if isinstance(part, Response):
        return part
    first, last, status, headers = part
    return Response(octets[first : last + 1], status_code=status, media_type=media_type, headers=headers)


def _part(
    request: Request[Any, Any, Any], tag: str, size: int, name: str, media_type: str, attachment: bool
) -> tuple[int, int, int, dict[str, str]] | Response[Any]:
    """First and last octet, status and headers; or the answer to who has the file. Raises 416."""
    if _names(request.headers.get("if-none-match", ""), tag):
        return Response(
            b"", status_code=304, headers={"ETag": tag, "Cache-Control": _KEPT}, media_type=media_type
        )
    first, last, status = 0, size - 1, 200
    span = _wanted(request.headers, tag)
    if span is not None:
        first, last = _span(*span, size)
        status = 206
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Content-Length": str(last - first + 1),
        "Content-Disposition": _disposition(name, attachment),
        # What a stranger's device said may stand in it: it is never a page of ours.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": _KEPT,
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return first, last, status, headers


def _names(condition: str, tag: str) -> bool:
    """If-None-Match: weakly compared."""
    given = [item.strip().removeprefix("W/") for item in condition.split(",")]
    return tag in given or given == ["*"]


def _wanted(headers: Mapping[str, str], tag: str) -> tuple[str, str] | None:
    """First and last octet as they are written; None for the whole: no range that is one, or If-Range names
    another file."""
    span = _RANGE.fullmatch(headers.get("range", ""))
    if span is None or not (span[1] or span[2]) or headers.get("if-range", tag) != tag:
        return None
    if span[1] and span[2] and int(span[2]) < int(span[1]):
        return None
    return span[1], span[2]


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
