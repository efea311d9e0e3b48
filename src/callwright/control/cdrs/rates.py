"""What calls cost: a table of prefixes, and the charge of a record by the longest that fits. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from callwright.control.cdrs.foreign import Wrong
from callwright.control.cdrs.model import Cdr

__all__ = ["COLUMNS", "MOST_RATES", "Rate", "Tariff", "read_rates"]

MOST_RATES = 50_000
COLUMNS = ("prefix", "name", "rate", "connect", "first", "next")
_MOST_WRONG = 100
_PREFIX = re.compile(r"\+?[0-9]{1,15}")
_AMOUNT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_MILLIONTH = Decimal("0.000001")


class Rate(msgspec.Struct, frozen=True):
    """``prefix``: digits. ``rate``: for a minute; ``connect``: for the call. Billed are ``first`` seconds at
    least, and then steps of ``next`` seconds, as 60/60 or 30/6."""

    prefix: str
    name: str
    rate: float
    connect: float = 0.0
    first: int = 1
    next: int = 1

    def charge(self, talk: int) -> float:
        """``talk``: seconds since the answer, above 0."""
        over = max(0, talk - self.first)
        billed = self.first + -(-over // self.next) * self.next
        exact = Decimal(str(self.connect)) + Decimal(str(self.rate)) * billed / 60
        return float(exact.quantize(_MILLIONTH, ROUND_HALF_UP))


class Tariff:
    """The table, ready to be asked."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._rates = {one.prefix: one for one in rates}
        self._longest = max((len(prefix) for prefix in self._rates), default=0)

    def rate_of(self, number: str) -> Rate | None:
        """The longest prefix of the number, as it was dialled or without + or 00 before it."""
        dialled = number.removeprefix("+")
        for length in range(min(self._longest, len(dialled)), 0, -1):
            for digits in (dialled, dialled.removeprefix("00")):
                found = self._rates.get(digits[:length])
                if found is not None:
                    return found
        return None

    def rated(self, record: Cdr) -> Cdr:
        """With rate and charge, where somebody called out to a number that has a price; else as it is."""
        rate, charge = self.cost(record.type, record.destination, record.billsec)
        return record if rate is None else msgspec.structs.replace(record, rate=rate, charge=charge)

    def cost(self, kind: str, destination: str, talk: int) -> tuple[float | None, float | None]:
        """Rate and charge of a record of that type; None where it has no price."""
        found = self.rate_of(destination) if kind == "O" else None
        if found is None:
            return None, None
        return found.rate, found.charge(talk) if talk > 0 else 0.0

    def __bool__(self) -> bool:
        return bool(self._rates)


def read_rates(text: str) -> tuple[list[Rate], list[Wrong]]:
    """CSV with a heading: prefix and rate, and if given name, connect, first, next."""
    reader = csv.reader(io.StringIO(text, newline=""))
    rates: dict[str, Rate] = {}
    wrong: list[Wrong] = []
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cells):
                continue
            if names is None:
                names = [cell.strip().lower() for cell in cells]
                unknown = [one for one in names if one not in COLUMNS]
                if unknown or not {"prefix", "rate"} <= set(names):
                    what = f"{unknown[0][:40]!r} is no column" if unknown else "prefix or rate is missing"
                    return [], [Wrong(reader.line_num, f"{what}. The heading names: {', '.join(COLUMNS)}.")]
                continue
            if len(wrong) >= _MOST_WRONG or len(rates) > MOST_RATES:
                break
            found = _rate(dict(zip(names, (cell.strip() for cell in cells), strict=False)))
            if isinstance(found, str):
                wrong.append(Wrong(reader.line_num, found))
            elif found.prefix in rates:
                wrong.append(Wrong(reader.line_num, f"The prefix {found.prefix} is there twice."))
            else:
                rates[found.prefix] = found
    except csv.Error as error:
        wrong.append(Wrong(reader.line_num, f"This is no CSV: {error}."))
    if len(rates) > MOST_RATES:
        wrong.append(Wrong(reader.line_num, f"More than {MOST_RATES:,} prefixes."))
    return list(rates.values()), wrong


def _rate(row: dict[str, str]) -> Rate | str:
    if not _PREFIX.fullmatch(row.get("prefix", "")):
        return f"A prefix is 1 to 15 digits, not {row.get('prefix', '')[:40]!r}."
    for name in ("rate", "connect"):
        if row.get(name) and not _AMOUNT.fullmatch(row[name]):
            return f"{name} is an amount such as 0.0215, not {row[name][:40]!r}."
    for name in ("first", "next"):
        if row.get(name) and not (re.fullmatch("[0-9]{1,4}", row[name]) and int(row[name]) > 0):
            return f"{name} is a number of seconds from 1 to 9999, not {row[name][:40]!r}."
    if not row.get("rate"):
        return "rate is missing."
    if len(row.get("name", "")) > 100:
        return "name is longer than 100 characters."
    return Rate(
        row["prefix"].removeprefix("+"),
        row.get("name", ""),
        float(row["rate"]),
        float(row.get("connect") or 0),
        int(row.get("first") or 1),
        int(row.get("next") or 1),
    )
