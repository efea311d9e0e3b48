"""Logs: text or JSON, one line a record, without secrets."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys

import pytest

import callwright.log_context as log_context
from callwright.host.logging import JsonLines, TextLines, message_of, without_secrets

FORGED = "hello\r\n2026-01-01 00:00:00,000 ERROR callwright: forged\x1b[2J\u2028\x85{}"


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    told = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("callwright.test", logging.WARNING, "", 0, message, arguments, told)


def test_a_json_line_has_the_fields_that_are_known() -> None:
    log_context.run.set(7)
    log_context.agent.set("a1")
    found = json.loads(JsonLines().format(record("run %d", 7)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "WARNING",
        "logger": "callwright.test",
        "message": "run 7",
        "run": 7,
        "agent": "a1",
    }


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines("%(asctime)s %(levelname)s: %(message)s")])
def test_control_characters_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    text = formatter.format(record("%s", FORGED))
    assert len(text.splitlines()) == 1
    assert text.isprintable()


def test_an_exception_cannot_forge_a_line_of_text() -> None:
    text = TextLines("%(asctime)s %(message)s").format(record("broke", error=ValueError(FORGED)))
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_an_exception_is_one_field() -> None:
    line = JsonLines().format(record("broke", error=ValueError(FORGED)))
    assert len(line.splitlines()) == 1
    assert "ValueError: hello" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    "text",
    [
        "nats://callwright:hunter2@nats:4222 is away",
        "postgresql+asyncpg://u:hunter2@db/x",
        "nats://hunter2@nats",
        "Authorization: Bearer hunter2",
        'Proxy-Authorization: Digest username="1001", response="hunter2"',
        "[(b'authorization', b'Basic hunter2')]",
        "{'Cookie': 'session=hunter2; x=hunter2'}",
        "GET /x?a=1&access_token=hunter2&b=2",
        "https://s3/x?X-Amz-Signature=hunter2",
        "host=db password=hunter2",
        "a bug answered 500 to GET /kiosk/hunter2/abc/events",
    ],
)
def test_secrets_are_not_logged(text: str) -> None:
    error = ValueError(text)
    for formatter in (JsonLines(), TextLines("%(message)s")):
        assert "hunter2" not in formatter.format(record("%s", text, error=error))


def test_addresses_of_calls_are_logged_as_they_are() -> None:
    text = "sip:1001@192.0.2.7:5060 answered; the token is refused; see https://example.com/a"
    assert without_secrets(text) == text


def test_message_of_reads_both_formats() -> None:
    assert message_of(JsonLines().format(record("it fell"))) == "it fell"
    assert message_of("it fell") == "it fell"


_PROGRAM = """
import logging, sys, threading, warnings
from callwright.host.logging import set_up
set_up("json", stdout=True)
print("to stdout"); print("to stderr", file=sys.stderr); warnings.warn("old")
logging.getLogger("httpx").info("HTTP Request: GET https://x/?token=hunter2")
logging.getLogger("x").warning("%d", "no number")
t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()
raise SystemError("the end")
"""


def test_whatever_a_process_writes_is_json_in_json_mode() -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "always"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    messages = [line["message"] for line in lines]
    assert messages[:2] == ["to stdout", "to stderr"]
    assert "UserWarning: old" in messages[2]
    assert [line["exception"].split("\n")[-1] for line in lines if "exception" in line] == [
        "ZeroDivisionError: division by zero",
        "SystemError: the end",
    ]
