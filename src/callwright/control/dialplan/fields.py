"""The fields of each kind as a request brings them: read, bounded, and with every problem named at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from callwright.audio.speech import PROMPTS
from callwright.control.errors import Invalid
from callwright.media.source import BUILT_IN, SAY
from callwright.pbx.plan import Hunt
from callwright.policy.addresses import numeric
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.uri import Uri

__all__ = ["FIELDS", "Field", "checked"]

_EXT = re.compile(r"[0-9*#]{1,15}")
_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_DIAL = re.compile(r"\+?[0-9*#]{1,32}|voicemail:[0-9]{1,15}")
_DIGITS = re.compile(r"[0-9*#+]{0,32}")
_PIN = re.compile(r"[0-9]{4,16}")
_KEYS = frozenset("0123456789*#ABCD")
_MOST_USERS, _MOST_TRUNKS, _MOST_SOURCES, _MOST_PROMPTS = 200, 10, 50, 10
_BEYOND = 2**53


@dataclass(frozen=True, slots=True)
class Field:
    """``read`` raises Invalid with a sentence that begins with the name it is given."""

    read: Callable[[str, Any], Any]
    default: Any = None
    needed: bool = False


def checked(kind: str, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    """The fields that were given; of a ``new`` thing all, with their defaults. Raises Invalid with each
    problem under the name of its field."""
    known = FIELDS[kind]
    found: dict[str, Any] = {name: one.default for name, one in known.items()} if new else {}
    errors = []
    for name, value in fields.items():
        try:
            if name not in known:
                raise Invalid(f"{name[:80]!r} is not taken here. Permitted: {', '.join(known)}.")
            found[name] = known[name].read(name, value)
        except Invalid as error:
            errors.append({"field": name[:200], "message": error.message})
    if new:
        missing = [name for name, one in known.items() if one.needed and name not in fields]
        errors += [{"field": name, "message": f"{name} is missing."} for name in missing]
    if errors:
        raise Invalid(errors[0]["message"], errors=errors)
    return found


# -- how each is read


def _text(name: str, value: Any, *, longest: int = 100, empty: bool = True) -> str:
    if not isinstance(value, str) or len(value.strip()) > longest:
        raise Invalid(f"{name} must be a text of at most {longest} characters.")
    if not value.strip() and not empty:
        raise Invalid(f"{name} is empty.")
    return value.strip()


def _word(value: Any) -> str:
    """A text, or a whole number as it is written; empty for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _BEYOND:
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _matching(name: str, value: Any, *, pattern: re.Pattern[str], what: str, empty: Any = ...) -> Any:
    """A number that is given as one lost nothing: none that begins with 0 is written so in JSON."""
    if value in (None, "") and empty is not ...:
        return empty
    text = _word(value)
    if not pattern.fullmatch(text):
        raise Invalid(f"{name} {what}.")
    return text


def _whole(name: str, value: Any, *, least: int, most: int) -> int:
    word = _word(value)
    if not word.isascii() or not word.isdigit() or len(word) > 16 or not least <= int(word) <= most:
        raise Invalid(f"{name} must be a whole number from {least:,} to {most:,}.")
    return int(word)


def _flag(name: str, value: Any) -> bool:
    word = str(value).lower() if isinstance(value, bool) else _word(value).lower()
    if word not in ("true", "false", "1", "0"):
        raise Invalid(f"{name} must be true or false.")
    return word in ("true", "1")


def _strategy(name: str, value: Any) -> str:
    permitted = [one.value for one in Hunt]
    if value not in permitted:
        raise Invalid(f"{name} must be {' or '.join(permitted)}.")
    return str(value)


def _ids(name: str, value: Any, *, most: int) -> list[int]:
    """A list, or numbers with commas as a form has them."""
    parts = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) > most:
        raise Invalid(f"{name} must be a list of at most {most} ids.")
    return list(dict.fromkeys(_whole(name, one, least=1, most=_BEYOND) for one in parts))


def _id(name: str, value: Any) -> int | None:
    return None if value in (None, "") else _whole(name, value, least=1, most=_BEYOND)


def _texts(name: str, value: Any, *, most: int, fits: Callable[[str], bool], what: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) > most:
        raise Invalid(f"{name} must be a list of at most {most}.")
    for one in parts:
        if not isinstance(one, str) or not fits(one):
            raise Invalid(f"{name}: {str(one)[:80]!r} is {what}.")
    return list(dict.fromkeys(parts))


def _options(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > len(_KEYS):
        raise Invalid(f'{name} must be an object of keys and numbers, such as {{"1": "600"}}.')
    found = {}
    for key, to in value.items():
        if key not in _KEYS:
            raise Invalid(f"{name}: {key[:20]!r} is not a key; keys are 0 to 9, *, # and A to D.")
        found[key] = _dial(f"{name}: the number of key {key}", to)
    return found


def _uri(name: str, value: Any) -> str:
    text = _text(name, value, longest=200, empty=False)
    text = text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"
    try:
        uri = Uri.parse(text)
    except SipSyntaxError:
        uri = None
    if uri is None or not uri.is_sip or not uri.host:
        raise Invalid(f"{name} must be a SIP URI such as sip:carrier.example;transport=tcp.")
    if uri.user is not None or uri.password is not None or uri.headers:
        raise Invalid(f"{name} has a host, a port and parameters; give username and password apart.")
    return text


def _is_prompt(clip: str) -> bool:
    """Never a path: whoever asks over the API does not read files of this machine."""
    return clip in BUILT_IN or (clip.startswith(SAY) and clip.removeprefix(SAY) in PROMPTS)


_ext = partial(_matching, pattern=_EXT, what="has 1 to 15 digits, * or #")
_number = partial(_matching, pattern=_NUMBER, what="has 1 to 20 digits, maybe with a + in front")
_dial = partial(_matching, pattern=_DIAL, what="must be a number to dial, or voicemail:EXT")
_maybe_dial = partial(_dial, empty=None)
_digits = partial(_matching, pattern=_DIGITS, what="has at most 32 digits", empty="")
_caller = partial(_matching, pattern=_NUMBER, what="has 1 to 20 digits, maybe with a + in front", empty=None)
_pin = partial(_matching, pattern=_PIN, what="has 4 to 16 digits", empty=None)
_users = partial(_ids, most=_MOST_USERS)
_clips = [*BUILT_IN, *(f"{SAY}{name}" for name in PROMPTS)]
_prompts = partial(
    _texts, most=_MOST_PROMPTS, fits=_is_prompt, what=f"not a built-in clip. Permitted: {', '.join(_clips)}"
)
_sources = partial(
    _texts,
    most=_MOST_SOURCES,
    fits=lambda one: numeric(one) is not None,
    what="not a numeric address",
)


def _count(least: int, most: int) -> Callable[[str, Any], int]:
    return partial(_whole, least=least, most=most)


def _password(name: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > 128 or not value.isprintable():
        raise Invalid(f"{name} has at most 128 printable characters.")
    return value


_NAMED = {"name": Field(partial(_text, empty=False), needed=True)}
_DIALLED = {**_NAMED, "ext": Field(_ext, needed=True)}
_RINGS = {
    "ring_strategy": Field(_strategy, "all"),
    "ring_time": Field(_count(1, 600), 20),
    "users": Field(_users, ()),
    "destination": Field(_maybe_dial),
}

#: By kind; the order is that in which they are told.
FIELDS: Mapping[str, Mapping[str, Field]] = {
    "queues": {
        **_DIALLED,
        **_RINGS,
        "max_wait": Field(_count(1, 4 * 3600), 600),
        "max_callers": Field(_count(1, 1_000), 50),
    },
    "ringgroups": {**_DIALLED, **_RINGS},
    "ivrs": {
        **_DIALLED,
        "prompts": Field(_prompts, ("beep",)),
        "options": Field(_options, needed=True),
        "timeout": Field(_count(1, 600), 5),
        "tries": Field(_count(1, 10), 3),
        "direct": Field(_flag, False),
        "destination": Field(_maybe_dial),
    },
    "conferences": {**_DIALLED, "max_participants": Field(_count(2, 100), 20), "pin": Field(_pin)},
    "numbers": {
        "name": Field(_text, ""),
        "number": Field(_number, needed=True),
        "destination": Field(_dial, needed=True),
        "trunk_id": Field(_id),
    },
    "trunks": {
        **_NAMED,
        "uri": Field(_uri, needed=True),
        "username": Field(partial(_text, longest=128), ""),
        "password": Field(_password),
        "register": Field(_flag, False),
        "caller_id": Field(_caller),
        "sources": Field(_sources, ()),
    },
    "routes": {
        **_NAMED,
        "position": Field(_count(0, 1_000_000), 0),
        "prefix": Field(_digits, ""),
        "strip": Field(_count(0, 32), 0),
        "prepend": Field(_digits, ""),
        "shortest": Field(_count(1, 32), 1),
        "longest": Field(_count(1, 32), 32),
        "trunks": Field(partial(_ids, most=_MOST_TRUNKS), needed=True),
        "users": Field(_users, ()),
    },
}
