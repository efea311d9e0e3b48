"""One transport for all m-lines (BUNDLE, RFC 9143): of ours there is one with audio; others are refused."""

from __future__ import annotations

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute
from callwright.sdp.media import Media

__all__ = ["bundled", "grouped", "mid_of"]

_BUNDLE = "BUNDLE"


def mid_of(media: Media) -> str | None:
    """The name of the m-line, where it has one that can be repeated."""
    said = media.value("mid")
    return said if said is not None and said and len(said) <= 64 and " " not in said else None


def bundled(media: Media) -> tuple[Attribute, ...]:
    """What an answer repeats of an m-line's name."""
    mid = mid_of(media)
    return () if mid is None else (Attribute("mid", mid),)


def grouped(media: tuple[Media, ...], theirs: SessionDescription | None) -> tuple[Attribute, ...]:
    """`a=group` for our description: the m-lines that are in use and have a name. An answer names none that
    the offer did not (RFC 9143 section 7.3)."""
    names = [mid for one in media if one.port and one.has("rtcp-mux") and (mid := mid_of(one)) is not None]
    if theirs is not None:
        offered = _offered(theirs)
        names = [mid for mid in names if mid in offered]
    return (Attribute("group", " ".join((_BUNDLE, *names))),) if names else ()


def _offered(theirs: SessionDescription) -> list[str]:
    for attribute in theirs.attributes:
        if attribute.name == "group" and attribute.value is not None:
            kind, *names = attribute.value.split()[:65] or [""]
            if kind == _BUNDLE:
                return names
    return []
