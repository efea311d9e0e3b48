"""The command itself: verbs, help, exit codes and JSON for what goes wrong before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callwright.cli import console, main
from callwright.cli.softphone import headers_of
from callwright.host.operator import Refused, say
from callwright.sip.headers import COMPACT_NAMES

FLAGS = ("--json", "--verbose", "--trace-sip")
LISTENING = ("call", "answer", "register", "options", "run", "catalogue", "pbx", "mos")


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The one JSON document of a command line that is refused with exit code 2."""
    code, out, err = typed(capsys, *arguments, "--json")
    assert code == 2
    assert err.startswith("callwright: ")
    document: dict[str, Any] = json.loads(out)
    return document


def test_help_lists_every_verb_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "--help")
    assert code == 0
    for verb in main.VERBS:
        assert f" {verb} " in out


@pytest.mark.parametrize("verb", LISTENING)
def test_every_verb_has_the_common_flags_and_examples(
    capsys: pytest.CaptureFixture[str], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERMINAL_WIDTH", "160")
    code, out, _ = typed(capsys, verb, "--help")
    assert code == 0
    assert f"callwright {verb} " in out
    for flag in FLAGS:
        assert flag in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "--version")
    assert (code, out.split()[0]) == (0, "callwright")


def test_a_verb_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bogus" in refused(capsys, "bogus")["reason"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["call"], ["URI"]),
        (["call", "sip:"], ["sip:"]),
        (["call", "sip:a@127.0.0.1", "--codec", "G999"], ["G999", "PCMU"]),
        (["call", "sip:a@127.0.0.1", "--transport", "pigeon"], ["udp", "pigeon"]),
        (["call", "sip:a@127.0.0.1", "--play", "/nowhere.wav"], ["/nowhere.wav"]),
        (["call", "sip:a@127.0.0.1", "--dtmf", "12x"], ["--dtmf", "X"]),
        (["call", "sip:a@127.0.0.1", "--rtp-ports", "9"], ["--rtp-ports"]),
        (["call", "sip:a@127.0.0.1", "--header", "no colon"], ["--header"]),
        (["call", "sip:a@127.0.0.1", "--header", "X: a\r\nVia: b"], ["--header"]),
        (["call", "sip:a@127.0.0.1", "--header", "X\u212a: a"], ["--header"]),
        (["call", "sip:a@127.0.0.1", "--body", "/dev/null"], ["--content-type"]),
        (["load", "sip:a@127.0.0.1", "--header", "m: <sip:x@203.0.113.9>"], ["--header m"]),
        (["load", "sip:a@127.0.0.1", "--header", "Max-Forwards: 5"], ["--header Max-Forwards"]),
        (["call", "sip:a@127.0.0.1", "--password", "x"], ["--user"]),
        (["call", "sip:a@127.0.0.1", "--bind", "nobody"], ["--bind"]),
        (["call", "sip:a@127.0.0.1", "--ca", "/nowhere.pem"], ["--ca", "/nowhere.pem"]),
        (["answer", "--listen", "127.0.0.1:99999"], ["--listen"]),
        (["register", "sip:127.0.0.1"], ["user"]),
        (["run", "no_such_test"], ["catalogue"]),
        (["run", "basic_call", "--allow", "a b"], ["--allow"]),
        (["catalogue", "basic_cal"], ["basic_call"]),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence_and_in_json(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    document = refused(capsys, *arguments)
    told = " ".join(str(document.get(key)) for key in ("reason", "remedy"))
    for word in words:
        assert word in told
    assert document["exit_code"] == 2


def test_a_refused_call_has_every_key_of_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    document = refused(capsys, "call", "sip:a@127.0.0.1", "--codec", "G999")
    keys = ("verdict", "blame", "reason", "sip_code", "pdd_ms", "setup_ms", "duration_ms", "ended_by")
    assert {*keys, "sent", "received"} <= document.keys()
    assert document["verdict"] == "error"
    assert document["received"]["dtmf"] is None


def test_a_header_that_leads_to_a_stranger_needs_the_policys_word(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "options", "sip:127.0.0.1", "--header", " M : <sip:x@203.0.113.9>", "--json")
    document = json.loads(out)
    assert (code, document["failure"], document["blame"]) == (2, "policy", "test")
    assert "203.0.113.9" in document["reason"]


@pytest.mark.parametrize("form", [str, str.upper, str.title])
def test_header_that_a_call_writes_itself_is_refused_in_every_form(form: Callable[[str], str]) -> None:
    full = {"via", "from", "to", "call-id", "cseq", "contact", "route", "record-route"}
    full |= {"content-length", "content-type"}
    for name in (*full, *(compact for compact, name in COMPACT_NAMES.items() if name in full)):
        with pytest.raises(Refused, match="the call writes this header itself"):
            headers_of([f"{form(name)} \t: x"])
    others = [compact for compact, name in COMPACT_NAMES.items() if name not in full]
    written = [f"{form(name)}: x" for name in ("Max-Forwards", "X-Test", "Supported", *others)]
    assert [name for name, _ in headers_of(written)] == [text.partition(":")[0] for text in written]


def test_an_early_ctrl_c_is_exit_code_130_and_still_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("callwright.scenario.catalogue.text", interrupted)
    code, out, err = typed(capsys, "catalogue", "basic_call", "--json")
    assert (code, json.loads(out)["verdict"]) == (130, "canceled")
    assert "Traceback" not in err


def test_a_refused_run_has_the_keys_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    document = refused(capsys, "run", "no_such_test")
    assert (document["conditions"], document["calls"], document["verdict"]) == ([], [], "error")


def test_a_problem_in_the_credentials_names_their_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("office: {user: 1, passwrd: x}\n")
    assert str(file) in refused(capsys, "run", "basic_call", "--credentials", str(file))["reason"]


def test_what_a_peer_wrote_cannot_act_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("Server: a\x1b[2Jb")
    console.show("Server: a\x1b[2Jb\x9b1m")
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "\x9b" not in told.out


def test_a_fault_of_our_own_is_exit_code_3_and_still_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr("callwright.scenario.catalogue.text", broken)
    code, out, err = typed(capsys, "catalogue", "basic_call", "--json")
    assert code == 3
    assert json.loads(out)["blame"] == "platform"
    assert "a bug" in err


def test_nothing_typed_shows_the_help_and_no_empty_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = typed(capsys)
    assert (code, err) == (2, "")
    assert " call " in out


def test_the_parameters_of_a_test_are_written_as_the_language_writes_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = typed(capsys, "catalogue", "basic_call")
    assert code == 0
    assert "Bob registers and waits; Alice calls him, both speak for some seconds, and Alice hangs up." in out
    assert re.search("^party.alice.display_name +text", out, re.MULTILINE)
    assert "PCMU, PCMA" in out
    assert "[]" not in out.rpartition("Parameters")[2]
