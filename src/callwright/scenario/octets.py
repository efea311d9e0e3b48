"""Bodies and whole messages in documents: any octets, in several lines or as base64."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from callwright.scenario.parameter import ParameterType, Words
from callwright.scenario.source import Node, Refusal, Text, quoted

__all__ = ["MediaTypeName", "Octets"]

_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+/[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*;[^\x00-\x1f\x7f]*)?")


@dataclass(frozen=True)
class Octets(ParameterType):
    """A text, whose lines end in CRLF when they are sent; or octets, as ``base64:AAEC``."""

    name: ClassVar[str] = "octets"
    most: int = 16_384

    def read(self, node: Node) -> bytes:
        if not isinstance(node, Text):
            raise Refusal("This is no text; octets are wanted.", mark=node.mark)
        value = node.value
        if value.startswith("base64:"):
            try:
                found = base64.b64decode("".join(value[7:].split()), validate=True)
            except (binascii.Error, ValueError):
                raise Refusal("This is no base64.", mark=node.mark) from None
        else:
            found = value.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        if len(found) > self.most:
            raise Refusal(f"This has {len(found)} octets; at most {self.most} are permitted.", mark=node.mark)
        return found

    def show(self, value: Any) -> str:
        if not value:
            return ""
        try:
            return str(value.decode()).replace("\r\n", "\n")
        except UnicodeDecodeError:
            return f"base64:{base64.b64encode(value).decode()}"

    def plain(self, value: Any) -> Any:
        return self.show(value)


@dataclass(frozen=True)
class MediaTypeName(Words):
    """``application/pidf+xml``, with parameters where it has any."""

    name: ClassVar[str] = "media type"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        if text and _TYPE.fullmatch(text) is None:
            raise Refusal(f"{quoted(text)} is no media type. Write application/pidf+xml.", key=text)
        return text
