"""What we report of a bad network is what the network did: by a relay of ours, and by the kernel's netem."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callwright.net.impairment import Impairments
from tests.interop.impaired import Relay
from tests.interop.peers import LOOPBACK, PeerProcess, free_port, run_callwright, start_callwright

pytestmark = pytest.mark.chaos

LOSS, DELAY_MS = 0.05, 40.0


def believable(document: dict[str, Any]) -> None:
    """5 % of loss, within four standard deviations; 40 ms each way with 10 ms of jitter."""
    received = document["received"]
    sent = received["packets"] + received["lost"]
    spread = 4 * math.sqrt(sent * LOSS * (1 - LOSS))
    assert abs(received["lost"] - sent * LOSS) <= spread
    assert abs(document["rtt_ms"] / 2 - DELAY_MS) < 8
    assert 1 < received["jitter_ms"] < 12
    # One-way delay of the E-model: the network's, the buffer's 50 ms and one packet's 20 ms.
    assert abs(received["ta_ms"] - (document["rtt_ms"] / 2 + 70)) < 1
    assert received["mos"] < 4.3


def test_loss_and_delay_of_a_relay_are_reported(tmp_path: Path) -> None:
    sip, near, far = free_port(), free_port(pair=True), free_port(pair=True)
    network = Impairments(loss=LOSS, delay=DELAY_MS / 1000, jitter=0.010)
    relay = Relay(
        ("127.0.0.3", (near, near + 1)),
        ("127.0.0.2", (sip, far, far + 1)),
        toward_near=network,
        toward_far=Impairments(delay=DELAY_MS / 1000, jitter=0.010),
        seed=9,
    )
    listen = ("--listen", f"{LOOPBACK}:{sip}", "--advertise", "127.0.0.2")
    with relay:
        answer = start_callwright(
            tmp_path,
            *("answer", *listen, "--calls", "1", "--for", "8", "--rtp-ports", f"{far}-{far + 1}", "--json"),
            wait_for="listening on",
        )
        with answer:
            placed = run_callwright(
                tmp_path,
                *("call", f"sip:sut@{LOOPBACK}:{sip}", "--bind", LOOPBACK, "--advertise", "127.0.0.3"),
                *("--rtp-ports", f"{near}-{near + 1}", "--for", "20", "--min-mos", "2", "--json"),
            )
            assert placed.process.returncode == 0, placed.log
            assert answer.wait(15) == 0, answer.log
    document = placed.document()
    believable(document)
    doors = list(relay.near.values())
    assert document["received"]["lost"] in range(doors[0].dropped - 3, doors[0].dropped + 1)
    # The far side hears the same of us by its own measurement as we say by its RTCP.
    theirs = answer.document()["calls"][0]
    assert theirs["received"]["lost"] == 0
    assert document["sent"]["lost"] == 0


# -- netem


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


@contextlib.contextmanager
def namespace() -> Iterator[tuple[str, str, str]]:
    """A network namespace joined to ours: (its name, our address, its address). Root only."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    number = os.getpid() % 200 + 20
    name, ours, theirs = f"callwright{os.getpid()}", f"10.213.{number}.1", f"10.213.{number}.2"
    here, there = f"cw{os.getpid()}a", f"cw{os.getpid()}b"
    made = _run("ip", "netns", "add", name)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    try:
        for command in (
            f"ip link add {here} type veth peer name {there} netns {name}",
            f"ip addr add {ours}/30 dev {here}",
            f"ip link set {here} up",
            f"ip -n {name} addr add {theirs}/30 dev {there}",
            f"ip -n {name} link set {there} up",
            f"ip -n {name} link set lo up",
        ):
            done = _run(*command.split())
            if done.returncode != 0:
                pytest.skip(f"no pair of interfaces here: {done.stderr.strip()}")
        yield name, ours, theirs
    finally:
        _run("ip", "link", "del", here)
        _run("ip", "netns", "del", name)


def call_into(folder: Path, name: str, theirs: str, seconds: str) -> dict[str, Any]:
    """A call from here to an `answer` in the namespace; our document, after exit code 0."""
    port = free_port()
    inside = ["ip", "netns", "exec", name, sys.executable, "-m", "callwright"]
    answer = PeerProcess(
        [*inside, "answer", "--listen", f"{theirs}:{port}", "--calls", "1", "--json"],
        folder=folder,
        name="answer",
    )
    with answer:
        answer.wait_for("listening on")
        placed = run_callwright(
            folder,
            *("call", f"sip:sut@{theirs}:{port}", "--for", seconds, "--min-mos", "2", "--json"),
        )
        assert placed.process.returncode == 0, placed.log
        return placed.document()


def test_a_call_crosses_a_network_namespace(tmp_path: Path) -> None:
    with namespace() as (name, ours, theirs):
        document = call_into(tmp_path, name, theirs, "1")
    assert document["local"] == f"sip:callwright@{ours}"  # the source address by route
    assert document["received"]["lost"] == 0


def test_loss_and_delay_of_netem_are_reported(tmp_path: Path) -> None:
    with namespace() as (name, _, theirs):
        for device, there in ((f"cw{os.getpid()}a", ()), (f"cw{os.getpid()}b", ("-n", name))):
            loss = ("loss", f"{LOSS:.0%}") if there else ()
            shaped = _run(
                "tc", *there, "qdisc", "add", "dev", device, "root", "netem", *loss, "delay", "40ms", "10ms"
            )
            if shaped.returncode != 0:
                pytest.skip(f"this kernel has no netem: {shaped.stderr.strip()}")
        document = call_into(tmp_path, name, theirs, "8")
    believable(document)
