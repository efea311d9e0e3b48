"""Messages as sentences, for channels that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

__all__ = ["words_of"]

_LONGEST_TITLE, _LONGEST_TEXT = 200, 3_000
Data = Mapping[str, Any]


def words_of(body: str) -> tuple[str, str]:
    """Title and text of a message. ``body``: as in Message."""
    message = msgspec.json.decode(body, type=dict[str, Any])
    event, data = str(message["type"]), message["data"]
    title, lines = _WORDS[event.partition(".")[0]](event, data)
    text = "\n".join(line for line in (*lines, f"At {message['timestamp']}.") if line)
    return title[:_LONGEST_TITLE], text[:_LONGEST_TEXT]


def _incident(event: str, data: Data) -> tuple[str, list[str]]:
    word = event.partition(".")[2].capitalize()
    name = data["alert"]["name"]
    lines = [_cause(data["incident"]["cause"]), f"Endpoint: {data['endpoint']['name']}."]
    if event != "incident.recovered":
        lines.append(f"Condition: {data['alert']['condition']}.")
    return f"{word}: {name} ({data['endpoint']['name']})", [*lines, data["link"]]


def _alert(event: str, data: Data) -> tuple[str, list[str]]:
    word = "Fired" if event == "alert.fired" else "Recovered"
    return _incident(f"incident.{word.lower()}", data)


def _cause(cause: Data) -> str:
    server, endpoint = cause["server"], cause["endpoint"]
    match cause["kind"]:
        case "server":
            return f"Cause: the server {server} finds bad everything that it tests."
        case "path":
            return f"Cause: the path between the server {server} and the endpoint {endpoint}."
    return f"Cause: the endpoint {endpoint}; every server that tests it finds it bad."


def _run(event: str, data: Data) -> tuple[str, list[str]]:
    name, run = data["test_name"], data
    match event:
        case "run.recovered":
            title = f"Passed again: {name}"
        case "run.failing":
            title = f"Failed {run['in_a_row']} times in a row: {name}"
        case "run.error":
            title = f"Not judged: {name}"
        case _:
            title = f"Failed: {name}"
    blame = f"At fault: {run['blame']}." if run["blame"] else ""
    return title, [str(run["result_description"]), blame, f"Project: {run['project_name']}.", run["link"]]


def _call(event: str, data: Data) -> tuple[str, list[str]]:
    return f"{event}: {data['src']} to {data['dst'] or data['destination']}", [f"Call {data['id']}."]


def _test(event: str, data: Data) -> tuple[str, list[str]]:
    return "A test message from Callwright", [f"Sent by {data['sent_by']}. This channel works."]


_WORDS: Mapping[str, Callable[[str, Data], tuple[str, list[str]]]] = {
    "incident": _incident,
    "alert": _alert,
    "run": _run,
    "call": _call,
    "test": _test,
}
