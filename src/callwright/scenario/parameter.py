"""The types of parameters: how each is read, shown, explained and bounded.

A type reads a node of the document (or the text of an override) and raises Refusal with a sentence that
names the value and what is permitted. The same types fill the reference, the form of an editor and the
answers of the API.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from callwright.audio.codecs import RECEIVE_ONLY, CodecError, only_received
from callwright.scenario.source import Block, Items, Node, Refusal, Text, did_you_mean, quoted
from callwright.sip.edits import is_removal
from callwright.sip.headers import Unfit, unfit

CODECS = ("PCMU", "PCMA", "G722", "opus", "AMR", *(row.name for row in RECEIVE_ONLY))
SOUNDS = ("speech", "tone", "silence")
PRACK = ("no", "offered", "required")
DTMF_BY = ("event", "dtmf-relay", "dtmf", "inband")
OFFER_BY = ("reinvite", "update")
REFRESHERS = ("local", "remote")
TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def _text(node: Node, wanted: str) -> str:
    if isinstance(node, Text):
        if _CONTROLS.search(node.value.strip()):
            raise Refusal("Control characters and line breaks are not permitted here.", mark=node.mark)
        return node.value.strip()
    shape = "a list" if isinstance(node, Items) else "a block of keys"
    raise Refusal(f"This is {shape}; {wanted} is wanted.", mark=node.mark)


def _number(text: str, what: str) -> float:
    """A decimal number, without the extras of ``float()`` (nan, inf, 1e400, 1_000)."""
    if re.fullmatch(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})", text):
        return float(text)
    if re.fullmatch(r"[+-]?\d{1,15},\d{1,15}", text):
        raise Refusal(f"{text} is not a number. Write {text.replace(',', '.')}, with a point.", key=text)
    raise Refusal(f"{quoted(text)} is not {what}.", key=text)


def _figure(value: float) -> str:
    return f"{value:.12g}"


@dataclass(frozen=True)
class ParameterType:
    """What all types share. ``name`` is for people: "duration", "codec list"."""

    name: ClassVar[str] = "text"
    unit: ClassVar[str | None] = None

    def read(self, node: Node) -> Any:
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """The value as one would write it in a document."""
        return "" if value is None else str(value)

    def plain(self, value: Any) -> Any:
        """The value for JSON."""
        return value

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return None, None

    @property
    def choices(self) -> tuple[str, ...]:
        return ()

    def permitted(self) -> str:
        """What is permitted, for the reference: "0 s to 3600 s", "PCMU, PCMA"."""
        low, high = self.bounds
        unit = f" {self.unit}" if self.unit else ""
        if low is not None and high is not None:
            return f"{_figure(low)}{unit} to {_figure(high)}{unit}"
        return ", ".join(self.choices)


@dataclass(frozen=True)
class Words(ParameterType):
    """Free text on one line."""

    name: ClassVar[str] = "text"
    max_length: int = 1024

    def read(self, node: Node) -> str:
        text = _text(node, "a text")
        if len(text) > self.max_length:
            raise Refusal(f"This has {len(text)} characters; at most {self.max_length} are permitted.")
        return text


@dataclass(frozen=True)
class Secret(Words):
    name: ClassVar[str] = "secret"

    def show(self, value: Any) -> str:
        return "(secret)" if value else ""

    def plain(self, value: Any) -> Any:
        return "(secret)" if value else None


@dataclass(frozen=True)
class Destination(Words):
    """A number, a user, ``user@host``, a SIP URI, or the name of a party."""

    name: ClassVar[str] = "destination"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        if not text:
            raise Refusal("A destination is empty. Write a number, a SIP URI, or the name of a party.")
        phone_number = re.fullmatch(r"\+?[\d\s().\-/]+", text)
        address = re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", text)
        if phone_number and not address:
            return re.sub(r"[\s().\-/]", "", text)
        if re.search(r"[\s<>\"]", text):
            raise Refusal(f"{quoted(text)} cannot be dialled: it has a space, a quote or an angle bracket.")
        return text


@dataclass(frozen=True)
class Host(Words):
    """``pbx.example.com``, ``192.0.2.10:5080``, ``[2001:db8::1]:5060``."""

    name: ClassVar[str] = "host"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        bare = re.sub(r"^sips?:", "", text)
        pattern = r"(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?"
        if text and not re.fullmatch(pattern, bare):
            raise Refusal(
                f"{quoted(text)} is not a host. Write pbx.example.com, 192.0.2.10:5060 or [2001:db8::1]."
            )
        port = re.search(r":(\d+)$", bare) if not bare.endswith("]") else None
        if port and not 1 <= int(port[1]) <= 65535:
            raise Refusal(f"{port[1]} is not a port. Permitted: 1 to 65535.")
        return bare


@dataclass(frozen=True)
class UrlPath(Words):
    """Of a URL, from its first ``/``."""

    name: ClassVar[str] = "path"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        if not re.fullmatch(r"/[!-~]*", text):
            raise Refusal(f"{quoted(text)} is not a path. Write one that begins with /, such as /ws.")
        return text


@dataclass(frozen=True)
class PartyName(Words):
    name: ClassVar[str] = "party"


@dataclass(frozen=True)
class Number(ParameterType):
    name: ClassVar[str] = "number"
    minimum: float = 0
    maximum: float = 1e9

    def read(self, node: Node) -> float:
        return self._bounded(_number(_text(node, "a number"), "a number"))

    def _bounded(self, value: float) -> float:
        if not self.minimum <= value <= self.maximum:
            raise Refusal(
                f"{_figure(value)} is out of range. Permitted: {self.permitted()}.", key=_figure(value)
            )
        return value

    def show(self, value: Any) -> str:
        return "" if value is None else _figure(value)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return self.minimum, self.maximum


@dataclass(frozen=True)
class Integer(Number):
    name: ClassVar[str] = "whole number"

    def read(self, node: Node) -> int:
        text = _text(node, "a whole number")
        if not re.fullmatch(r"[+-]?\d{1,15}", text):
            raise Refusal(f"{quoted(text)} is not a whole number.", key=text)
        return int(self._bounded(int(text)))


@dataclass(frozen=True)
class Mos(Number):
    name: ClassVar[str] = "MOS"
    minimum: float = 1
    maximum: float = 5


@dataclass(frozen=True)
class Percent(Number):
    """Percent, with or without the sign: ``90``, ``90 %``."""

    name: ClassVar[str] = "percentage"
    unit: ClassVar[str | None] = "%"
    minimum: float = 0
    maximum: float = 100

    def read(self, node: Node) -> float:
        figure = _text(node, "a percentage").removesuffix("%").rstrip()
        return self._bounded(_number(figure, "a percentage"))


_SECONDS_IN = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0}
_SECONDS_IN |= {"m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}


def read_duration(text: str) -> float:
    """Seconds from ``2``, ``2 s``, ``250 ms``, ``1.5 min``, ``1 h``. Raises Refusal."""
    match = re.fullmatch(r"([+-]?[\d.,]+)\s*([A-Za-z]*)", text)
    if match is None:
        raise Refusal(f"{quoted(text)} is not a duration. Write 2 s, 250 ms or 1.5 min.", key=text)
    if match[2].lower() not in _SECONDS_IN:
        raise Refusal(f"{quoted(match[2])} is not a unit of time. Permitted: ms, s, min, h.", key=match[2])
    return round(_number(match[1], "a duration") * _SECONDS_IN[match[2].lower()], 6)


@dataclass(frozen=True)
class Duration(Number):
    """Seconds, or with a unit: ``2``, ``2 s``, ``250 ms``, ``1.5 min``."""

    name: ClassVar[str] = "duration"
    unit: ClassVar[str | None] = "s"
    maximum: float = 86400

    def read(self, node: Node) -> float:
        value = read_duration(_text(node, "a duration"))
        if not self.minimum <= value <= self.maximum:
            raise Refusal(f"{_figure(value)} s is out of range. Permitted: {self.permitted()}.")
        return value

    def show(self, value: Any) -> str:
        if value is None:
            return ""
        return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:g} s"


@dataclass(frozen=True)
class Seconds(Integer):
    """Whole seconds, as an expiry is on the wire; ``1 h`` is read too."""

    name: ClassVar[str] = "whole seconds"
    unit: ClassVar[str | None] = "s"

    def read(self, node: Node) -> int:
        value = read_duration(_text(node, "a duration"))
        if value != int(value):
            raise Refusal(f"{_figure(value)} s is not a whole number of seconds.")
        return int(self._bounded(value))


@dataclass(frozen=True)
class Rate(Number):
    """Events a second; ``6 per minute`` and ``2/s`` are read too."""

    name: ClassVar[str] = "rate"
    unit: ClassVar[str | None] = "calls/s"
    minimum: float = 0.001
    maximum: float = 10000

    def read(self, node: Node) -> float:
        text = _text(node, "a rate")
        match = re.fullmatch(r"([+-]?[\d.,]+)(?:\s*(?:calls?)?\s*(?:/|per)\s*([a-z]+))?", text)
        if match is None:
            raise Refusal(f"{quoted(text)} is not a rate. Write 2, 2/s or 6 per minute.", key=text)
        period = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
        if match[2] and match[2] not in period:
            raise Refusal(f"{quoted(match[2])} is not a unit of time. Permitted: s, min, h.", key=match[2])
        return self._bounded(round(_number(match[1], "a rate") / period[match[2] or "s"], 6))


@dataclass(frozen=True)
class Boolean(ParameterType):
    name: ClassVar[str] = "yes or no"

    def read(self, node: Node) -> bool:
        text = _text(node, "yes or no")
        if text.lower() in ("yes", "true", "on", "1"):
            return True
        if text.lower() in ("no", "false", "off", "0"):
            return False
        raise Refusal(f"{quoted(text)} is neither yes nor no.", permitted=("yes", "no"), key=text)

    def show(self, value: Any) -> str:
        return "" if value is None else "yes" if value else "no"

    @property
    def choices(self) -> tuple[str, ...]:
        return ("yes", "no")


@dataclass(frozen=True)
class Choice(ParameterType):
    name: ClassVar[str] = "choice"
    names: tuple[str, ...] = ()
    noun: str = "choice"  # "codec", for the sentence

    def read(self, node: Node) -> str:
        return self._one(_text(node, f"a {self.noun}"))

    def _one(self, text: str) -> str:
        for name in self.names:
            if name.lower() == text.lower():
                return name
        tail, near = did_you_mean(text, self.names)
        raise Refusal(
            f"{quoted(text)} is not a {self.noun} we have.{tail}",
            permitted=self.names,
            nearest=near,
            key=text,
        )

    @property
    def choices(self) -> tuple[str, ...]:
        return self.names


@dataclass(frozen=True)
class Codecs(Choice):
    """Codecs in order of preference: ``[PCMA, PCMU]`` or ``PCMA, PCMU``."""

    name: ClassVar[str] = "codec list"
    names: tuple[str, ...] = CODECS
    noun: str = "codec"

    def read(self, node: Node) -> Any:
        parts: list[Text] = []
        for item in node.items if isinstance(node, Items) else (node,):
            words = _text(item, "a codec").split(",")
            parts += [Text(word.strip(), item.mark) for word in words if word.strip()]
        found: list[str] = []
        for part in parts:
            try:
                codec = self._one(part.value)
            except Refusal as refusal:
                refusal.mark = part.mark
                raise
            if codec in found:
                raise Refusal(f"{codec} is in the list twice.", mark=part.mark, key=part.value)
            found.append(codec)
        if not found:
            raise Refusal("The list of codecs is empty.", permitted=self.names)
        try:
            only_received(found)
        except CodecError as error:
            raise Refusal(f"{error}.") from None
        return tuple(found)

    def show(self, value: Any) -> str:
        return f"[{', '.join(value)}]" if value else ""

    def plain(self, value: Any) -> Any:
        return list(value or ())


@dataclass(frozen=True)
class Sound(ParameterType):
    """What to play: speech, tone, silence, or the path of a WAV file."""

    name: ClassVar[str] = "sound"

    def read(self, node: Node) -> str:
        text = _text(node, "a sound")
        if text.lower() in SOUNDS:
            return text.lower()
        if text.lower().endswith(".wav"):
            return text
        tail, near = did_you_mean(text, SOUNDS)
        message = f"{quoted(text)} is not a sound.{tail[:-1]}, or a path that ends in .wav."
        raise Refusal(message, permitted=SOUNDS, nearest=near, key=text)

    @property
    def choices(self) -> tuple[str, ...]:
        return SOUNDS

    def permitted(self) -> str:
        return f"{', '.join(SOUNDS)}, or a path to a .wav file"


@dataclass(frozen=True)
class Digits(Words):
    """DTMF: 0 to 9, A to D, * and #; a comma is a pause of a second."""

    name: ClassVar[str] = "digits"

    def read(self, node: Node) -> str:
        text = Words.read(self, node).upper().replace(" ", "")
        wrong = re.search(r"[^0-9A-D*#,]", text)
        if wrong:
            raise Refusal(
                f"{quoted(wrong[0])} is not a DTMF digit. Permitted: 0 to 9, A to D, *, # and comma."
            )
        return text


@dataclass(frozen=True)
class Headers(ParameterType):
    """Extra headers: a block ``{X-Test: yes}``, or a list of ``Name: value`` texts."""

    name: ClassVar[str] = "headers"
    free: bool = False  # any header, and `-Name`, which leaves one out
    MOST: ClassVar[int] = 100
    MOST_CHARACTERS: ClassVar[int] = 16_384

    def read(self, node: Node) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for item in node.items if isinstance(node, Items) else (node,):
            if isinstance(item, Block):
                found += [self._one(key.value, _text(value, "a text"), key) for key, value in item.entries]
            else:
                name, colon, value = _text(item, "a header").partition(":")
                if not colon and self.free and is_removal(name.strip()):
                    found.append(self._one(name.strip(), "", item))  # type: ignore[arg-type]
                    continue
                if not colon:
                    message = f"{quoted(name)} is not a header. Write X-Name: value."
                    raise Refusal(message, mark=item.mark, key=name)
                assert isinstance(item, Text)
                found.append(self._one(name.strip(), value.strip(), item))
        if (
            len(found) > self.MOST
            or sum(len(name) + len(value) for name, value in found) > self.MOST_CHARACTERS
        ):
            raise Refusal(
                f"At most {self.MOST} headers of {self.MOST_CHARACTERS} characters together are permitted."
            )
        return tuple(found)

    def _one(self, name: str, value: str, at: Text) -> tuple[str, str]:
        match unfit(name, value):
            case Unfit.NAME:
                message = f"{quoted(name)} is not the name of a header."
            case Unfit.RESERVED if not self.free:
                message = f"{name} is written by the call itself and cannot be set."
            case Unfit.VALUE:
                message = "Control characters and line breaks are not permitted here."
            case _:
                return name, value
        raise Refusal(message, mark=at.mark, key=name)

    def show(self, value: Any) -> str:
        return ", ".join(self.plain(value))

    def plain(self, value: Any) -> Any:
        return [name if is_removal(name) else f"{name}: {text}" for name, text in value or ()]


@dataclass(frozen=True)
class Parameter:
    """One parameter of an action, a party or the document."""

    name: str
    type: ParameterType
    help: str
    default: Any = None  # as a value, not as text
    required: bool = False
    default_text: str = ""  # words for a default that is worked out, such as "the first party"

    @property
    def shown_default(self) -> str:
        if self.default_text or self.required:
            return self.default_text
        return self.type.show(self.default)


def parameter(
    kind: ParameterType, help_text: str, *, default: Any = dataclasses.MISSING, default_text: str = ""
) -> Any:
    """A dataclass field that is a parameter; without ``default`` it is required."""
    metadata: Mapping[str, Any] = {"parameter": (kind, help_text, default_text)}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parameters_of(kind: type) -> tuple[Parameter, ...]:
    """The parameters that a dataclass declares, in order."""
    found = []
    for entry in dataclasses.fields(kind):
        if "parameter" in entry.metadata:
            type_, help_, default_text = entry.metadata["parameter"]
            required = entry.default is dataclasses.MISSING
            default = None if required else entry.default
            found.append(Parameter(entry.name, type_, help_, default, required, default_text))
    return tuple(found)


@dataclass(frozen=True)
class ParameterView:
    """A parameter where it stands in a test: what ``GET /tests`` lists and an editor's form is made from."""

    address: str  # "step.1.0.dial_destination"
    name: str
    action: str | None  # "call"; None for a parameter of the document or of a party
    type: str
    default: Any
    value: Any
    given: bool  # written in the document or overridden
    required: bool
    unit: str | None
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    help: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"choices": list(self.choices)}


def view(spec: Parameter, address: str, action: str | None, value: Any, *, given: bool) -> ParameterView:
    low, high = spec.type.bounds
    return ParameterView(
        address,
        spec.name,
        action,
        spec.type.name,
        None if spec.default is None else spec.type.plain(spec.default),
        None if value is None else spec.type.plain(value),
        given,
        spec.required,
        spec.type.unit,
        low,
        high,
        spec.type.choices,
        spec.help,
    )
