from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from callwright.cli import main
from callwright.cli.probe_view import picture


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_picture_has_a_bar_for_each_packet_and_a_cross_for_each_that_is_lost() -> None:
    assert picture([10.0, 20.0, None, 30.0]) == ["▁▅✗█"]
    assert picture([10.0, 20.0, None, 30.0], plain=True) == ["_+x#"]
    assert [len(row) for row in picture([1.0] * 120)] == [50, 50, 20]
    assert picture([0.02, 0.5]) == ["▁▄"]


def test_a_far_end_that_is_silent_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        code, out, _ = typed(
            capsys,
            "probe",
            "udp",
            f"127.0.0.1:{port}",
            "-c",
            "2",
            "--interval",
            "5",
            "--wait",
            "0.05",
            "--json",
        )
    document: dict[str, Any] = json.loads(out)
    assert (code, document["verdict"], document["sent"], document["received"]) == (1, "failed", 2, 0)
    assert "callwright reflect" in document["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ping", "sip:x@y"), "TARGET is a host"),
        (("ping", "127.0.0.1", "-4", "-6"), "exclude each other"),
        (("ping", "127.0.0.1", "--codec", "mp3"), "--codec"),
        (("udp", "127.0.0.1:70000"), "no port"),
        (("udp", "127.0.0.1", "--bind", "here"), "--bind takes an address"),
        (("sip", "127.0.0.1", "--transport", "sctp"), "--transport is udp, tcp, tls, ws or wss"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = typed(capsys, "probe", *arguments, "--json")
    assert code == 2
    assert said in err
    assert json.loads(out)["verdict"] == "error"


def test_a_reflector_that_cannot_open_its_port_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        code, _, err = typed(capsys, "reflect", "--bind", "127.0.0.1", "--port", port)
    assert code == 3
    assert "cannot be opened: Address already in use" in err
    assert "--port" in err


def test_sip_messages_are_printed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        code, out, err = typed(
            capsys, "probe", "sip", f"127.0.0.1:{port}", "-c", "2", "--wait", "0.05", "--trace-sip", "-v"
        )
    assert code == 1
    assert err.count("OPTIONS sip:127.0.0.1") == 2
    assert out.count("lost") == 3
