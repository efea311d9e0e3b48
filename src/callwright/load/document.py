"""A load described in a file, for --scenario FILE.yaml: a flow that the loop knows, with its own words.

flow: call            # or register
from: sip:{username}@example.com
to: sip:{number}@example.com      # instead of the URI
headers: {X-Load: "yes"}
hold: 3               # seconds, or [least, most]
ring_for: 30          # then CANCEL
cancel_after: 2       # cancel each call this long after it began to ring
ring_time: 1          # answering side
reject: 486           # answering side
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Any

from callwright.sip.headers import Unfit, unfit

_NO_PART_OF_A_URI = re.compile(r"[\x00-\x20<>\"\x7f]")


class DocumentError(ValueError):
    """A file that describes no load; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Flow:
    """Seconds and texts; None and empty are what the flags or the defaults say."""

    flow: str = "call"
    from_: str | None = None
    to: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    hold: float | None = None
    hold_spread: float = 0.0
    ring_for: float | None = None
    cancel_after: float = 0.0
    ring_time: float | None = None
    reject: int | None = None


_KEYS = ("flow", "from", "to", "headers", "hold", "ring_for", "cancel_after", "ring_time", "reject")


def parse_flow(text: str) -> Flow:
    """Raises DocumentError with every problem at once."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DocumentError([f"it is not YAML: {error}"]) from None
    if not isinstance(document, dict):
        raise DocumentError(["it is a mapping such as `flow: call`"])
    problems: list[str] = []
    flow = Flow()
    for key, value in document.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            problems.append(f"{key!r} is unknown" + (f"; did you mean {near[0]!r}?" if near else ""))
            continue
        try:
            flow = replace(flow, **_read(str(key), value))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise DocumentError(problems)
    return flow


def _read(key: str, value: Any) -> dict[str, Any]:
    if key == "flow":
        if value not in ("call", "register"):
            raise ValueError(f"flow is call or register, not {value!r}")
        return {"flow": value}
    if key in ("from", "to"):
        if not isinstance(value, str):
            raise ValueError(f"{key} is a text, not {value!r}")
        if _NO_PART_OF_A_URI.search(value):
            raise ValueError(f"{key} is a SIP URI without spaces, brackets and line breaks, not {value!r}")
        return {"from_" if key == "from" else "to": value}
    if key == "headers":
        if not isinstance(value, dict):
            raise ValueError("headers is a mapping of names to values")
        return {"headers": tuple(_header(str(name), str(text)) for name, text in value.items())}
    if key == "reject":
        if not isinstance(value, int) or not 300 <= value <= 699:
            raise ValueError(f"reject is a status from 300 to 699, not {value!r}")
        return {"reject": value}
    if key == "hold" and isinstance(value, list):
        if len(value) != 2 or not all(_is_seconds(item) for item in value) or value[0] > value[1]:
            raise ValueError(f"hold is seconds or [least, most], not {value!r}")
        return {"hold": float(value[0]), "hold_spread": float(value[1] - value[0])}
    if not _is_seconds(value):
        raise ValueError(f"{key} is seconds, not {value!r}")
    return {key: float(value)}


def _header(name: str, value: str) -> tuple[str, str]:
    match unfit(name, value):
        case Unfit.NAME:
            raise ValueError(f"{name!r} is not the name of a header")
        case Unfit.RESERVED:
            raise ValueError(f"{name} is written by the call itself and cannot be set")
        case Unfit.VALUE:
            raise ValueError(f"the value of {name} has control characters or line breaks")
    return name, value


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e6
