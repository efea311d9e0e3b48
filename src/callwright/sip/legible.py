"""Text of messages for those who take nothing but UTF-8: JSON, XML, databases."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["legible", "legible_values"]

_ILL = re.compile("[\0\ud800-\udfff]")


def legible(text: str) -> str:
    """Octets that are not UTF-8 (lone surrogates here) as U+FFFD, and NUL too, which comes out of `%00` and
    which no database keeps."""
    return _ILL.sub("\ufffd", text)


def legible_values(value: Any) -> Any:
    """The same for every text in lists, tuples and mappings, keys too."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, dict):
        return {legible_values(key): legible_values(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [legible_values(one) for one in value]
    return value
