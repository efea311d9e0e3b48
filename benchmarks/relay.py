"""How many relayed calls a core carries, and how late their packets leave.

    python -m benchmarks.relay [--calls 300,1000,1500] [--seconds 8] [--engine pure|native|both]

Each call is two phones that send 50 packets of G.711 a second through the relay, which measures both streams
as for a call record. The phones are a program in C on one core, the relay is a process of its own on another.
The figures are its user and system time for each second, all its threads together, and the delay of packets
from before `sendto` of the one phone until the kernel stamps their arrival at the other. The path is that of
a PBX's call, from its descriptions on, without the cost of signalling.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from callwright.net.forwarder import Forwarder
from callwright.net.forwarder_choice import native_forwarder
from callwright.net.ports import MediaPorts
from callwright.pbx.path import LegSide
from callwright.pbx.relay import RelayPaths
from callwright.policy.destination import Rules
from callwright.sdp.description import SessionDescription
from callwright.sip.transport import Address, Hop, Transport

HOST = "127.0.0.1"
Ports = list[tuple[int, int]]


class Figures(NamedTuple):
    """`core`: seconds of CPU a second of talk; `pace`: how long that took; `p50`, `p99`, `longest`: ms."""

    core: float
    p50: float
    p99: float
    longest: float
    sent: int
    lost: int
    pace: float
    mos: float


def description(port: int) -> bytes:
    lines = [
        "v=0",
        f"o=- 7 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {HOST}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "",
    ]
    return "\r\n".join(lines).encode()


def relay(engine: type[Forwarder], end: Connection) -> None:
    """The relay's process: gets the phones' ports, gives its own, and at last what it took and measured."""
    pin(1)
    forwarder = engine(ports=MediaPorts(16_384, 32_767))
    hop = Hop(Transport.UDP, Address(HOST, 5060), Address(HOST, 5070))
    paths = RelayPaths(forwarder, Rules())
    opened = []
    ports: Ports = []
    for first, second in end.recv():
        path = paths.open(hop, [hop], time.monotonic())
        found = []
        for side, port in ((LegSide.CALLER, first), (LegSide.CALLEE, second)):
            carried = path.carry(description(port), side, speaker_host=HOST, listener_local=HOST)
            found.append(SessionDescription.parse(carried).media[0].port)
        path.settle(time.monotonic())
        path.answered(time.monotonic())
        opened.append(path)
        # What the callee is told is where the callee sends, and the other way about.
        ports.append((found[1], found[0]))
    end.send(ports)
    while end.recv() != "end":
        end.send(time.process_time())
    scores = []
    for path in opened:
        relayed = path.close(time.monotonic(), LegSide.CALLER)
        assert relayed is not None
        scores += [one.mos or 0.0 for one in (relayed.caller, relayed.callee) if one is not None]
    end.send(sum(scores) / len(scores) if scores else 0.0)
    forwarder.close()


def pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
    many = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(many, 65_536) if many > 0 else 65_536, many))


def phones() -> str:
    """The program that plays them, compiled."""
    made = Path(tempfile.gettempdir()) / f"callwright-relay-load-{os.getuid()}"
    source = Path(__file__).with_name("relay_load.c")
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([shutil.which("cc") or "gcc", "-O2", "-pthread", "-o", made, source], check=True)
    return str(made)


def measure(engine: type[Forwarder], calls: int, seconds: float) -> Figures:
    spawn = multiprocessing.get_context("spawn")
    near, far = spawn.Pipe()
    process = spawn.Process(target=relay, args=(engine, far))
    process.start()

    def cpu() -> float:
        near.send("cpu")
        return float(near.recv())

    def ports_of(phone_ports: Ports) -> Ports:
        near.send(phone_ports)
        return list(near.recv())

    figures = load(calls, seconds, ports_of, cpu)
    near.send("end")
    mos = float(near.recv())
    process.join(10)
    return figures._replace(mos=mos)


def load(calls: int, seconds: float, ports_of: Callable[[Ports], Ports], cpu: Callable[[], float]) -> Figures:
    """Has the phones talk through any relay. `ports_of`: where the relay takes the packets of each phone."""
    with subprocess.Popen(
        [phones(), str(calls), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(0),
    ) as talking:
        assert talking.stdin is not None
        assert talking.stdout is not None
        there = []
        for _ in range(calls):
            first, second = talking.stdout.readline().split()
            there.append((int(first), int(second)))
        here = ports_of(there)
        before = cpu()
        talking.stdin.write("".join(f"{first} {second}\n" for first, second in here))
        talking.stdin.flush()
        talking.stdin.close()
        line = talking.stdout.readline().split()
        used = cpu() - before
    sent, received, p50, p99, longest = (int(one) for one in line[:5])
    return Figures(
        used / seconds,
        p50 / 1000,
        p99 / 1000,
        longest / 1000,
        sent,
        sent - received,
        float(line[5]) / seconds,
        0.0,
    )


def row(name: str, calls: int, found: Figures) -> str:
    per_core = calls / found.core if found.core else 0.0
    slow = "" if found.pace < 1.02 else f"; the phones fell behind: {found.pace:.2f} s for each second"
    mos = f", MOS {found.mos:.2f}" if found.mos else ""
    return (
        f"{name}, {calls} calls: {100 * found.core:.0f} % of a core ({per_core:,.0f} calls a core); "
        f"delay p50 {found.p50:.2f}, p99 {found.p99:.2f}, longest {found.longest:.1f} ms; "
        f"{found.lost} of {found.sent} lost{mos}{slow}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", default="300,1000,1500")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--engine", choices=["pure", "native", "both"], default="both")
    options = parser.parse_args()
    engines: dict[str, type[Forwarder] | None] = {"pure": Forwarder, "native": native_forwarder()}
    for calls in map(int, options.calls.split(",")):
        for name, engine in engines.items():
            if engine is not None and options.engine in (name, "both"):
                print(row(name, calls, measure(engine, calls, options.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
