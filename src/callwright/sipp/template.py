"""The texts of a scenario: lines with keywords in brackets, which each call fills in anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "KNOWN",
    "Keyword",
    "Template",
    "TemplateError",
    "credentials_of",
    "message_template",
    "text_template",
]

_KEYWORD = re.compile(r"\[([^\[\]\r\n]{1,500})\]")
_NAME = re.compile(r"(?P<name>[A-Za-z_][\w.-]*?)(?P<offset>[+-]\d{1,9})?(?P<rest>\s.*)?")
_PARAMETER = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s\]]+))""")
_FIELD = re.compile(r"field(\d{1,3})")

#: Keywords that this house fills in, besides [last_…], [fieldN], [$variable] and those given with --key.
KNOWN = frozenset(
    {
        *("service", "remote_ip", "remote_host", "remote_port", "server_ip", "transport"),
        *("local_ip", "local_ip_type", "local_port", "media_ip", "media_ip_type", "media_port"),
        *("auto_media_port", "rtpstream_audio_port", "len", "call_number", "call_id", "cseq", "branch"),
        *("msg_index", "pid", "peer_tag_param", "routes", "next_url", "authentication", "timestamp"),
        *("clock_tick", "sipp_version", "users", "userid", "dynamic_id"),
    }
)


class TemplateError(ValueError):
    """A keyword that is not known; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """`[name+offset key=value …]` as written in `source`. `last_Via` keeps its colon in `name`."""

    name: str
    source: str
    offset: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)


Fill = Callable[[Keyword], str | None]
"""What a keyword stands for; None: it stands for nothing, and its line is left out."""


@dataclass(frozen=True, slots=True)
class Template:
    """Lines, each of text and keywords. `body_at`: index of the first line behind the empty one, -1: none."""

    lines: tuple[tuple[str | Keyword, ...], ...]
    body_at: int = -1

    def fill(self, fill: Fill) -> str:
        """The text, with CRLF between its lines. `[len]` is the octets behind the first empty line,
        in five columns as SIPp has it."""
        body = self._part(self.lines[self.body_at :], fill) if self.body_at >= 0 else []
        octets = sum(len(line.encode("utf-8", "surrogateescape")) + 2 for line in body)

        def with_length(keyword: Keyword) -> str | None:
            return f"{octets + keyword.offset:5d}" if keyword.name == "len" else fill(keyword)

        head = self._part(self.lines[: self.body_at] if self.body_at >= 0 else self.lines, with_length)
        return "\r\n".join([*head, *body])

    def _part(self, lines: tuple[tuple[str | Keyword, ...], ...], fill: Fill) -> list[str]:
        found = []
        for line in lines:
            parts: list[str] = []
            for part in line:
                said = part if isinstance(part, str) else fill(part)
                if said is None:
                    break
                parts.append(said)
            else:
                text = "".join(parts)
                if text or not any(isinstance(part, Keyword) for part in line):
                    found.append(text)
        return found

    @property
    def keywords(self) -> list[Keyword]:
        return [part for line in self.lines for part in line if isinstance(part, Keyword)]


def text_template(text: str, given: frozenset[str] = frozenset()) -> Template:
    """One line, of an action. Raises TemplateError."""
    return Template((_parts(text.strip(), given),))


def message_template(text: str, given: frozenset[str] = frozenset()) -> Template:
    """A message as a scenario has it: what stands before each line, and around all, is indentation. `given`:
    keywords of the one who runs it. Raises TemplateError."""
    lines = [line.lstrip(" \t").rstrip("\r") for line in text.strip("\r\n \t").split("\n")]
    parsed = tuple(_parts(line, given) for line in lines)
    at = next((index for index, line in enumerate(lines) if not line), -1)
    return Template(parsed, -1 if at < 0 or at + 1 >= len(lines) else at + 1)


def _parts(line: str, given: frozenset[str]) -> tuple[str | Keyword, ...]:
    parts: list[str | Keyword] = []
    done = 0
    for match in _KEYWORD.finditer(line):
        keyword = _keyword(match.group(1).strip(), match.group(0), given)
        if keyword is None:
            continue
        if match.start() > done:
            parts.append(line[done : match.start()])
        parts.append(keyword)
        done = match.end()
    if done < len(line):
        parts.append(line[done:])
    return tuple(parts)


def credentials_of(text: str) -> Keyword | None:
    """A field of an injection file that is `[authentication username=… password=…]`, as SIPp has it."""
    text = text.strip()
    if not (text.startswith("[authentication") and text.endswith("]")):
        return None
    return _keyword(text[1:-1].strip(), text, frozenset())


def _keyword(text: str, source: str, given: frozenset[str]) -> Keyword | None:
    """None: brackets that are none, as around an IPv6 address."""
    if text.startswith("$"):
        return Keyword(text, source)
    if text.startswith("last_"):
        match = re.fullmatch(r"(last_[\w.-]+?)([+-]\d{1,9})?(:?)", text)
        if match is None:
            raise TemplateError(f"{source} names no header.")
        return Keyword(match.group(1) + match.group(3), source, int(match.group(2) or 0))
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    name, rest = match.group("name"), match.group("rest") or ""
    parameters = {key: a or b or c for key, a, b, c in _PARAMETER.findall(rest)}
    offset = int(match.group("offset") or 0)
    numbered = _FIELD.fullmatch(name)
    if numbered is not None:
        return Keyword("field", source, int(numbered.group(1)), parameters)
    if name not in KNOWN and name not in given:
        raise TemplateError(f"{source} is not a keyword that is known here.")
    return Keyword(name, source, offset, parameters)
