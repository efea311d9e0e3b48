"""The patterns of `ereg`: POSIX extended regular expressions, of which the leftmost and longest match counts.

RE2 finds it in linear time; where it has no wheel, the `regex` module does, with a time limit.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["MOST_TEXT", "Search", "SearchError"]

MOST_TEXT = 65_536
_MEMORY = 1 << 20  # octets of one compiled pattern
_SECONDS = 0.1  # of a search by `regex`


class SearchError(ValueError):
    """No expression that can be searched for; the text says why."""


class Search:
    """A compiled pattern. Equal by its text."""

    __slots__ = ("_search", "groups", "ignore_case", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text, self.ignore_case = text, ignore_case
        self._search, self.groups = _compiled(text, ignore_case)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Search) and (self.text, self.ignore_case) == (other.text, other.ignore_case)

    def __hash__(self) -> int:
        return hash((self.text, self.ignore_case))

    def __call__(self, text: str) -> list[str] | None:
        """The whole match and each group of it, "" for one that took no part; None: it matches nowhere in the
        first MOST_TEXT characters, or that could not be found out in time."""
        return self._search(text[:MOST_TEXT].encode("utf-8", "replace").decode())


class _Re2:
    def __init__(self, text: str, ignore_case: bool) -> None:
        import re2

        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = not ignore_case
        options.longest_match = True
        options.max_mem = _MEMORY
        try:
            self._pattern = re2.compile(f"(?s){text}", options)
        except re2.error as error:
            said = error.args[0] if error.args else "it cannot be read"
            raise SearchError(said.decode("utf-8", "replace") if isinstance(said, bytes) else said) from None
        self.groups = int(self._pattern.groups)

    def __call__(self, text: str) -> list[str] | None:
        found = self._pattern.search(text)
        return None if found is None else [found.group(0), *(group or "" for group in found.groups())]


class _Regex:
    def __init__(self, text: str, ignore_case: bool) -> None:
        import regex

        flags = regex.VERSION0 | regex.POSIX | regex.DOTALL | (regex.IGNORECASE if ignore_case else 0)
        try:
            self._pattern = regex.compile(text, flags)
        except regex.error as error:
            raise SearchError(str(error)) from None
        self.groups = int(self._pattern.groups)

    def __call__(self, text: str) -> list[str] | None:
        try:
            found = self._pattern.search(text, timeout=_SECONDS)
        except TimeoutError:
            return None
        return None if found is None else [found.group(0), *(group or "" for group in found.groups())]


@lru_cache(maxsize=512)
def _compiled(text: str, ignore_case: bool) -> tuple[_Re2 | _Regex, int]:
    try:
        import re2  # noqa: F401
    except ImportError:
        found: _Re2 | _Regex = _Regex(text, ignore_case)
    else:
        found = _Re2(text, ignore_case)
    return found, found.groups
