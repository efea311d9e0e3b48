"""Who may bring media from elsewhere: callers whose SDP names another address than they signal from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import PeerProcess
from tests.kit.networks import Networks, two_networks

CARRIER = Path(__file__).with_name("carrier.py")


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    with two_networks() as made:
        yield made


def called(
    networks: Networks, folder: Path, *flags: str, mode: str
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """One call to `callwright answer`: what the carrier saw, our document, our exit code."""
    signalling, media = networks.theirs
    listen = (
        "--listen",
        f"{networks.ours}:5070",
        "--calls",
        "1",
        "--play",
        "tone",
        "--json",
        "--min-heard",
        "0",
    )
    answer = networks.command(networks.near, "-m", "callwright", "answer", *listen, *flags)
    target = () if mode == "register" else (networks.ours, "5070")
    calling = networks.command(networks.far, str(CARRIER), mode, signalling, media, *target)
    first, second = (calling, answer) if mode == "register" else (answer, calling)
    with PeerProcess(first, folder=folder, name="first") as one:
        one.wait_for("ready" if mode == "register" else "listening on")
        with PeerProcess(second, folder=folder, name="second") as other:
            carrier, ours = (one, other) if mode == "register" else (other, one)
            assert carrier.wait(30) == 0, carrier.log
            code = ours.wait(30)
    return json.loads(carrier.output), json.loads(ours.output), code


def test_caller_with_media_elsewhere_is_refused_before_the_answer(networks: Networks, tmp_path: Path) -> None:
    seen, document, code = called(networks, tmp_path, mode="call")
    assert [status for status in seen["statuses"] if status >= 180] == [488]
    assert "not sent to that address" in seen["warning"]
    assert (seen["rtp"], seen["rtcp"]) == (0, 0)
    assert code == 2
    assert "Add --allow-media 203.0.113.99 if callers may bring media from there." in document["reason"]


def test_media_of_callers_goes_where_a_flag_permits_it(networks: Networks, tmp_path: Path) -> None:
    seen, document, code = called(networks, tmp_path, "--allow-media", "203.0.113.99", mode="call")
    assert seen["statuses"][-1] == 200
    assert seen["rtp"] > 50
    assert seen["rtcp"] == 0  # the port of a service
    assert document["calls"][0]["failure"] != "policy"
    assert code != 2


def test_registered_phone_takes_calls_of_its_public_registrar(networks: Networks, tmp_path: Path) -> None:
    register = ("--register", f"sip:1002@{networks.theirs[0]}", "--password", "secret")
    seen, document, code = called(networks, tmp_path, *register, mode="register")
    assert seen["statuses"][-1] == 200
    assert seen["rtp"] > 50
    assert document["calls"][0]["failure"] != "policy"
    assert code != 2
