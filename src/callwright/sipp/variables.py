"""What the actions of a scenario do to the variables of a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from hmac import compare_digest
from urllib.parse import quote, unquote

from callwright.sip.digest import compute_response, parse_parameters
from callwright.sipp.message import Received
from callwright.sipp.scenario import Action
from callwright.sipp.template import Template

__all__ = ["CallFails", "Variables", "act"]

_MOST = 65_536  # characters of one value


class Variables:
    """Of one call, and those with `names` that all calls share. A variable that was not given is not set."""

    __slots__ = ("_names", "_own", "_shared")

    def __init__(self, shared: dict[str, str], names: frozenset[str]) -> None:
        self._own: dict[str, str] = {}
        self._shared, self._names = shared, names

    def _of(self, name: str) -> dict[str, str]:
        return self._shared if name in self._names else self._own

    def __contains__(self, name: str) -> bool:
        return name in self._of(name)

    def __getitem__(self, name: str) -> str:
        """ "" for one that is not set."""
        return self._of(name).get(name, "")

    def __setitem__(self, name: str, value: str) -> None:
        self._of(name)[name] = value[:_MOST]

    def __delitem__(self, name: str) -> None:
        self._of(name).pop(name, None)


class CallFails(Exception):
    """A check of the scenario that did not hold: `outcome` its class, the text a sentence."""

    def __init__(self, outcome: str, sentence: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome


def act(
    action: Action,
    variables: Variables,
    message: Received | None,
    filled: Callable[[Template], str],
    wall: float,
) -> None:
    """Do what changes variables alone; others (log, exec) are the caller's. ``wall``: unix seconds. Raises
    CallFails."""
    said = action.attributes
    match action.name:
        case "ereg":
            _ereg(action, variables, message)
        case "assign":
            variables[said["assign_to"]] = _text(_operand(said, variables))
        case "assignstr" if action.text is not None:
            variables[said["assign_to"]] = filled(action.text)
        case "add" | "subtract" | "multiply" | "divide":
            left, right = _number(variables[said["assign_to"]]), _operand(said, variables)
            variables[said["assign_to"]] = _text(_calculated(action.name, left, right, action.line))
        case "todouble":
            variables[said["assign_to"]] = _text(_number(variables[said["variable"]]))
        case "trim":
            variables[said["assign_to"]] = variables[said["assign_to"]].strip()
        case "urlencode":
            variables[said["variable"]] = quote(variables[said["variable"]], safe="")
        case "urldecode":
            variables[said["variable"]] = unquote(variables[said["variable"]])
        case "test":
            _set(variables, said["assign_to"], _compared(said, variables))
        case "strcmp":
            left_text = variables[said["variable"]]
            right_text = said["value"] if "value" in said else variables[said.get("variable2", "")]
            _set(variables, said["assign_to"], left_text == right_text)
        case "verifyauth":
            verified = message is not None and _verified(said["username"], said["password"], message)
            _set(variables, said["assign_to"], verified)
        case "gettimeofday":
            names = [name.strip() for name in said["assign_to"].split(",")]
            values = (str(int(wall)), str(int(wall % 1 * 1e6)))
            for name, value in zip(names, values, strict=False):
                variables[name] = value
        case _:
            pass


def _ereg(action: Action, variables: Variables, message: Received | None) -> None:
    said = action.attributes
    names = [name.strip() for name in said["assign_to"].split(",")]
    text = _searched(action, variables, message)
    found = action.search(text) if action.search is not None and text is not None else None
    if said.get("check_it") == "true" and found is None:
        raise CallFails("no match", f"line {action.line}: {said['regexp']!r} matches nothing that came")
    if said.get("check_it_inverse") == "true" and found is not None:
        raise CallFails("match", f"line {action.line}: {said['regexp']!r} matches what came")
    for index, name in enumerate(names):
        if found is None:
            del variables[name]
        else:
            variables[name] = found[index]


def _searched(action: Action, variables: Variables, message: Received | None) -> str | None:
    """None: there is no such header, or it is not there so often."""
    said = action.attributes
    place = said.get("search_in", "msg")
    if place == "var":
        return variables[said["variable"]]
    if message is None:
        return None
    if place == "body":
        return message.body
    if place == "msg":
        return message.text
    name = said["header"].strip().rstrip(":").strip().lower()
    values = [value for _, value in message.every(name)]
    which = int(float(said.get("occurrence", said.get("occurence", "1")))) - 1
    return f" {values[which]}" if which < len(values) else None


def _verified(username: str, password: str, message: Received) -> bool:
    """Whether its credentials were made with this password (RFC 7616), for whatever challenge."""
    for _, value in [*message.every("authorization"), *message.every("proxy-authorization")]:
        try:
            scheme, told = parse_parameters(value)
            if scheme != "digest" or told.get("username") != username:
                continue
            expected = compute_response(
                algorithm=told.get("algorithm") or "MD5",
                username=username,
                realm=told.get("realm", ""),
                password=password,
                nonce=told.get("nonce", ""),
                method=message.method,
                uri=told.get("uri", ""),
                qop=told.get("qop"),
                cnonce=told.get("cnonce", ""),
                nonce_count=told.get("nc", ""),
                body=message.body.encode("utf-8", "surrogateescape"),
            )
        except ValueError:
            continue
        if compare_digest(expected, told.get("response", "").lower()):
            return True
    return False


def _operand(said: Mapping[str, str], variables: Variables) -> float:
    return float(said["value"]) if "value" in said else _number(variables[said.get("variable", "")])


def _number(text: str) -> float:
    """As C reads it: what is no number is 0."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _text(value: float) -> str:
    return f"{value:.6f}"


def _calculated(name: str, left: float, right: float, line: int) -> float:
    if name == "add":
        return left + right
    if name == "subtract":
        return left - right
    if name == "multiply":
        return min(max(left * right, -1e300), 1e300)
    if right == 0:
        raise CallFails("divided by zero", f"line {line}: the divisor is 0")
    return left / right


def _compared(said: Mapping[str, str], variables: Variables) -> bool:
    left = _number(variables[said["variable"]])
    right = _number(said["value"]) if "value" in said else _number(variables[said.get("variable2", "")])
    return {
        "equal": left == right,
        "not_equal": left != right,
        "greater_than": left > right,
        "less_than": left < right,
        "greater_than_equal": left >= right,
        "less_than_equal": left <= right,
    }[said["compare"]]


def _set(variables: Variables, name: str, whether: bool) -> None:
    if whether:
        variables[name] = "1"
    else:
        del variables[name]
