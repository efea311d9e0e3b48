"""Messages as octets, and octets as messages."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from callwright.sip.legible import legible_values

T = TypeVar("T")

CHUNK_BYTES = 512 * 1024
"""Octets of a file or a result in one message at most."""


class BadMessage(ValueError):
    """Octets that are not the message that was expected; the text is a sentence."""


class NotNow(BadMessage):
    """An empty answer: the database is away, ask again."""


class Octets(msgspec.Struct, frozen=True):
    """A message that carries octets: MessagePack does not blow them up as JSON would."""


class Answer(msgspec.Struct, frozen=True):
    """`accepted`: the database has it. Otherwise `reason`; `superseded`: it is too late, do not repeat it."""

    accepted: bool
    superseded: bool = False
    reason: str = ""


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Octets of a peer that are not UTF-8 go as U+FFFD: no text of a phone stops a message."""
    encoder = _msgpack if isinstance(message, Octets) else _json
    try:
        return encoder.encode(message)
    except UnicodeEncodeError:
        return encoder.encode(legible_values(_plain(message)))


def encode_json(value: Any) -> bytes:
    """Any value of JSON, with the same care."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return _json.encode(legible_values(msgspec.to_builtins(value)))


def _plain(message: msgspec.Struct) -> Any:
    """As mappings and lists; octets stay octets where they travel as such."""
    return msgspec.to_builtins(message, builtin_types=(bytes,) if isinstance(message, Octets) else ())


def decode(kind: type[T], data: bytes) -> T:
    """Raises BadMessage with what is wrong, NotNow when there is nothing at all."""
    if not data:
        raise NotNow("there is no answer now; it is to be asked again")
    try:
        if issubclass(kind, Octets):
            return msgspec.msgpack.decode(data, type=kind)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage(f"this is no {kind.__name__}: {error}") from None
