"""Text from the wire made fit for a page, a terminal or XML: nothing in it can act, nothing in it is lost
from sight.
"""

from __future__ import annotations

from callwright.sip.legible import legible

_PICTURES = {n: 0x2400 + n for n in range(32) if n not in (0x09, 0x0A)} | {0x7F: 0x2421}
_BIDIRECTIONAL = dict.fromkeys((1564, 8206, 8207, *range(8234, 8239), *range(8294, 8298)), 65533)
# C1 controls move a terminal's cursor; the non-characters may not stand in XML.
_OTHERS = dict.fromkeys((*range(128, 160), 8232, 8233, 65534, 65535), 65533)
_TABLE = _PICTURES | _BIDIRECTIONAL | _OTHERS


def shown(text: str) -> str:
    """Control characters as pictures, octets that are not UTF-8 and tricks of direction as U+FFFD."""
    return legible(text.translate(_TABLE))


def shown_octets(data: bytes) -> str:
    """The same for octets; CRLF becomes a line feed."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").translate(_TABLE)


#: What JSON leaves as it is, though it acts on a terminal or turns the text around it.
_IN_JSON = _BIDIRECTIONAL | _OTHERS | {0x7F: 0x2421}


def shown_json(text: str) -> str:
    """JSON as text, its strings without DEL, C1 controls and tricks of direction. JSON itself escapes the
    other controls."""
    return text.translate(_IN_JSON)


def one_line(text: str, longest: int = 200) -> str:
    """`shown`, without line feeds, and cut with an ellipsis at `longest` characters."""
    text = " ".join(shown(text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
