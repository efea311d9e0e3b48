from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from callwright.evidence.pcap import PcapWriter
from callwright.net.tap import Packet

ALICE, PBX = ("192.0.2.1", 40000), ("192.0.2.10", 5060)
OPTIONS = (
    b"OPTIONS sip:pbx@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:pbx@192.0.2.10>\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)
OK = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\n"
    b"To: <sip:pbx@192.0.2.10>;tag=2\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)

needs_tshark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]


def sip(
    data: bytes,
    at: float = 0.0,
    *,
    transport: str = "UDP",
    direction: Literal["in", "out"] = "out",
    local: tuple[str, int] = ALICE,
    remote: tuple[str, int] = PBX,
) -> Packet:
    return Packet(1_790_000_000.25 + at, 50.0 + at, direction, "sip", transport, local, remote, data)


def rtp(number: int, at: float, direction: Literal["in", "out"] = "out", ssrc: int = 7) -> Packet:
    data = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, 160 * number, ssrc) + bytes([number & 0xFF]) * 160
    return Packet(
        1_790_000_000.25 + at,
        50.0 + at,
        direction,
        "rtp",
        "UDP",
        ("192.0.2.1", 4000),
        ("192.0.2.10", 16384),
        data,
    )


def fields(capture: Path, *names: str, only: str = "", options: tuple[str, ...] = ()) -> list[list[str]]:
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", *options]
    command += [
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "tcp.check_checksum:TRUE",
    ]
    for name in names:
        command += ["-e", name]
    if only:
        command += ["-Y", only]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.split("\t") for line in out.splitlines()]


def records(capture: Path) -> list[bytes]:
    data = capture.read_bytes()
    found, position = [], 24
    while position < len(data):
        kept = struct.unpack_from("<I", data, position + 8)[0]
        found.append(data[position + 16 : position + 16 + kept])
        position += 16 + kept
    assert position == len(data)
    return found


def test_an_empty_capture_is_a_valid_file(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a.pcap"):
        pass
    assert struct.unpack("<IHHiIII", (tmp_path / "a.pcap").read_bytes()) == (
        0xA1B23C4D,
        2,
        4,
        0,
        0,
        262_144,
        101,
    )


def test_what_both_ends_of_one_process_show_is_written_once(tmp_path: Path) -> None:
    departure = sip(OPTIONS)
    arrival = sip(OPTIONS, 0.001, direction="in", local=PBX, remote=ALICE)
    with PcapWriter(tmp_path / "a.pcap") as capture:
        capture([departure, arrival])
        capture([departure, departure])  # two retransmissions, of which one arrives
        capture([arrival])
    assert capture.packets == 3
    assert len(records(tmp_path / "a.pcap")) == 3


def test_an_arrival_tapped_before_its_departure_is_written_once_too(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a.pcap") as capture:
        capture([sip(OPTIONS, direction="in", local=PBX, remote=ALICE)])
        capture([sip(OPTIONS)])
    assert capture.packets == 1


def test_a_snap_length_cuts_the_record_and_keeps_the_true_length(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a.pcap", snap_length=64) as capture:
        capture([sip(OPTIONS)])
    kept, original = struct.unpack_from("<II", (tmp_path / "a.pcap").read_bytes(), 24 + 8)
    assert (kept, original) == (64, 28 + len(OPTIONS))


def test_secrets_leave_no_trace_and_the_length_stays(tmp_path: Path) -> None:
    head = b'Authorization: Digest username="a", realm="r", response="0123456789abcdef"\r\n'
    message = OPTIONS.replace(b"Max-Forwards", head + b"Max-Forwards")
    cut = message.index(b"6789abcdef")
    with PcapWriter(tmp_path / "a.pcap") as capture:
        capture([sip(message)])
        capture([sip(message[:cut], transport="TLS"), sip(message[cut:], transport="TLS")])
    written = (tmp_path / "a.pcap").read_bytes()
    assert b"012345" not in written
    assert b"6789abcdef" not in written
    assert len(records(tmp_path / "a.pcap")[0]) == 28 + len(message)
    assert any("decrypted" in note for note in capture.notes)


def test_an_address_that_is_a_name_is_left_out_and_said(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a.pcap") as capture:
        capture([sip(OPTIONS, remote=("pbx.example.com", 5060)), sip(OPTIONS)])
    assert capture.packets == 1
    assert any("1 packets are left out" in note for note in capture.notes)


@pytest.mark.chaos
def test_a_full_disk_is_told_and_leaves_a_readable_capture(tmp_path: Path) -> None:
    child = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from tests.evidence.test_pcap import PcapWriter, rtp
capture = PcapWriter({str(tmp_path / "a.pcap")!r})
for second in range(10):
    capture([rtp(second * 10 + n, second) for n in range(10)])
capture.close()
print(capture.problem)
"""
    done = subprocess.run(
        [sys.executable, "-c", child],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "The capture a.pcap stops after" in done.stdout
    assert "result is complete" in done.stdout
    assert len(records(tmp_path / "a.pcap")) == (5000 - 24) // 216


def test_a_device_without_space_does_not_raise() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with PcapWriter("/dev/full") as capture:
        capture([sip(OPTIONS)])
    assert capture.problem is not None
    assert "No space left on device" in capture.problem


class TestTsharkReads:
    pytestmark = needs_tshark

    def test_sip_and_rtp_over_udp_with_right_checksums_and_times(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pcap"
        with PcapWriter(path) as capture:
            capture([sip(OPTIONS), sip(OK, 0.02, direction="in")])
            capture([rtp(n, 0.1 + n * 0.02) for n in range(65530, 65540)])
            capture([sip(OPTIONS, 3, local=("2001:db8::1", 5060), remote=("2001:db8::2", 5060))])
        rows = fields(
            path,
            "frame.time_epoch",
            "sip.Method",
            "sip.Status-Code",
            "udp.checksum.status",
            "ip.checksum.status",
        )
        assert len(rows) == 13
        assert {row[3] for row in rows} == {"1"}
        assert {row[4] for row in rows} == {"1", ""}  # IPv6 has none
        assert rows[0][:2] == ["1790000000.250000000", "OPTIONS"]
        assert rows[1][2] == "200"
        assert rows[1][0].startswith("1790000000.2700000")
        streams = fields(path, "rtp.seq", "rtp.p_type", only="rtp", options=("-d", "udp.port==16384,rtp"))
        assert [int(row[0]) for row in streams] == [n & 0xFFFF for n in range(65530, 65540)]

    def test_tcp_reassembles_though_messages_are_cut_anywhere(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pcap"
        request, response = OPTIONS.replace(b"UDP", b"TCP"), OK.replace(b"UDP", b"TCP")
        with PcapWriter(path, resolution="us") as capture:
            capture([sip(request[:100], transport="TCP"), sip(request[100:], 0.01, transport="TCP")])
            capture([sip(response, 0.02, transport="TCP", direction="in")])
            capture([sip(request + request, 0.03, transport="TCP")])
            # The same octets once more, from the server's own tap.
            capture(
                [sip(request + request[:7], 0.03, transport="TCP", direction="in", local=PBX, remote=ALICE)]
            )
        assert fields(path, "tcp.analysis.flags", only="tcp.analysis.flags") == []
        assert {row[0] for row in fields(path, "tcp.checksum.status")} == {"1"}
        seen = fields(path, "sip.Method", "sip.Status-Code", only="sip")
        assert tuple(seen[0]) == ("OPTIONS", "")
        assert sum(row[0].count("OPTIONS") for row in seen) == 3
        assert sum(row[1].count("200") for row in seen) == 1

    def test_tls_is_readable_as_tcp(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pcap"
        tls = ("192.0.2.10", 5061)
        with PcapWriter(path) as capture:
            capture([sip(OPTIONS, transport="TLS", remote=tls)])
            capture([sip(OK, 0.1, transport="TLS", direction="in", remote=tls)])
        seen = fields(path, "sip.CSeq.method", only="sip", options=("-d", "tcp.port==5061,sip"))
        assert len(seen) == 2
