"""Our numbers and those of Wireshark's RTP analysis, on the same packets."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from callwright.rtp.packet import RtpPacket, serialize
from callwright.rtp.report import ReceivedReport
from callwright.rtp.session import Session
from tests.rtp.pair import A, B, config, entropy

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]


class Analysis(NamedTuple):
    packets: int
    lost: int
    mean_jitter: float
    max_jitter: float


def write_pcap(path: Path, packets: list[tuple[float, bytes]]) -> None:
    """Raw IPv4 and UDP from B to A, microseconds rounded as a capture does."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101))  # nanoseconds, raw IP
        for arrival, data in packets:
            source, target = (bytes(int(part) for part in address[0].split(".")) for address in (B, A))
            udp = struct.pack("!HHHH", B[1], A[1], 8 + len(data), 0) + data
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, target)
            nanoseconds = round(arrival * 1e9)
            frame = ip + udp
            file.write(struct.pack("<IIII", *divmod(nanoseconds, 1_000_000_000), len(frame), len(frame)))
            file.write(frame)


def analysed(path: Path) -> Analysis:
    command = ["tshark", "-n", "-r", str(path), "-q", "-d", f"udp.port=={A[1]},rtp", "-z", "rtp,streams"]
    command += ["-o", "rtp.heuristic_rtp:TRUE"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    (line,) = [line for line in text.splitlines() if "0x" in line]
    before, after = line.split("(", 1)
    packets, lost = (int(field) for field in before.split()[-2:])
    numbers = [float(field) for field in re.findall(r"\d+\.\d+", after.split(")", 1)[1])]
    return Analysis(packets, lost, numbers[4], numbers[5])


def received(packets: list[tuple[float, bytes]]) -> ReceivedReport:
    session = Session(config(B), entropy(1))
    session.start(packets[0][0])
    session.receive_batch([(data, B, arrival) for arrival, data in packets])
    return session.report(packets[-1][0]).received


def stream(
    seed: int, *, loss: float = 0.0, jitter: float = 0.0, first: int = 1000, markers: int = 0, noise: int = 0
) -> list[tuple[float, bytes]]:
    chance = random.Random(seed)
    packets = []
    arrival = 0.0
    for n in range(1500):
        arrival = max(arrival + 0.0001, 10.0 + 0.02 * n + chance.random() * jitter)
        marker = n == 0 or bool(markers and n % markers == 0)
        kind = 13 if noise and n % noise == 3 else 0
        packet = RtpPacket(
            kind, marker, (first + n) & 0xFFFF, (77 + 160 * n) & 0xFFFFFFFF, 0xABCD, bytes(160)
        )
        if n in (0, 1499) or chance.random() >= loss:
            packets.append((round(arrival, 6), serialize(packet)))
    return packets


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param(stream(1), id="clean"),
        pytest.param(stream(2, jitter=0.004), id="little jitter"),
        pytest.param(stream(3, jitter=0.06), id="jitter of three packets"),
        pytest.param(stream(4, loss=0.05, jitter=0.01), id="loss"),
        pytest.param(stream(5, loss=0.02, jitter=0.01, first=65000), id="wrap-around"),
        pytest.param(stream(6, jitter=0.02, markers=100), id="markers"),
    ],
)
def test_packets_loss_and_mean_jitter_are_wiresharks(
    packets: list[tuple[float, bytes]], tmp_path: Path
) -> None:
    write_pcap(tmp_path / "stream.pcap", packets)
    theirs, ours = analysed(tmp_path / "stream.pcap"), received(packets)
    assert (ours.packets, ours.lost) == (theirs.packets, theirs.lost)
    assert ours.jitter_ms == pytest.approx(theirs.mean_jitter, abs=0.01)
    assert ours.max_jitter_ms == pytest.approx(theirs.max_jitter, abs=0.01)


def test_reordering_and_duplicates_agree_but_for_how_wireshark_counts_lost(tmp_path: Path) -> None:
    chance = random.Random(1)
    packets = []
    for arrival, data in stream(8, jitter=0.01, loss=0.01):
        later = 0.045 if chance.random() < 0.05 else 0.0
        packets.append((round(arrival + later, 6), data))
        if chance.random() < 0.03:
            packets.append((round(arrival + later + 0.0005, 6), data))
    packets.sort()
    write_pcap(tmp_path / "stream.pcap", packets)
    theirs, ours = analysed(tmp_path / "stream.pcap"), received(packets)
    assert ours.packets == theirs.packets
    assert ours.lost - ours.duplicated == theirs.lost
    assert ours.jitter_ms == pytest.approx(theirs.mean_jitter, abs=0.1)
