"""`callwright load` with baresip on the other side, both ways: a phone that nobody made for tests of load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.interop import peers

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

ACCOUNT = f"<sip:1002@{peers.LOOPBACK}>;regint=0;answermode=auto"


@pytest.mark.parametrize("mode", ["ports", "shared"])
def test_baresip_answers_our_load_and_its_echo_is_judged(tmp_path: Path, mode: str) -> None:
    with peers.baresip(tmp_path, ACCOUNT) as phone:
        done = peers.run_callwright(
            tmp_path, "load", f"sip:1002@{peers.LOOPBACK}:{phone.port}", "--rate", "0.5", "--calls", "3",
            "--concurrent", "1", "--hold", "1.2", "--media", mode, "--json",
        )  # fmt: skip
        # 3 where the machine is too busy to send RTP in time; every call is counted all the same.
        assert done.process.returncode in (0, 3), done.log
        told = done.document()
    assert (told["attempted"], told["answered"], told["failed"]) == (3, 3, 0)
    assert told["media"]["streams"] == 3
    # baresip sends 50 packets a second, from its answer until our BYE. Its audio loop serves one call, and
    # needs a moment between two.
    assert 3 * 35 < told["media"]["received"] < 3 * 100, told["media"]
    # What was on its way when a call ended belongs to no call.
    assert told["media"]["unmatched"] <= 3 * 2, told["media"]


def test_baresip_calls_our_answering_side(tmp_path: Path) -> None:
    port = peers.free_port()
    ours = peers.start_callwright(
        tmp_path, "load", "--answer", "--listen", f"{peers.LOOPBACK}:{port}", "--calls", "2",
        "--media", "ports", "--json", wait_for="answering at",
    )  # fmt: skip
    with ours, peers.baresip(tmp_path, ACCOUNT) as phone:
        for number in (1, 2):
            phone.command("dial", f"sip:load@{peers.LOOPBACK}:{port}")
            phone.until(lambda n=number: phone.log.count("Call established") >= n, "established")
            time.sleep(1.5)  # real audio takes real time
            phone.command("hangup")
        assert ours.wait() in (0, 3), ours.log
        told = ours.document()
    assert (told["attempted"], told["answered"], told["failed"]) == (2, 2, 0)
    assert told["media"]["streams"] == 2
    assert told["media"]["received"] > 2 * 40
    assert told["media"]["lost"] == 0
