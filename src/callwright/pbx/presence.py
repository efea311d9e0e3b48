"""Presence of accounts (RFC 3856) as PIDF documents (RFC 3863, with the activities of RFC 4480): what the PBX
knows itself, and what their phones publish (RFC 3903)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from callwright.net.entropy import Entropy
from callwright.sip.headers import Headers
from callwright.sip.legible import legible
from callwright.sip.message import Request
from callwright.sip.timers import Agenda, Alarm

__all__ = [
    "PIDF_TYPE",
    "PRESENCE",
    "Presence",
    "Publications",
    "Published",
    "Unreadable",
    "elements_of",
    "pidf",
]

PRESENCE = "presence"
PIDF_TYPE = "application/pidf+xml"
_PIDF = "urn:ietf:params:xml:ns:pidf"
_MODEL = "urn:ietf:params:xml:ns:pidf:data-model"
_RPID = "urn:ietf:params:xml:ns:pidf:rpid"
_MOST = 3  # publications of one account
_LARGEST = 4_096  # octets of one; a NOTIFY with all of them is one datagram
_SHORTEST, _DEFAULT, _LONGEST = 60, 3_600, 3_600  # seconds


class Presence(NamedTuple):
    """`online`: a phone is registered; `rings`, `talks`: of its calls; `published`: elements of documents."""

    online: bool
    rings: bool = False
    talks: bool = False
    undisturbed: bool = False
    published: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        if self.talks:
            return "On the phone"
        if self.undisturbed:
            return "Do not disturb"
        if self.rings:
            return "Ringing"
        return "Online" if self.online else "Offline"


def pidf(uri: str, presence: Presence) -> bytes:
    """The document of an account; tuples, notes and all else in the order of the schema."""
    busy = presence.talks or presence.rings
    activity = "on-the-phone" if busy else "busy" if presence.undisturbed else ""
    basic = "open" if presence.online else "closed"
    published = {kind: [text for what, text in presence.published if what == kind] for kind in _KINDS}
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<presence xmlns="{_PIDF}" xmlns:dm="{_MODEL}" xmlns:rpid="{_RPID}" entity={quoteattr(uri)}>',
        f'<tuple id="pbx"><status><basic>{basic}</basic></status><contact>{escape(uri)}</contact></tuple>',
        *published["tuple"],
        f"<note>{escape(presence.words)}</note>",
        *published["note"],
        '<dm:person id="pbx-person">'
        + (f"<rpid:activities><rpid:{activity}/></rpid:activities>" if activity else "")
        + f"<dm:note>{escape(presence.words)}</dm:note></dm:person>",
        *published["person"],
        "</presence>\n",
    ]
    return legible("\n".join(parts)).encode()


# -- what phones publish


class Unreadable(ValueError):
    """The octets are no PIDF document, in words."""


_KINDS = ("tuple", "note", "person")
_TAGS = {f"{{{_PIDF}}}tuple": "tuple", f"{{{_PIDF}}}note": "note", f"{{{_MODEL}}}person": "person"}


class _Plain(ElementTree.TreeBuilder):
    """No document type, thus no entity but those of XML itself."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Unreadable("a document type is not read")


def elements_of(document: bytes, mark: str) -> tuple[tuple[str, str], ...]:
    """(kind, text) of the tuples, notes and persons of a document; their ids begin with `mark`, so that those
    of several documents differ. Raises Unreadable."""
    if len(document) > _LARGEST:
        raise Unreadable(f"it has more than {_LARGEST} octets")
    try:
        parser = ElementTree.XMLParser(target=_Plain())
        parser.feed(document)
        root = parser.close()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise Unreadable(str(error)) from None
    if root.tag != f"{{{_PIDF}}}presence":
        raise Unreadable("its root is not presence")
    found: list[tuple[str, str]] = []
    for number, element in enumerate(root):
        kind = _TAGS.get(element.tag)
        if kind is not None:
            if kind != "note":
                element.set("id", f"{mark}-{number}")
            element.tail = None
            found.append((kind, ElementTree.tostring(element, encoding="unicode")))
    if not found:
        raise Unreadable("nothing of presence is in it")
    return tuple(found)


class Published(NamedTuple):
    """The answer to a PUBLISH."""

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class _Publication:
    __slots__ = ("alarm", "elements")

    def __init__(self, elements: tuple[tuple[str, str], ...], alarm: Alarm) -> None:
        self.elements, self.alarm = elements, alarm


class Publications:
    """The event states that accounts publish, each until its time is over. `changed(now)`: another than
    before."""

    def __init__(self, agenda: Agenda, entropy: Entropy, changed: Callable[[float], None]) -> None:
        self._agenda, self._entropy, self._changed = agenda, entropy, changed
        self._kept: dict[str, dict[str, _Publication]] = {}  # by user, by entity-tag

    def of(self, user: str) -> tuple[tuple[str, str], ...]:
        """All that an account has published, oldest first."""
        kept = self._kept.get(user, {})
        return tuple(element for one in kept.values() for element in one.elements)

    def forget(self, users: Sequence[str]) -> None:
        """Accounts that are no longer there."""
        for user in users:
            for one in self._kept.pop(user, {}).values():
                one.alarm.cancel()

    @property
    def users(self) -> list[str]:
        """Who has published something."""
        return list(self._kept)

    def receive(self, user: str, request: Request, now: float) -> Published:
        """A PUBLISH of an account for itself (RFC 3903 section 6)."""
        headers = request.headers
        if (headers.get("event") or "").partition(";")[0].strip().lower() != PRESENCE:
            return Published(489, "Bad Event", (("Allow-Events", PRESENCE),))
        kept = self._kept.get(user, {})
        tag = headers.get("sip-if-match")
        if tag is not None and tag.strip() not in kept:
            return Published(412, "Conditional Request Failed")
        said = headers.expires
        seconds = min(_DEFAULT if said is None else said, _LONGEST)
        if 0 < seconds < _SHORTEST:
            return Published(423, "Interval Too Brief", (("Min-Expires", str(_SHORTEST)),))
        if tag is None and not request.body:
            return Published(400, "Bad Request (nothing is published)")
        if tag is None and len(kept) >= _MOST:
            return Published(403, f"Forbidden (more than {_MOST} publications)")
        fresh = self._entropy(8).hex()
        elements = kept[tag.strip()].elements if tag is not None else ()
        if request.body and seconds:
            read = self._read(headers, request.body, fresh)
            if isinstance(read, Published):
                return read
            elements = read
        self._keep(user, tag.strip() if tag is not None else None, fresh, elements, seconds, now)
        return Published(200, "OK", (("SIP-ETag", fresh), ("Expires", str(seconds))))

    def _read(self, headers: Headers, body: bytes, mark: str) -> tuple[tuple[str, str], ...] | Published:
        kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind != PIDF_TYPE:
            return Published(415, "Unsupported Media Type", (("Accept", PIDF_TYPE),))
        if len(body) > _LARGEST:
            return Published(413, "Request Entity Too Large")
        try:
            return elements_of(body, f"p{mark}")  # an id begins with a letter
        except Unreadable:
            return Published(400, "Bad Request (the presence document cannot be read)")

    def _keep(
        self,
        user: str,
        old: str | None,
        fresh: str,
        elements: tuple[tuple[str, str], ...],
        seconds: int,
        now: float,
    ) -> None:
        kept = self._kept.setdefault(user, {})
        if old is not None:
            kept.pop(old).alarm.cancel()
        if seconds:
            alarm = self._agenda.at(now + seconds, lambda at: self._expired(user, fresh, at))
            kept[fresh] = _Publication(elements, alarm)
        if not kept:
            del self._kept[user]
        self._changed(now)

    def _expired(self, user: str, tag: str, now: float) -> None:
        kept = self._kept.get(user, {})
        if kept.pop(tag, None) is not None:
            if not kept:
                del self._kept[user]
            self._changed(now)
