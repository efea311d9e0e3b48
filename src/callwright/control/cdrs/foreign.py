"""Records of other telephone systems as ours: Asterisk's CSV, FreeSWITCH's JSON, Kamailio's table acc as CSV.

Each record has a `live_id` made of what the system calls it, so that a file that is read twice adds nothing.
Pure.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import msgspec

from callwright.control.cdrs.legs import cause_of, disposition_of
from callwright.control.cdrs.model import Cdr

__all__ = ["FORMATS", "MOST_RECORDS", "Wrong", "read"]

MOST_RECORDS = 50_000  # of one file
_LONGEST = 255  # characters of a cell
_MOST_WRONG = 100  # are told
_CLID = re.compile(r'"?(?P<name>[^"<]*)"?\s*<(?P<number>[^>]*)>')
#: Columns of Asterisk's Master.csv (cdr_csv), which has no heading; the last two may be absent.
_MASTER = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata"),
    *("start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield"),
)
#: Asterisk's disposition to ours, and the Q.850 cause, which it does not keep.
_DISPOSITIONS = {
    "ANSWERED": ("ANSWERED", 16),
    "NO ANSWER": ("NO ANSWER", 19),
    "BUSY": ("BUSY", 17),
    "FAILED": ("FAILED", 38),
    "CONGESTION": ("FAILED", 34),
}
#: Causes of FreeSWITCH that are no failure, though nobody answered.
_UNANSWERED = {16: "NO ANSWER", 17: "BUSY", 18: "NO ANSWER", 19: "NO ANSWER", 21: "BUSY"}


class Wrong(msgspec.Struct, frozen=True):
    """``line``: of the file, from 1."""

    line: int
    message: str


class _Refused(Exception):
    """What is wrong with one record."""


def read(form: str, text: str, zone: ZoneInfo) -> tuple[list[Cdr], list[Wrong]]:
    """``zone``: of times that name none. Of what is wrong the first hundred are told."""
    records: dict[str, Cdr] = {}
    wrong: list[Wrong] = []
    for line, found in FORMATS[form](text, zone):
        if isinstance(found, str):
            if len(wrong) < _MOST_WRONG:
                wrong.append(Wrong(line, found))
        elif len(records) == MOST_RECORDS and found.live_id not in records:
            wrong.append(Wrong(line, f"More than {MOST_RECORDS:,} records; this one and the rest are left."))
            break
        else:
            records[found.live_id] = found
    return list(records.values()), wrong


_Found = Iterator[tuple[int, Cdr | str]]


# -- Asterisk


def _asterisk(text: str, zone: ZoneInfo) -> _Found:
    for line, row in _rows(text, _MASTER):
        yield line, row if isinstance(row, str) else _tried(_of_asterisk, row, zone)


def _of_asterisk(row: Mapping[str, str], zone: ZoneInfo) -> Cdr:
    kept, cause = _DISPOSITIONS.get(row.get("disposition", "").upper(), ("", 0))
    if not kept:
        permitted = ", ".join(_DISPOSITIONS)
        raise _Refused(f"disposition is {row.get('disposition', '')[:40]!r}; permitted: {permitted}.")
    whole = ";".join(row.get(name, "") for name in _MASTER)
    unique = row.get("uniqueid") or hashlib.sha256(whole.encode()).hexdigest()[:32]
    name, number = _clid(row.get("clid", ""))
    src = row.get("src", "") or number
    return Cdr(
        live_id=f"asterisk:{unique}",
        leg=0,
        call_id=unique,
        type="O",
        calldate=_moment("start", row.get("start", ""), zone),
        clid=row.get("clid", "") or f"<{src}>",
        src=src,
        dst=row.get("dst", ""),
        src_name=name,
        dst_name="",
        duration=_seconds("duration", row.get("duration", "")),
        billsec=_seconds("billsec", row.get("billsec", "")),
        disposition=kept,
        destination=row.get("dst", ""),
        t_cause=cause,
        info=row.get("lastapp", ""),
        context=row.get("dcontext", ""),
        metadata=_told(row, "asterisk", ("accountcode", "channel", "dstchannel", "userfield")),
    )


# -- FreeSWITCH


def _freeswitch(text: str, zone: ZoneInfo) -> _Found:
    """One object, a list of them, or one a line, as mod_json_cdr writes them."""
    stripped = text.lstrip()
    line = 1 + text[: len(text) - len(stripped)].count("\n")
    try:
        whole = msgspec.json.decode(stripped)
    except msgspec.DecodeError:
        lines = enumerate(text.splitlines(), 1)
        yield from ((at, _decoded(one, zone)) for at, one in lines if one.strip())
        return
    except RecursionError:
        yield line, "The JSON is nested too deeply."
        return
    for at, one in enumerate(whole if isinstance(whole, list) else [whole]):
        yield line if not isinstance(whole, list) else at + 1, _tried(_of_freeswitch, one, zone)


def _decoded(text: str, zone: ZoneInfo) -> Cdr | str:
    try:
        return _tried(_of_freeswitch, msgspec.json.decode(text), zone)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"This is no JSON: {error}."


def _of_freeswitch(record: Any, _: ZoneInfo) -> Cdr:
    known = record.get("variables") if isinstance(record, dict) else None
    if not isinstance(known, dict):
        raise _Refused("A record has an object 'variables'.")
    given = {str(name): unquote(value) for name, value in known.items() if isinstance(value, str)}
    flow = record.get("callflow")
    first = flow[0] if isinstance(flow, list) and flow else flow
    found = first.get("caller_profile") if isinstance(first, dict) else None
    profile = found if isinstance(found, dict) else {}

    def of(*names: str) -> str:
        texts = (given.get(name) or _text(profile.get(name)) for name in names)
        return next((one for one in texts if one), "")

    unique = of("uuid")
    if not unique:
        raise _Refused("A record has a uuid.")
    talk = _seconds("billsec", given.get("billsec", "0"))
    cause = _seconds("hangup_cause_q850", given.get("hangup_cause_q850", "0"))
    answered = given.get("answer_epoch", "0") not in ("", "0")
    src, src_name, dst = of("caller_id_number"), of("caller_id_name"), of("destination_number")
    return Cdr(
        live_id=f"freeswitch:{unique}",
        leg=0,
        call_id=of("sip_call_id") or unique,
        type="I" if given.get("direction") == "inbound" else "O",
        calldate=float(_seconds("start_epoch", given.get("start_epoch", ""))),
        clid=f'"{src_name}" <{src}>' if src_name else f"<{src}>",
        src=src,
        dst=dst,
        src_name=src_name,
        dst_name=of("callee_id_name"),
        duration=_seconds("duration", given.get("duration", "0")),
        billsec=talk,
        disposition="ANSWERED" if answered else _UNANSWERED.get(cause, "FAILED"),
        destination=dst,
        t_cause=cause,
        info=given.get("hangup_cause", ""),
        context=of("context"),
        src_ua=given.get("sip_user_agent") or None,
        src_codec=given.get("read_codec") or None,
        dst_codec=given.get("write_codec") or None,
        metadata=_told(given, "freeswitch", ("direction", "sip_hangup_disposition", "bridge_uuid")),
    )


# -- Kamailio


def _kamailio(text: str, zone: ZoneInfo) -> _Found:
    """The table acc with a heading: an INVITE and the BYE of the same Call-ID make one record."""
    begun: dict[str, tuple[int, Mapping[str, str]]] = {}
    ended: dict[str, float] = {}
    for line, row in _rows(text, ()):
        if isinstance(row, str):
            yield line, row
            continue
        call = row.get("callid", "")
        if not call or "method" not in row or "sip_code" not in row:
            yield line, "The columns method, callid and sip_code are needed, and a heading that names them."
            continue
        if row["method"].upper() == "INVITE":
            known = begun.get(call)
            if known is None or row["sip_code"].startswith("2"):
                begun[call] = (line, row)
        elif row["method"].upper() == "BYE" and row["sip_code"].startswith("2"):
            try:
                ended[call] = _moment("time", row.get("time", ""), zone)
            except _Refused as error:
                yield line, str(error)
    for call, (line, invite) in begun.items():
        yield line, _tried(partial(_of_kamailio, over=ended.get(call)), invite, zone)


def _of_kamailio(row: Mapping[str, str], zone: ZoneInfo, over: float | None) -> Cdr:
    status = _seconds("sip_code", row["sip_code"])
    answered = 200 <= status < 300
    at = _moment("time", row.get("time", ""), zone)
    talk = math.floor(max(0.0, over - at)) if answered and over is not None else 0
    src = row.get("src_user", "") or row.get("from_user", "")
    dst = row.get("dst_ouser", "") or row.get("dst_user", "") or row.get("to_user", "")
    no_end = "; no BYE is in the file, so it has no duration" if answered and over is None else ""
    return Cdr(
        live_id=f"kamailio:{row['callid']}",
        leg=0,
        call_id=row["callid"],
        type="O",
        calldate=at,
        clid=f"<{src}>",
        src=src,
        dst=row.get("dst_user", "") or dst,
        src_name="",
        dst_name="",
        duration=talk,
        billsec=talk,
        disposition=disposition_of(status, answered),
        destination=dst,
        t_cause=cause_of(status, answered),
        info=f"{status} {row.get('sip_reason', '')}".strip() + no_end,
        context=row.get("dst_domain", ""),
        metadata=_told(row, "kamailio", ("from_tag", "to_tag", "src_domain", "src_ip")),
    )


# -- parts


def _rows(text: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Rows by the names of their columns: those of the first line where it is a heading, else ``columns``."""
    reader = csv.reader(io.StringIO(text, newline=""))
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"This is no CSV: {error}."
            return
        if not any(cells):
            continue
        if names is None:
            lower = [cell.strip().lower() for cell in cells]
            is_heading = {"src", "dst"} <= set(lower) or "callid" in lower
            names = lower if is_heading else list(columns)
            if is_heading:
                continue
            if not names:
                yield reader.line_num, "The first line is a heading that names the columns; this one is none."
                return
        if len(cells) > max(len(names), 1) or len(cells) < min(len(names), 16):
            yield reader.line_num, f"The line has {len(cells)} cells; {len(names)} columns are known."
            continue
        long = [name for name, cell in zip(names, cells, strict=False) if len(cell) > _LONGEST]
        if long:
            yield reader.line_num, f"{long[0][:80]} is longer than {_LONGEST} characters."
            continue
        yield reader.line_num, dict(zip(names, cells, strict=False))


def _tried(make: Callable[[Any, ZoneInfo], Cdr], row: Any, zone: ZoneInfo) -> Cdr | str:
    try:
        made = make(row, zone)
    except _Refused as error:
        return str(error)
    for name in ("live_id", "call_id", "src", "dst", "src_name", "dst_name", "clid", "info", "context"):
        if len(getattr(made, name)) > 2 * _LONGEST or "\0" in getattr(made, name):
            return f"{name} is longer than {2 * _LONGEST} characters, or has a NUL."
    return made


def _told(row: Mapping[str, str], system: str, names: tuple[str, ...]) -> dict[str, object]:
    return {"system": system, **{name: row[name][:_LONGEST] for name in names if row.get(name)}}


def _text(value: object) -> str:
    return unquote(value) if isinstance(value, str) else ""


def _clid(text: str) -> tuple[str, str]:
    found = _CLID.fullmatch(text.strip())
    return ("", "") if found is None else (found["name"].strip(), found["number"].strip())


def _seconds(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise _Refused(f"{name} is a whole number, not {text[:40]!r}.")
    return int(text)


def _moment(name: str, text: str, zone: ZoneInfo) -> float:
    """`2026-11-29 09:00:00`, with a fraction or a zone of its own if it has one; or unix seconds."""
    if re.fullmatch(r"[0-9]{9,11}(\.[0-9]{1,6})?", text, re.ASCII):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _Refused(f"{name} is a date such as 2026-11-29 09:00:00, not {text[:40]!r}.") from None
    if not 1980 <= found.year <= 2100:
        raise _Refused(f"{name} is {text[:40]!r}, which is no date of a call.")
    return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()


#: By name, how a file is read.
FORMATS: Mapping[str, Callable[[str, ZoneInfo], _Found]] = {
    "asterisk": _asterisk,
    "freeswitch": _freeswitch,
    "kamailio": _kamailio,
}
