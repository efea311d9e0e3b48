"""The headers of a message: ordered, found by any spelling, kept in the spelling in which they came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from callwright.sip.fields import CSeq, MediaType, RAck, Via
from callwright.sip.grammar import SipSyntaxError, parse_number, split_list
from callwright.sip.uri import NameAddr

__all__ = [
    "COMPACT_NAMES",
    "LIST_HEADERS",
    "CSeq",
    "Headers",
    "MediaType",
    "SipSyntaxError",
    "Unfit",
    "Via",
    "header_key",
    "unfit",
]

COMPACT_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""Compact form to full name, both in lower case (the registry of IANA for RFC 3261 section 7.3.3)."""

LIST_HEADERS = frozenset(
    [
        "accept",
        "accept-contact",
        "accept-encoding",
        "accept-language",
        "alert-info",
        "allow",
        "allow-events",
        "call-info",
        "contact",
        "content-encoding",
        "content-language",
        "diversion",
        "error-info",
        "history-info",
        "in-reply-to",
        "p-asserted-identity",
        "p-associated-uri",
        "p-preferred-identity",
        "path",
        "permission-missing",
        "proxy-require",
        "reason",
        "record-route",
        "reject-contact",
        "request-disposition",
        "require",
        "route",
        "security-client",
        "security-server",
        "security-verify",
        "service-route",
        "supported",
        "unsupported",
        "via",
        "warning",
    ]
)
"""The headers whose values may be written in one line with commas, or in several lines."""

_SPELLINGS = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
    "Route",
    "Record-Route",
    "Allow",
    "Supported",
    "Require",
    "Proxy-Require",
    "Unsupported",
    "Accept",
    "User-Agent",
    "Server",
    "Expires",
    "Min-Expires",
    "Authorization",
    "WWW-Authenticate",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Authentication-Info",
    "Event",
    "Subscription-State",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "RAck",
    "RSeq",
    "Session-Expires",
    "Min-SE",
    "Reason",
    "Date",
    "Subject",
    "Warning",
    "Retry-After",
    "Allow-Events",
    "Accept-Encoding",
    "Accept-Language",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
    "Organization",
    "MIME-Version",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Timestamp",
    "Call-Info",
    "Alert-Info",
    "Error-Info",
]


def header_key(name: str) -> str:
    """The full name in lower case, by which spellings and compact forms are one header."""
    known = _KEYS.get(name)
    if known is not None:
        return known
    name = name.lower()
    return COMPACT_NAMES.get(name, name)


_KEYS: dict[str, str] = {}
_KEYS.update({spelling: spelling.lower() for spelling in _SPELLINGS})
_KEYS.update({spelling.lower(): spelling.lower() for spelling in _SPELLINGS})
_KEYS.update({spelling.upper(): spelling.lower() for spelling in _SPELLINGS})
_KEYS.update(COMPACT_NAMES)
_KEYS.update({compact.upper(): name for compact, name in COMPACT_NAMES.items()})
USUAL_SPELLINGS = tuple(_KEYS)
"""What nearly every header is written as."""


RESERVED = frozenset(
    {"via", "from", "to", "call-id", "cseq", "max-forwards", "contact", "route", "record-route"}
    | {"content-length", "content-type"}
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Unfit(Enum):
    """Why a header cannot stand beside those that a request has of its own."""

    NAME = auto()  # no token
    VALUE = auto()  # would end the header and begin another
    RESERVED = auto()  # written by the request itself


def unfit(name: str, value: str) -> Unfit | None:
    """What is wrong with an extra header that a user wrote, in full or compact form; None: nothing."""
    if not _TOKEN.fullmatch(name):
        return Unfit.NAME
    if _CONTROL.search(value):
        return Unfit.VALUE
    return Unfit.RESERVED if header_key(name) in RESERVED else None


def full_name(name: str) -> str:
    """The full name of a compact form, in its usual spelling; any other name as it is."""
    key = COMPACT_NAMES.get(name.lower())
    if key is None:
        return name
    return _SPELLING_OF.get(key) or key.title()


_SPELLING_OF = {spelling.lower(): spelling for spelling in _SPELLINGS}


class Headers:
    """Header fields in order. Names are found in any case and in compact form; values are never joined or
    changed.

    `get` gives the first field as it stands; `get_all` gives every element, splitting the list headers at
    their commas (not Subject, Date, Authorization and the other headers that are no lists); `get_fields` does
    not split.
    """

    __slots__ = ("_fields", "_index")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str]] = list(fields)
        self._index: dict[str, list[str]] | None = None

    @classmethod
    def adopt(cls, fields: list[tuple[str, str]]) -> Headers:
        """Headers that own the given list, without a copy."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._index = None
        return headers

    @classmethod
    def adopt_indexed(cls, fields: list[tuple[str, str]], index: dict[str, list[str]]) -> Headers:
        """The same with the index of `by_key`, which somebody has made already."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._index = index
        return headers

    @property
    def by_key(self) -> dict[str, list[str]]:
        """Field values by `header_key`; to be read only, and anew after a change."""
        index = self._index
        if index is None:
            index = self._index = {}
            known = _KEYS
            for name, value in self._fields:
                key = known.get(name) or header_key(name)
                if key in index:
                    index[key].append(value)
                else:
                    index[key] = [value]
        return index

    def get(self, name: str) -> str | None:
        """Value of the first field of that name, whole; None where there is none."""
        values = self.by_key.get(header_key(name))
        return values[0] if values else None

    def get_fields(self, name: str) -> list[str]:
        """Values of the fields of that name, one per field, not split."""
        return list(self.by_key.get(header_key(name), ()))

    def get_all(self, name: str) -> list[str]:
        """Elements of that header over all its fields, in order; empty elements of lists are left out."""
        key = header_key(name)
        values = self.by_key.get(key)
        if not values:
            return []
        if key not in LIST_HEADERS:
            return list(values)
        return [element for value in values for element in split_list(value) if element]

    def first(self, name: str) -> str | None:
        """The first element (the topmost Via, the first Route), None where there is none."""
        value = self.get(name)
        if value is None or ("," not in value and value):
            return value
        elements = self.get_all(name)
        return elements[0] if elements else None

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        self._fields.append((name, value))
        self._index = None

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others, as a proxy does with its Via."""
        self._fields.insert(0, (name, value))
        self._index = None

    def set(self, name: str, value: str) -> None:
        """Make that the only field of its name, in the place of the first that there was, else at the end."""
        key = header_key(name)
        fields: list[tuple[str, str]] = []
        placed = False
        for field in self._fields:
            if header_key(field[0]) != key:
                fields.append(field)
            elif not placed:
                fields.append((name, value))
                placed = True
        if not placed:
            fields.append((name, value))
        self._fields = fields
        self._index = None

    def set_first(self, name: str, value: str) -> None:
        """Replace the first element of a list header (the topmost Via) and leave all others as they are."""
        key = header_key(name)
        for position, (spelling, old) in enumerate(self._fields):
            if header_key(spelling) == key:
                rest = split_list(old)[1:] if key in LIST_HEADERS else []
                self._fields[position] = (spelling, ", ".join([value, *rest]))
                self._index = None
                return
        self.prepend(name, value)

    def remove(self, name: str) -> None:
        """Remove every field of that name; none is no error."""
        key = header_key(name)
        self._fields = [field for field in self._fields if header_key(field[0]) != key]
        self._index = None

    def extend(self, fields: Iterable[tuple[str, str]]) -> None:
        """Append several fields."""
        self._fields.extend(fields)
        self._index = None

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and header_key(name) in self.by_key

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"

    # Typed access, parsed when asked for. Each raises SipSyntaxError for a value that breaks the grammar, and
    # LookupError for a header that every message must have and this one has not.

    def _required(self, key: str) -> str:
        values = self.by_key.get(key)
        if not values:
            raise LookupError(f"no {key} header")
        return values[0]

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self._required("call-id")

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        return CSeq.parse(self._required("cseq"))

    @property
    def from_(self) -> NameAddr:
        """The From."""
        return NameAddr.parse(self._required("from"))

    @property
    def to(self) -> NameAddr:
        """The To."""
        return NameAddr.parse(self._required("to"))

    @property
    def via(self) -> list[Via]:
        """All Vias, topmost first."""
        return [Via.parse(element) for element in self.get_all("via")]

    @property
    def top_via(self) -> Via:
        """The topmost Via."""
        element = self.first("via")
        if element is None:
            raise LookupError("no via header")
        return Via.parse(element)

    @property
    def contact(self) -> list[NameAddr]:
        """All Contacts but `*`, which `is_wildcard_contact` tells."""
        return [NameAddr.parse(element) for element in self.get_all("contact") if element != "*"]

    @property
    def is_wildcard_contact(self) -> bool:
        """True for `Contact: *` (RFC 3261 section 10.2.2)."""
        return self.get_all("contact") == ["*"]

    @property
    def route(self) -> list[NameAddr]:
        """The route set of this request, first hop first."""
        return [NameAddr.parse(element) for element in self.get_all("route")]

    @property
    def rseq(self) -> int | None:
        """The RSeq of a reliable response (RFC 3262 section 3), which requires 100rel and has a number."""
        if not self.has_option("require", "100rel"):
            return None
        return self.number("rseq", 2**32 - 1) or None

    @property
    def rack(self) -> RAck:
        """The RAck of a PRACK."""
        return RAck.parse(self._required("rack"))

    def has_option(self, name: str, tag: str) -> bool:
        """Whether an option tag is in Supported, Require or the like (in any case, RFC 3261 7.3.1)."""
        return name in self and any(found.lower() == tag for found in self.get_all(name))

    @property
    def content_type(self) -> MediaType | None:
        """The Content-Type, None where there is none."""
        text = self.get("content-type")
        return MediaType.parse(text) if text else None

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255; None where it is absent or out of range (RFC 4475 section 3.1.2.4)."""
        return self.number("max-forwards", 255)

    @property
    def expires(self) -> int | None:
        """Expires in seconds; None where it is absent or out of range (RFC 4475 section 3.1.2.4)."""
        return self.number("expires", 2**32 - 1)

    def number(self, name: str, maximum: int) -> int | None:
        """A header that is a number from 0 to maximum (parameters after it are left out), None for all
        else."""
        text = self.get(name)
        return None if text is None else parse_number(text.partition(";")[0].strip(" \t"), maximum)
