"""CPU per call of Callwright's load engine and of SIPp, on both sides, in alternating runs.

    python -m benchmarks.sipp                     # calls at 8,000 and 10,000 a second, five rounds
    python -m benchmarks.sipp --rate 2000 --calls 20000 --rounds 2
    python -m benchmarks.sipp register            # authenticated REGISTER, per core-second
    python -m benchmarks.sipp highest             # the highest clean rate of each
    python -m benchmarks.sipp media               # streams of RTP, and the kernel's own flood beside them
    python -m benchmarks.sipp soak --rate 10000 --seconds 600

What is compared: INVITE, 100, 180, 200, ACK, BYE, 200 over UDP on loopback, no hold, retransmission timers
on. The caller is pinned to the first core, the answering side to the second. Counted is user and system time
of every process of a side, as the kernel charges it (wait4), less what the same command takes for one call:
that is the start-up, told apart. SIPp writes its statistics (`-trace_stat`) each second; ours keeps
histograms, failure classes and the record of its own seconds. Socket buffers: as large as
each program can get them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import noise

HOST = "127.0.0.1"
_PORTS = iter(range(21_000 + os.getpid() % 500 * 8, 32_000, 2))

UAS = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="100 180 200">
<recv request="INVITE"/>
<send><![CDATA[
SIP/2.0 100 Trying
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<send><![CDATA[
SIP/2.0 180 Ringing
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000

]]></send>
<recv request="ACK" rtd="true"/>
<recv request="BYE"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Length: 0

]]></send>
</scenario>
"""

REGISTRAR = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="registrar">
<recv request="REGISTER"/>
<send><![CDATA[
SIP/2.0 401 Unauthorized
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
WWW-Authenticate: Digest realm="sipp", nonce="47ebe028cda119c35d4877b383027d28da013815", algorithm=MD5
Content-Length: 0

]]></send>
<recv request="REGISTER"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
[last_Contact:]
Content-Length: 0

]]></send>
</scenario>
"""

REGISTER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:user@[remote_ip]>;tag=[pid]SIPpTag00[call_number]
To: <sip:user@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: sip:user@[local_ip]:[local_port]
Max-Forwards: 70
Expires: 3600
Content-Length: 0

]]></send>
<recv response="401" auth="true"/>
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:user@[remote_ip]>;tag=[pid]SIPpTag00[call_number]
To: <sip:user@[remote_ip]>
Call-ID: [call_id]
CSeq: 2 REGISTER
Contact: sip:user@[local_ip]:[local_port]
[authentication username=user password=secret]
Max-Forwards: 70
Expires: 3600
Content-Length: 0

]]></send>
<recv response="200" rtd="true"/>
</scenario>
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One process of a run: CPU seconds and calls that it says were good."""

    cpu: float
    good: int
    told: dict[str, Any]
    max_rss_kib: int


class Process:
    """A pinned process whose CPU time is taken when it ends."""

    def __init__(self, command: Sequence[str], core: int, folder: Path, name: str) -> None:
        self.out = folder / f"{name}.out"
        cores = sorted(os.sched_getaffinity(0))
        pinned = ["taskset", "-c", str(cores[core % len(cores)]), *command]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                pinned, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
                env={**os.environ, "TERM": "dumb"},
            )  # fmt: skip

    def wait(self, seconds: float) -> tuple[float, int, int]:
        """(CPU seconds, exit code, largest memory in KiB); it is ended when it does not end by itself."""
        deadline = time.monotonic() + seconds
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime, self.process.returncode, usage.ru_maxrss
            if time.monotonic() > deadline:
                self.process.kill()
                deadline += 5
            time.sleep(0.02)


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="callwright-bench-") as name:
        folder = Path(name)
        (folder / "uas.xml").write_text(UAS)
        (folder / "registrar.xml").write_text(REGISTRAR)
        (folder / "register.xml").write_text(REGISTER)
        (folder / "accounts.csv").write_text("username,password\nuser,secret\n")
        yield folder


def callwright(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "callwright", *arguments]


def sipp_good(folder: Path, name: str) -> int:
    """Successful calls, by SIPp's own statistics."""
    lines = (folder / name).read_text().splitlines()
    column = lines[0].split(";").index("SuccessfulCall(C)")
    return int(lines[-1].split(";")[column])


def caller(tool: str, port: int, rate: float, calls: int, register: bool) -> list[str]:
    if tool == "sipp":
        scenario = ["-sf", "register.xml"] if register else ["-sn", "uac", "-d", "0"]
        return [
            "sipp", *scenario, f"{HOST}:{port}", "-i", HOST, "-p", str(next(_PORTS)), "-r", f"{rate:g}",
            "-m", str(calls), "-l", "100000", *_sipp_common(rate, calls), "-stf", "uac.csv",
        ]  # fmt: skip
    extra = ["--register", "--accounts", "accounts.csv"] if register else []
    target = f"sip:{'' if register else 'service@'}{HOST}:{port}"
    return callwright("load", target, "--rate", f"{rate:g}", "--calls", str(calls), "--json", *extra)


def answerer(tool: str, port: int, rate: float, calls: int, register: bool) -> list[str]:
    if tool == "sipp":
        scenario = "registrar.xml" if register else "uas.xml"
        return [
            "sipp", "-sf", scenario, "-i", HOST, "-p", str(port), "-m", str(calls),
            *_sipp_common(rate, calls), "-stf", "uas.csv",
        ]  # fmt: skip
    how = ["--challenge", "--for", f"{calls / rate + 3:.1f}"] if register else ["--calls", str(calls)]
    return callwright("load", "--answer", "--listen", f"{HOST}:{port}", "--json", *how)


def _sipp_common(rate: float, calls: int) -> list[str]:
    timeout = int(calls / rate + 40)
    return ["-nostdin", "-trace_stat", "-fd", "1", "-buff_size", "33554432", "-timeout", f"{timeout}s"]


def run(
    folder: Path, uac: str, uas: str, rate: float, calls: int, *, register: bool = False
) -> tuple[Side, Side]:
    """One run: both sides' CPU and what they counted."""
    port = next(_PORTS)
    limit = calls / rate + 60
    far = Process(answerer(uas, port, rate, calls, register), 1, folder, "uas")
    _wait_until_bound(far, port)
    near = Process(caller(uac, port, rate, calls, register), 0, folder, "uac")
    return _side(near, uac, "uac", limit, folder), _side(far, uas, "uas", 30 if uas == "sipp" else 60, folder)


def _side(process: Process, tool: str, name: str, seconds: float, folder: Path) -> Side:
    cpu, _, rss = process.wait(seconds)
    if tool == "sipp":
        return Side(cpu, sipp_good(folder, f"{name}.csv"), {}, rss)
    told = json.loads(process.out.read_text() or "{}")
    return Side(cpu, max(told.get("answered", 0), told.get("registrations", 0) // 2), told, rss)


def _wait_until_bound(process: Process, port: int) -> None:
    for _ in range(500):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind((HOST, port))
            except OSError:
                time.sleep(0.2)
                return
        time.sleep(0.02)
    process.process.kill()
    raise SystemExit("the answering side did not start")


def startup(folder: Path, register: bool) -> dict[str, tuple[float, float]]:
    """CPU seconds of caller and answering side for one call."""
    found = {}
    for tool in ("sipp", "callwright"):
        runs = [run(folder, tool, tool, 10, 1, register=register) for _ in range(2)]
        found[tool] = min(a.cpu for a, _ in runs), min(b.cpu for _, b in runs)
        print(
            f"start-up of {tool}: caller {found[tool][0] * 1000:.0f} ms, "
            f"answerer {found[tool][1] * 1000:.0f} ms of CPU"
        )
    return found


def compare(rate: float, calls: int, rounds: int, *, register: bool = False, crossed: bool = False) -> None:
    """The table of one rate."""
    with workplace() as folder:
        idle = startup(folder, register)
        pairs = [("sipp", "sipp"), ("callwright", "callwright")]
        if crossed:
            pairs += [("callwright", "sipp"), ("sipp", "callwright")]
        costs: dict[tuple[str, str], list[tuple[float, float]]] = {pair: [] for pair in pairs}
        print(f"\n{rate:g} a second, {calls:,} in a run: µs of CPU each, caller / answerer (good calls)")
        for number in range(rounds):
            for pair in pairs if number % 2 == 0 else pairs[::-1]:
                near, far = run(folder, *pair, rate, calls, register=register)
                cost = (
                    (near.cpu - idle[pair[0]][0]) / calls * 1e6,
                    (far.cpu - idle[pair[1]][1]) / calls * 1e6,
                )
                costs[pair].append(cost)
                limited = near.told.get("generator", {}).get("limited_seconds")
                print(
                    f"  {number + 1}  {pair[0]:>10} -> {pair[1]:<10}  {cost[0]:6.1f} / {cost[1]:6.1f}   "
                    f"({near.good:,} / {far.good:,})"
                    + _loops(near, far)
                    + (f"  limited {limited} s" if limited else ""),
                    flush=True,
                )
        print("\nratio Callwright / SIPp in the same round: min, median, max")
        for side, name in enumerate(("caller", "answerer")):
            ratios = [
                ours[side] / theirs[side]
                for ours, theirs in zip(costs["callwright", "callwright"], costs["sipp", "sipp"], strict=True)
            ]
            print(f"  {name:>9}  {min(ratios):.2f}  {statistics.median(ratios):.2f}  {max(ratios):.2f}")


def _loops(near: Side, far: Side) -> str:
    """What the loops alone used, by their own account: without the start and without Python."""
    own = [side.told.get("generator", {}).get("cpu_us_per_call") for side in (near, far)]
    return f"  loops alone {own[0]} / {own[1]}" if own[0] is not None else ""


def highest(seconds: float) -> None:
    """The highest rate at which every call succeeds and nothing is repeated, by doubling and bisection."""
    with workplace() as folder:
        for tool in ("sipp", "callwright"):
            low, high, rate = 0.0, float("inf"), 10_000.0
            while high / max(low, 1.0) > 1.1 and rate <= 200_000:
                calls = int(rate * seconds)
                begun = time.monotonic()
                near, _ = run(folder, tool, tool, rate, calls)
                took = time.monotonic() - begun
                clean = near.good >= calls and took < seconds * 1.1 + 3
                print(f"  {tool}: {rate:,.0f}/s {'' if clean else 'not '}clean ({near.good:,} of {calls:,})")
                low, high = (rate, high) if clean else (low, rate)
                rate = low * 2 if high == float("inf") else (low * high) ** 0.5 if low else high / 2
            print(f"{tool}: clean up to {low:,.0f} calls/s")


def flood(folder: Path, mode: str, streams: int, seconds: float = 2.0) -> tuple[float, float]:
    """What the kernel alone moves (`flood.c`), in packets per CPU-second: 64 at a time, and a
    socket each. A second flood keeps the other core as busy as the far end keeps it in a run of ours."""
    program = folder / "flood"
    if not program.exists():
        source = Path(__file__).with_name("flood.c")
        subprocess.run(["gcc", "-O2", "-o", str(program), str(source)], check=True)
    size = str(12 + 160)
    found = []
    for kind in (["batch", str(seconds), size], ["sockets", str(seconds), size, str(streams // 2)]):
        both = [
            subprocess.Popen(["taskset", "-c", str(core), str(program), *kind], stdout=subprocess.PIPE)
            for core in (0, 1)
        ]
        found.append(min(float(one.communicate()[0]) for one in both))
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class MediaRun:
    """One side of a run with streams."""

    per_cpu_second: float
    resident_kib: float
    line: str


def stream_run(folder: Path, streams: int, mode: str, seconds: float) -> list[MediaRun]:
    """So many duplex streams between two of ours, a core each: caller, answerer."""
    port = next(_PORTS)
    common = ["--media", mode, "--play", "tone", "--json"]
    ports = ("10000-20999", "32768-43999") if mode == "ports" else ("20000-20999", "32768-33999")
    far = Process(
        callwright("load", "--answer", "--listen", f"{HOST}:{port}", "--calls", str(streams),
                   "--rtp-ports", ports[0], *common), 1, folder, "uas",
    )  # fmt: skip
    _wait_until_bound(far, port)
    near = Process(
        callwright("load", f"sip:x@{HOST}:{port}", "--rate", f"{streams / 4:g}", "--calls", str(streams),
                   "--hold", f"{seconds + 4}", "--rtp-ports", ports[1], *common), 0, folder, "uac",
    )  # fmt: skip
    sides = (
        _side(near, "callwright", "uac", seconds + 60, folder),
        _side(far, "callwright", "uas", 60, folder),
    )
    runs = []
    for name, side in zip(("caller", "answerer"), sides, strict=True):
        told = side.told
        rate = (told["media"]["sent"] + told["media"]["received"]) / side.cpu
        late = told["generator"]["rtp_lateness_ms"]
        runs.append(
            MediaRun(
                rate,
                side.max_rss_kib,
                f"  {mode:>6} {name:>9}: {streams:,} streams, {rate / 1000:,.0f}k packets per CPU-second, "
                f"send error p50 {late['p50']} p99 {late['p99']} max {late['max']} ms, lost "
                f"{told['media']['lost']:,}, MOS p5 {told['media']['mos']['p5']}, "
                f"memory {side.max_rss_kib / 1024:,.0f} MiB, {told['verdict']}",
            )
        )
    return runs


def media(streams: int, mode: str, seconds: float, rounds: int) -> None:
    """Streams, the kernel's own flood in the same round, and the memory of each call."""
    with workplace() as folder:
        few = stream_run(folder, 100, mode, 1.0)
        for number in range(rounds):
            batch, sockets = flood(folder, mode, streams)
            runs = stream_run(folder, streams, mode, seconds)
            print(
                f"  {number + 1}  flood beside it: {batch / 1000:,.0f}k packets per CPU-second 64 at a time, "
                f"{sockets / 1000:,.0f}k with a socket for each stream"
            )
            for run_, small in zip(runs, few, strict=True):
                kib = (run_.resident_kib - small.resident_kib) / (streams - 100)
                print(
                    f"{run_.line}; of the flood {100 * run_.per_cpu_second / batch:.0f} % and "
                    f"{100 * run_.per_cpu_second / sockets:.0f} %; {kib:.1f} KiB for each call",
                    flush=True,
                )


def soak(rate: float, seconds: float) -> None:
    """Memory of the caller, minute by minute, at one rate."""
    calls = int(rate * seconds)
    with workplace() as folder:
        port = next(_PORTS)
        far = Process(answerer("callwright", port, rate, calls, False), 1, folder, "uas")
        _wait_until_bound(far, port)
        near = Process(caller("callwright", port, rate, calls, False), 0, folder, "uac")
        begun = time.monotonic()
        every = max(1.0, min(60.0, seconds / 10))
        while time.monotonic() - begun < seconds - every / 2:
            time.sleep(every)
            sizes = [_rss(side.process.pid) for side in (near, far)]
            print(
                f"  {time.monotonic() - begun:6.0f} s  caller {sizes[0]:,} KiB  answerer {sizes[1]:,} KiB",
                flush=True,
            )
        sides = _side(near, "callwright", "uac", 90, folder), _side(far, "callwright", "uas", 60, folder)
    for side in sides:
        told = side.told
        print(f"  {told['role']}: {told['verdict']}, {told['reason']}; drops {told['generator']['drops']}")


def _rss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:")), 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", default="calls", choices=("calls", "register", "highest", "media", "soak")
    )
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--streams", type=int, help="4,000 with a port each, 6,000 on one")
    parser.add_argument("--mode", choices=("ports", "shared"), action="append")
    parser.add_argument("--crossed", action="store_true", help="each tool against the other as well")
    wishes = parser.parse_args()
    if wishes.what != "media" and wishes.what != "soak" and shutil.which("sipp") is None:
        print("SIPp is not installed: `make peers` installs it", file=sys.stderr)
        return 2
    print(noise.sentence())
    if wishes.what == "calls":
        for rate in wishes.rate or [8_000.0, 10_000.0]:
            compare(rate, wishes.calls, wishes.rounds, crossed=wishes.crossed)
    elif wishes.what == "register":
        for rate in wishes.rate or [5_000.0]:
            compare(rate, wishes.calls, wishes.rounds, register=True)
    elif wishes.what == "highest":
        highest(wishes.seconds)
    elif wishes.what == "media":
        for mode in wishes.mode or ["ports", "shared"]:
            media(wishes.streams or (4000 if mode == "ports" else 6000), mode, wishes.seconds, wishes.rounds)
    else:
        soak((wishes.rate or [5_000.0])[0], wishes.seconds)
    print(noise.sentence())
    return 0


if __name__ == "__main__":
    sys.exit(main())
