"""Accounts of a load, from CSV: a header line with names of columns, then an account a line. Pure."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

_USER = ("username", "user", "auth_username", "login", "name")
_PASSWORD = ("password", "secret", "auth_password", "pass")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_OCTETS = 256


class AccountsError(ValueError):
    """A file that holds no accounts; the text is a sentence with the line."""


@dataclass(frozen=True, slots=True)
class LoadAccounts:
    columns: tuple[str, ...]
    rows: tuple[tuple[bytes, ...], ...]

    @property
    def user_column(self) -> int:
        """Index of the user's name, -1 without."""
        return self._first(_USER)

    @property
    def password_column(self) -> int:
        return self._first(_PASSWORD)

    def _first(self, names: tuple[str, ...]) -> int:
        lowered = [column.lower() for column in self.columns]
        return next((lowered.index(name) for name in names if name in lowered), -1)

    def fill(self, text: str) -> str:
        """`{column}` in a text as the slot of a message. Raises AccountsError for an unknown column."""

        def slot(match: re.Match[str]) -> str:
            if match[1] not in self.columns:
                raise AccountsError(
                    f"{{{match[1]}}} is not a column; the columns are {', '.join(self.columns)}."
                )
            return f"{{field:{self.columns.index(match[1])}}}"

        return re.sub(r"\{(\w+)\}", slot, text)

    def part(self, index: int, parts: int) -> LoadAccounts:
        """Every `parts`-th account, from `index`: what one process of several has."""
        return LoadAccounts(self.columns, self.rows[index::parts])

    def passwords(self, account: int, parts: int) -> list[str]:
        """Those that the account of this number has in any of so many parts: a number is that of its part."""
        column = self.password_column
        if column < 0 or account < 0:
            return []
        rows = self.rows[account * parts : (account + 1) * parts]
        return [row[column].decode("utf-8", "surrogateescape") for row in rows]


def parse_accounts(text: str) -> LoadAccounts:
    """Columns are parted by commas or semicolons, as the header line has it. Raises AccountsError."""
    lines = text.removeprefix("\ufeff").splitlines()
    head = next((line for line in lines if line.strip()), "")
    if not head:
        raise AccountsError("The file is empty.")
    if head.strip() in ("SEQUENTIAL", "RANDOM", "USER"):
        raise AccountsError("That is a file of SIPp: replace its first line by the names of the columns.")
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    columns: tuple[str, ...] = ()
    rows: list[tuple[bytes, ...]] = []
    for words in reader:
        if not words or words[0].startswith("#"):
            continue
        if not columns:
            columns = tuple(word.strip() for word in words)
            wrong = [name for name in columns if not _NAME.fullmatch(name)]
            if wrong or len(set(columns)) != len(columns):
                raise AccountsError(
                    f"Line {reader.line_num}: names of columns are words, each once: {', '.join(columns)}."
                )
            continue
        if len(words) != len(columns):
            raise AccountsError(
                f"Line {reader.line_num} has {len(words)} columns, the first has {len(columns)}."
            )
        row = tuple(word.strip().encode() for word in words)
        if any(len(word) > MOST_OCTETS or re.search(rb"[\x00-\x1f\x7f]", word) for word in row):
            raise AccountsError(
                f"Line {reader.line_num} has a value that is too long or has control characters."
            )
        rows.append(row)
    if not rows:
        raise AccountsError("The file has no account below the names of the columns.")
    return LoadAccounts(columns, tuple(rows))
