"""Probes against what others wrote: Kamailio and baresip answer them, tshark reads our STAMP packets, and a
relay between two of ours knows what it lost."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callwright.net.clock import SystemClock
from callwright.net.exchange import Arrival, ReflectingSocket
from callwright.net.impairment import GilbertElliott, Impairment, Impairments
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules
from callwright.probe.prober import Prober
from callwright.probe.stamp import Reflector
from callwright.probe.stamp_packet import SenderPacket, reflector_packet, sender_packet
from callwright.probe.train import Shape
from callwright.sip.transport import Address
from tests.interop.peers import LOOPBACK, baresip, kamailio, run_callwright, tshark

pytestmark = pytest.mark.peer

ANSWERING = 'request_route { sl_send_reply("200", "Alive"); exit; }'


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_kamailio_answers_a_train_of_options(tmp_path: Path, transport: str) -> None:
    with kamailio(tmp_path, ANSWERING, modules=("sl", "pv")) as proxy:
        done = run_callwright(
            tmp_path,
            *("probe", "sip", f"sip:{LOOPBACK}:{proxy.port}", "--transport", transport, "-c", "5", "--json"),
        )
    document = json.loads(done.output)
    assert (document["received"], document["sip_code"], document["sip_reason"]) == (5, 200, "Alive")
    assert "kamailio" in document["user_agent"].lower()


def test_baresip_is_called_and_sends_the_speech_back(tmp_path: Path) -> None:
    account = f"<sip:echo@{LOOPBACK}:5060>;regint=0;answermode=auto"
    with baresip(tmp_path, account) as echo:
        done = run_callwright(
            tmp_path, "probe", "call", f"sip:echo@{LOOPBACK}:{echo.port}", "--for", "2", "--json"
        )
    document = json.loads(done.output)
    assert document["sip_code"] == 200, document["reason"]
    assert document["verdict"] in ("passed", "invalid")
    assert document["back"]["lost"] == 0
    assert document["received"] > 60


def test_tshark_reads_our_stamp_packets_as_we_mean_them(tmp_path: Path) -> None:
    at = 1_800_000_000.25
    question = sender_packet(SenderPacket(7, at, True, 77), 172)
    answer = reflector_packet(
        question, sequence=3, stamp=at + 0.5, received=at + 0.25, synchronised=False, ttl=61
    )
    file = tmp_path / "stamp.pcap"
    file.write_bytes(pcap([(40_000, 862, question), (862, 40_000, answer)]))
    printed = tshark("-r", str(file), "-d", "udp.port==862,twamp.test", "-T", "json")
    sent, came = (packet["_source"]["layers"]["twamp.test"] for packet in json.loads(printed))
    assert field(sent, "seq_number") == "7"
    assert field(came, "seq_number") == "3"
    assert field(came, "sender_seq_number") == "7"
    assert field(came, "sender_ttl") == "61"
    assert "2027 08:00:00.25" in field(sent, "timestamp")
    assert "2027 08:00:00.50" in field(came, "receive_timestamp")
    assert "2027 08:00:00.75" in field(came, "timestamp")


def field(layer: dict[str, Any], name: str) -> str:
    return str(layer[f"twamp.test.{name}"])


def pcap(datagrams: list[tuple[int, int, bytes]]) -> bytes:
    """IPv4 packets without a link layer (LINKTYPE_RAW)."""
    file = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
    for source, destination, data in datagrams:
        udp = struct.pack("!HHHH", source, destination, 8 + len(data), 0) + data
        here = bytes([127, 0, 0, 1])
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, here, here)
        packet = header + udp
        file += struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet
    return file


class Side(asyncio.DatagramProtocol):
    """One side of a relay: what comes is passed on by `pass_on`, with a delay, or not at all."""

    def __init__(self, impairments: Impairments, seed: str, pass_on: Callable[[bytes], None]) -> None:
        self.way, self.pass_on = Impairment(impairments, seed), pass_on
        self.source: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        loop, self.source = asyncio.get_running_loop(), source
        for at in self.way.plan(len(data), loop.time()):
            loop.call_at(at, self.pass_on, data)


async def test_a_stamp_train_counts_what_a_relay_lost_in_each_direction() -> None:
    clock, loop = SystemClock(), asyncio.get_running_loop()

    def take(batch: list[Arrival]) -> None:
        for arrival in batch:
            reflector.receive(arrival.data, arrival.source, arrival.now, arrival.wall, arrival.ttl)
        for answer in reflector.transmissions(clock.wall()):
            opened.send(answer.data, Address(*answer.remote))

    opened = ReflectingSocket(LOOPBACK, 0, clock=clock, on_batch=take)
    reflector = Reflector(opened.local.port)
    bursts = Impairments(bursts=GilbertElliott.burst(0.1, 3.0), delay=0.02)
    front = Side(bursts, "there", lambda data: back.transport.sendto(data))
    back = Side(
        Impairments(loss=0.05, delay=0.01), "back", lambda data: front.transport.sendto(data, front.source)
    )
    await loop.create_datagram_endpoint(lambda: front, (LOOPBACK, 0))
    await loop.create_datagram_endpoint(lambda: back, remote_addr=(LOOPBACK, opened.local.port))
    port = front.transport.get_extra_info("sockname")[1]
    found = await Prober(Permission(Purpose.RUN, Rules())).udp(
        LOOPBACK, port, Shape(packets=200, spacing=0.01, wait=2.0)
    )
    for side in (front, back):
        side.transport.close()
    opened.close()
    assert found.out is not None
    assert found.back is not None
    assert (front.way.lost, back.way.lost) > (5, 3)
    assert found.lost == front.way.lost + back.way.lost
    # What became of packets after the last one that came back, nobody tells.
    assert front.way.lost - (found.out.lost or 0) in range(4)
    assert back.way.lost - (found.back.lost or 0) in range(4)
    assert (found.rtt_ms or 0) >= 30.0
