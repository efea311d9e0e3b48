"""`callwright sip parse`: exit codes, the JSON document, and what a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from callwright.cli.sip import app

TORTURE = Path(__file__).resolve().parents[1] / "data" / "torture"
KEYS = {
    "well_formed",
    "kind",
    "method",
    "uri",
    "status",
    "reason_phrase",
    "headers",
    "body_length",
    "errors",
    "warnings",
    "would_answer",
    "ignored_octets",
}


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["parse", *arguments], input=stdin)


def document(*arguments: str, stdin: bytes = b"", code: int = 0) -> dict[str, Any]:
    result = run("--json", *arguments, stdin=stdin)
    assert result.exit_code == code
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    assert set(parsed) == KEYS
    return parsed


def test_a_well_formed_message_exits_with_0() -> None:
    parsed = document(str(TORTURE / "rfc4475" / "wsinv.dat"))
    assert parsed["well_formed"] is True
    assert (parsed["kind"], parsed["method"]) == ("request", "INVITE")
    assert parsed["headers"][3] == {"name": "Call-ID", "value": "wsinv.ndaksdj@192.0.2.1", "compact": False}
    assert {"name": "Subject", "value": "", "compact": True} in parsed["headers"]
    assert parsed["body_length"] == 150
    assert "RFC 2543" in parsed["warnings"][0]["message"]
    assert parsed["warnings"][0]["rfc"].startswith("RFC 3261")


def test_a_malformed_message_exits_with_1_and_names_the_header() -> None:
    parsed = document(str(TORTURE / "rfc4475" / "badinv01.dat"), code=1)
    assert parsed["well_formed"] is False
    assert [error["header"] for error in parsed["errors"]] == ["Via", "Contact"]
    assert parsed["would_answer"] == 400


def test_a_missing_file_exits_with_2_and_a_document(tmp_path: Path) -> None:
    parsed = document(str(tmp_path / "nothing"), code=2)
    assert "No such file" in parsed["errors"][0]["message"]
    assert parsed["well_formed"] is None
    assert run(str(tmp_path)).exit_code == 2
    assert run().exit_code == 2


def test_a_dash_reads_octets_from_stdin() -> None:
    parsed = document("-", stdin=(TORTURE / "rfc4475" / "unreason.dat").read_bytes())
    assert parsed["status"] == 200
    assert parsed["reason_phrase"].startswith("= 2**3 * 5**2 но")


@pytest.mark.parametrize(
    "stdin", [b"", b"\xff\xfe\x00", b"\x00" * 70_000, b"SIP/2.0 200 \xed\xa0\x80\r\n\r\n"]
)
def test_any_octets_give_a_document(stdin: bytes) -> None:
    assert document("-", stdin=stdin, code=1)["errors"]


def test_octets_that_are_no_utf8_are_shown_as_escapes() -> None:
    message = (
        (TORTURE / "rfc4475" / "zeromf.dat").read_bytes().replace(b"CSeq", b"Subject: \xff\x1b[31m\r\nCSeq")
    )
    subject = next(each for each in document("-", stdin=message)["headers"] if each["name"] == "Subject")
    assert subject["value"] == "\\xff\x1b[31m"
    shown = run("-v", "-", stdin=message).stdout
    assert "Subject: \\xff\\x1b[31m" in shown
    assert "\x1b" not in shown


def test_a_person_reads_the_line_and_the_section() -> None:
    result = run(str(TORTURE / "rfc4475" / "mismatch01.dat"))
    assert result.exit_code == 1
    assert "malformed, 1 error" in result.stdout
    assert "an element answers 400 Bad Request" in result.stdout
    assert "    CSeq: 8 INVITE" in result.stdout
    assert "(RFC 3261 section 8.1.1.5)" in result.stdout


def test_the_trace_goes_to_stderr() -> None:
    result = run("--json", "--trace-sip", str(TORTURE / "rfc4475" / "zeromf.dat"))
    json.loads(result.stdout)
    assert "OPTIONS sip:user@example.com SIP/2.0" in result.stderr
