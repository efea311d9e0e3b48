"""tshark as the judge: it sees the packets on the interface, and has to count as we count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from callwright.net.impairment import GilbertElliott, Impairments
from tests.interop.impaired import Relay
from tests.interop.peers import LOOPBACK, dumpcap, free_port, run_callwright, start_callwright, tshark

pytestmark = pytest.mark.peer

#: With it nothing overtakes the first packet: Wireshark counts from what comes first, we from the lowest.
SEED = 9


class Stream(NamedTuple):
    """A line of tshark's RTP analysis."""

    packets: int
    lost: int
    mean_jitter_ms: float
    max_jitter_ms: float


def analysis(file: Path, port: int) -> Stream:
    """What tshark says of the only RTP stream that went to 127.0.0.1:`port`."""
    printed = tshark(
        "-r",
        str(file),
        "-q",
        "-d",
        f"udp.port=={port},rtp",
        "-z",
        "rtp,streams",
        "-Y",
        f"udp.dstport=={port}",
    )
    found = []
    for line in printed.splitlines():
        match = re.search(
            rf"{re.escape(LOOPBACK)}\s+{port}\s+0x\w+\s+.*?\s(\d+)\s+(-?\d+) \(.*?%\)((?:\s+[\d.]+)+)", line
        )
        if match:
            # minimum, mean and maximum of the delta, then of the jitter
            times = [float(word) for word in match[3].split()]
            found.append(Stream(int(match[1]), int(match[2]), times[4], times[5]))
    assert len(found) == 1, printed
    return found[0]


def judged(
    folder: Path, *, toward_near: Impairments, seconds: str = "3"
) -> tuple[dict[str, Any], Stream, Relay]:
    """A call between two of ours through a relay; our document, tshark's view, and what the relay did."""
    sip, near, far = free_port(), free_port(pair=True), free_port(pair=True)
    relay = Relay(
        ("127.0.0.3", (near, near + 1)),
        ("127.0.0.2", (sip, far, far + 1)),
        toward_near=toward_near,
        seed=SEED,
    )
    capture = dumpcap(folder, capture_filter=f"dst host {LOOPBACK} and udp port {near}")
    with capture.peer, relay:
        answer = start_callwright(
            folder,
            *("answer", "--listen", f"{LOOPBACK}:{sip}", "--advertise", "127.0.0.2", "--calls", "1"),
            *("--for", seconds),
            *("--rtp-ports", f"{far}-{far + 1}", "--json"),
            wait_for="listening on",
        )
        with answer:
            placed = run_callwright(
                folder,
                *("call", f"sip:sut@{LOOPBACK}:{sip}", "--bind", LOOPBACK, "--advertise", "127.0.0.3"),
                *("--rtp-ports", f"{near}-{near + 1}", "--for", "20", "--min-mos", "1", "--json"),
            )
            assert placed.process.returncode == 0, placed.log
            answer.wait(15)
    return placed.document(), analysis(capture.file, near), relay


@pytest.mark.parametrize(
    ("network", "wanted_loss"),
    [
        (Impairments(), (0, 0)),
        (Impairments(loss=0.1), (1, 60)),
        (Impairments(bursts=GilbertElliott.burst(0.08, 4)), (1, 80)),
        (Impairments(loss=0.03, delay=0.01, jitter=0.004, reorder=0.05, reorder_by=0.025), (1, 40)),
        (Impairments(loss=0.05, delay=0.03, jitter=0.02, distribution="exponential"), (1, 30)),
    ],
    ids=["clean", "loss", "bursts", "reordered", "tail"],
)
def test_tshark_counts_as_we_do(tmp_path: Path, network: Impairments, wanted_loss: tuple[int, int]) -> None:
    document, seen, relay = judged(tmp_path, toward_near=network)
    received = document["received"]
    assert received["packets"] == seen.packets
    assert received["lost"] == seen.lost
    assert abs(received["jitter_ms"] - seen.mean_jitter_ms) < 0.1
    assert abs(received["max_jitter_ms"] - seen.max_jitter_ms) < 0.2
    assert wanted_loss[0] <= received["lost"] <= wanted_loss[1]
    media = next(iter(relay.near.values()))
    assert received["packets"] <= len(media.delivered)
    # Losses after the last packet that came cannot be known to anybody.
    assert media.dropped - 5 <= received["lost"] <= media.dropped
