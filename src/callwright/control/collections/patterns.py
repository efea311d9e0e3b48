"""Patterns of `like`: `%` is any text, `_` one character, a backslash makes either stand for itself."""

from __future__ import annotations

import re

__all__ = ["fold", "literal", "matcher", "normal"]

_TOKEN = re.compile(r"\\[\\%_]|[%_]|[^%_\\]+|\\", re.DOTALL)


def normal(pattern: str) -> str:
    """The same with a backslash only before `%`, `_` and itself, as every database reads it. A pattern
    without a wildcard matches anywhere."""
    tokens = _TOKEN.findall(pattern)
    text = "".join("\\\\" if token == "\\" else token for token in tokens)
    return text if any(token in ("%", "_") for token in tokens) else f"%{text}%"


def literal(text: str) -> str:
    """A part of a pattern in which every character stands for itself."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def fold(text: str) -> str:
    """Case does not matter; nor does the form that a sigma has at the end of a word, since there the letters
    around it decide what its lower case is."""
    return text.lower().replace("ς", "σ")


def matcher(pattern: str) -> re.Pattern[str]:
    """For texts that were folded. ``pattern``: a normal one."""
    parts = {"%": ".*", "_": "."}
    tokens = _TOKEN.findall(fold(pattern))
    found = "".join(parts.get(token) or re.escape(token.removeprefix("\\") or "\\") for token in tokens)
    return re.compile(found, re.DOTALL)
