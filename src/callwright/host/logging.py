"""The one logging set-up: lines of text, or one JSON object a line.

In JSON mode everything that this process writes on stderr becomes such lines, tracebacks and warnings too.
Children read the format from the environment.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Literal

import callwright.log_context as log_context
from callwright.evidence.shown import shown

LogFormat = Literal["text", "json"]
VARIABLE = "CALLWRIGHT_LOG_FORMAT"
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# They log URLs and headers below WARNING.
_TALKATIVE = ("httpcore", "httpx", "hpack", "botocore", "urllib3", "s3transfer", "nats")
_HIDDEN = "***"
_SECRETS = (
    (re.compile(r"(://)[^\s/@]+@"), rf"\1{_HIDDEN}@"),
    (
        re.compile(
            r"\b((?:proxy-)?authorization|set-cookie|cookie|x-api-key)(b?[\"']?\s*[:=,]\s*)"
            r"(?:b?'[^'\n]*'|b?\"[^\"\n]*\"|[^\n]+)",
            re.IGNORECASE,
        ),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{16,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (
        re.compile(
            r"([?&;][^=&\s]*(?:token|secret|password|signature|credential|api_?key)=)[^&\s\"']+",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\b(password|secret|token)=[^\s&,;\"']+", re.IGNORECASE), rf"\1={_HIDDEN}"),
    (re.compile(r"(/kiosk/)[^/\s?]+"), rf"\1{_HIDDEN}"),
)
_NATS_LINE = re.compile(r"\[(INF|WRN|ERR|FTL|DBG|TRC)\] (.*)")
_NATS_LEVELS = {"WRN": logging.WARNING, "ERR": logging.ERROR, "FTL": logging.CRITICAL}


def set_up(log_format: LogFormat, level: int = logging.WARNING, *, stdout: bool = False) -> None:
    """Once a process, before anything is logged. `stdout`: in JSON mode stdout holds prose, and goes the
    same way."""
    os.environ[VARIABLE] = log_format
    if log_format == "json":
        handler: logging.Handler = JsonHandler()
        sys.stderr = _Lines(handler)
        if stdout:
            sys.stdout = _Lines(handler)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
        logging.captureWarnings(True)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(TextLines(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_secrets(text: str) -> str:
    """Passwords in URLs, credentials in headers and queries, and tokens of public links are hidden."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def message_of(line: str) -> str:
    """What a line of a log says, in whichever format it is."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


def log_nats_line(line: str) -> None:
    """A line of nats-server's own log becomes one of ours."""
    found = _NATS_LINE.search(line)
    level = _NATS_LEVELS.get(found[1], logging.INFO) if found else logging.INFO
    logging.getLogger("nats-server").handle(_record("nats-server", level, found[2] if found else line))


class TextLines(logging.Formatter):
    """Text from a peer cannot begin a line: it is escaped in messages, and tracebacks are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return without_secrets(shown(super().formatMessage(record)).replace("\n", "\u240a"))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        lines = without_secrets(super().formatException(ei)).split("\n")
        return "\n".join(f"  {shown(line)}" for line in lines)


class JsonLines(logging.Formatter):
    """One object a line, in ASCII: no character of a peer can end the line or act on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args!r}"
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(message),
            **log_context.fields(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line)


class JsonHandler(logging.Handler):
    """Writes each line at once, since several processes append to one file."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            rest = f"{self.format(record)}\n".encode()
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            pass  # a log that cannot be written cannot say so in itself


class _Lines(io.TextIOBase):
    """A stream whose lines become records, whatever the level of the log is."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler, self._begun = handler, threading.local()

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self._begun, "text", "") + text).split("\n")
        self._begun.text = rest
        for line in lines:
            if line.strip():
                self._handler.handle(_record("callwright", logging.INFO, line))
        return len(text)

    def writable(self) -> bool:
        return True


def _record(name: str, level: int, line: str) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, line, None, None)


def _log_uncaught(kind: Any, error: Any, trace: Any) -> None:
    logging.getLogger("callwright").critical("an uncaught exception", exc_info=(kind, error, trace))
