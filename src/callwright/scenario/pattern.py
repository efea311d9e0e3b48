"""Regular expressions that documents give, searched in a time that grows with the text alone.

RE2 does it where it has a wheel. Elsewhere the `regex` module searches, with a time limit; `_Reading` then
reads RE2's syntax (https://github.com/google/re2/wiki/Syntax), refuses the rest, and writes it for `regex`.
So a document means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

MAX_MEMORY = 1 << 20  # octets that one compiled pattern may take
MAX_TEXT = 2_048  # characters of a text that are searched
MAX_REPEAT = 1_000
SEARCH_SECONDS = 0.1  # of the `regex` module; RE2 needs no limit


class PatternError(ValueError):
    """Not a regular expression that RE2 reads; the text says why."""


class PatternTimeout(Exception):
    """The fallback gave up, so it is unknown whether the pattern matches."""


class _Engine(Protocol):
    def search(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression as a document gives it, ready to be searched for."""

    text: str
    ignore_case: bool
    _engine: _Engine = field(compare=False, repr=False)

    def search(self, text: str) -> bool:
        """Whether it matches somewhere in the first MAX_TEXT characters. Raises PatternTimeout."""
        return self._engine.search(text[:MAX_TEXT].encode("utf-8", "replace").decode())


@lru_cache(maxsize=512)
def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Raises PatternError for what RE2 does not read, or what takes more than MAX_MEMORY."""
    return Pattern(text, ignore_case, _compile(text, ignore_case))


class _Re2:
    __slots__ = ("_found",)

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        import re2

        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = not ignore_case
        options.max_mem = MAX_MEMORY
        options.never_capture = True
        try:
            self._found: Callable[[str], Any] = re2.compile(pattern, options).search
        except re2.error as error:
            said = error.args[0] if error.args else "it cannot be read"
            raise PatternError(said.decode("utf-8", "replace") if isinstance(said, bytes) else said) from None
        except UnicodeEncodeError:
            raise PatternError("it has half of a surrogate pair") from None

    def search(self, text: str) -> bool:
        return self._found(text) is not None


class _Regex:
    __slots__ = ("_found",)

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        import regex

        written = _Reading(pattern, ignore_case).whole()
        try:
            self._found: Callable[..., Any] = regex.compile(written, regex.VERSION0).search
        except regex.error as error:
            raise PatternError(str(error)) from None

    def search(self, text: str) -> bool:
        try:
            return self._found(text, timeout=SEARCH_SECONDS) is not None
        except TimeoutError:
            raise PatternTimeout from None


def _engine() -> Callable[[str, bool], _Engine]:
    try:
        import re2  # noqa: F401
    except ImportError:
        return _Regex
    return _Re2


_compile = _engine()

_WORD, _DIGIT, _SPACE = "0-9A-Za-z_", "0-9", r"\t\n\f\r "
_PERL = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": _DIGIT,
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": _WORD,
    "xdigit": "0-9A-Fa-f",
}
_CONTROL = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_EDGE = f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))"
_NO_EDGE = f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))"
_REPEAT = re.compile(r"\*|\+|\?|\{(\d{1,9})(,(\d{0,9}))?\}")
_GROUP = re.compile(r"\(\?(?:P?<([^>]*)>|([imsU]*)(?:-([imsU]+))?([:)]))")
_OCTAL, _HEX = (
    re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}"),
    re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})"),
)
_PROPERTY = re.compile(r"([pP])(?:([A-Za-z])|\{(\^?)([A-Za-z_]+)\})")


class _Reading:
    """RE2's syntax, read from left to right and written for the `regex` module."""

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self.text, self.at = pattern, 0
        self.flags = frozenset("i" if ignore_case else "")

    def whole(self) -> str:
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise PatternError("it has half of a surrogate pair") from None
        written, _ = self._alternatives(0)
        if self.at < len(self.text):
            raise PatternError(f"unexpected ): {self.text}")
        return written

    def _alternatives(self, depth: int) -> tuple[str, int]:
        """Up to the end of the group; with the product of its counted repeats."""
        if depth > 200:
            raise PatternError("it nests too deep")
        flags = self.flags
        branches: list[list[tuple[str, int]]] = [[]]
        while self.at < len(self.text) and self.text[self.at] != ")":
            if self.text[self.at] == "|":
                self.at += 1
                branches.append([])
            elif found := self._repeat_here():
                if not branches[-1]:
                    raise PatternError(f"no argument for repetition operator: {found[0]}")
                branches[-1].append(self._repeated(found, *branches[-1].pop()))
            elif self.text.startswith(r"\Q", self.at):
                branches[-1] += [(self._fold(re.escape(character)), 1) for character in self._quotation()]
            else:
                atom, times = self._atom(depth)
                if atom is not None:  # else flags alone
                    branches[-1].append((atom, times))
        self.flags = flags
        written = "|".join("".join(atom for atom, _ in branch) for branch in branches)
        return written, max((times for branch in branches for _, times in branch), default=1)

    def _repeated(self, found: re.Match[str], atom: str, times: int) -> tuple[str, int]:
        self.at = found.end()
        count = found[0]
        if found[1] is not None:
            least = int(found[1])
            highest = int(found[3]) if found[3] else least
            if max(least, highest) > MAX_REPEAT or highest < least or times * highest > MAX_REPEAT:
                raise PatternError(f"invalid repetition size: {found[0]}")
            times *= max(highest, 1)
        lazy = self.text[self.at : self.at + 1] == "?"
        self.at += lazy
        if self._repeat_here():
            raise PatternError(f"bad repetition operator: {self.text[found.start() : self.at + 1]}")
        return f"(?:{atom}){count}{'?' if lazy != ('U' in self.flags) else ''}", times

    def _repeat_here(self) -> re.Match[str] | None:
        return _REPEAT.match(self.text, self.at)

    def _atom(self, depth: int) -> tuple[str | None, int]:
        character = self.text[self.at]
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._fold(self._class()), 1
        if character == "\\":
            return self._escape(), 1
        self.at += 1
        if character == ".":
            return (r"(?s:.)" if "s" in self.flags else r"[^\n]"), 1
        if character == "^":
            return (r"(?m:^)" if "m" in self.flags else r"\A"), 1
        if character == "$":
            return (r"(?m:$)" if "m" in self.flags else r"\Z"), 1
        return self._fold(re.escape(character)), 1

    def _fold(self, atom: str) -> str:
        return f"(?i:{atom})" if "i" in self.flags else atom

    def _group(self, depth: int) -> tuple[str | None, int]:
        start = self.at
        outer = self.flags
        if not self.text.startswith("(?", start):
            self.at += 1
        else:
            found = _GROUP.match(self.text, start)
            if found is None:
                raise PatternError(f"invalid perl operator: {self.text[start : start + 3]}")
            self.at = found.end()
            if found[1] is not None:
                if not re.fullmatch(r"\w+", found[1]):
                    raise PatternError(f"invalid named capture group: {found[0]}")
            else:
                self.flags = (outer | set(found[2])) - set(found[3] or "")
                if found[4] == ")":
                    return None, 1
        inside, times = self._alternatives(depth + 1)
        if self.at >= len(self.text):
            raise PatternError(f"missing ): {self.text}")
        self.at += 1
        self.flags = outer
        return f"(?:{inside})", times

    def _quotation(self) -> str:
        literal, _, _ = self.text[self.at + 2 :].partition(r"\E")
        self.at = min(self.at + 4 + len(literal), len(self.text))
        return literal

    def _escape(self) -> str:
        rest = self.text[self.at + 1 : self.at + 2]
        fixed = {"A": r"\A", "z": r"\Z", "b": _EDGE, "B": _NO_EDGE, "C": "(?s:.)"}.get(rest)
        if fixed:
            self.at += 2
            return fixed
        members = self._members()
        if members is not None:
            return self._fold(members if members.startswith(r"\p") else f"[{members}]")
        return self._fold(re.escape(self._character()))

    def _members(self) -> str | None:
        """What a class escape such as ``\\d`` or ``\\pL`` stands for inside brackets."""
        rest = self.text[self.at + 1 : self.at + 2]
        if rest.lower() in _PERL:
            self.at += 2
            inside = _PERL[rest.lower()]
            return inside if rest.islower() else _complement(inside)
        found = _PROPERTY.match(self.text, self.at + 1)
        if found is None:
            if rest in ("p", "P"):
                raise PatternError(f"invalid character class range: {self.text[self.at : self.at + 3]}")
            return None
        self.at = found.end()
        denied = (found[1] == "P") != bool(found[3])
        return rf"\p{{{'^' if denied else ''}{found[2] or found[4]}}}"

    def _character(self) -> str:
        """One character, maybe written by an escape."""
        character = self.text[self.at]
        self.at += 1
        if character != "\\":
            return character
        if self.at >= len(self.text):
            raise PatternError("trailing \\ at end of pattern")
        named = self.text[self.at]
        if named in _CONTROL:
            self.at += 1
            return _CONTROL[named]
        if found := _OCTAL.match(self.text, self.at):
            self.at = found.end()
            return chr(int(found[0], 8))
        if (found := _HEX.match(self.text, self.at)) and int(found[1] or found[2], 16) <= 0x10FFFF:
            self.at = found.end()
            return chr(int(found[1] or found[2], 16))
        if named.isascii() and not named.isalnum():
            self.at += 1
            return named
        raise PatternError(f"invalid escape sequence: \\{named}")

    def _class(self) -> str:
        start = self.at
        self.at += 1
        denied = self.text.startswith("^", self.at)
        self.at += denied
        members: list[str] = []
        first = True
        while first or self.text[self.at : self.at + 1] != "]":
            first = False
            if self.at >= len(self.text):
                raise PatternError(f"missing ]: {self.text[start:]}")
            if self.text.startswith("[:", self.at) and ":]" in self.text[self.at + 2 :]:
                end = self.text.index(":]", self.at + 2)
                name = self.text[self.at + 2 : end]
                if name.removeprefix("^") not in _POSIX:
                    raise PatternError(f"invalid character class range: [:{name}:]")
                inside = _POSIX[name.removeprefix("^")]
                members.append(_complement(inside) if name.startswith("^") else inside)
                self.at = end + 2
                continue
            if self.text[self.at] == "\\" and (inside := self._members() or ""):
                members.append(inside)
                continue
            low = self._character()
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._character()
                if high < low:
                    raise PatternError(f"invalid character class range: {low}-{high}")
                members.append(f"{_member(low)}-{_member(high)}")
            else:
                members.append(_member(low))
        self.at += 1
        return f"[{'^' if denied else ''}{''.join(members)}]"


def _member(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 128 else f"\\U{ord(character):08x}"


def _complement(inside: str) -> str:
    """The members of a class that `inside`, members below U+0080, lacks."""
    taken = re.compile(f"[{inside}]")
    rest = "".join(_member(chr(code)) for code in range(128) if not taken.match(chr(code)))
    return rest + r"\x80-\U0010ffff"
