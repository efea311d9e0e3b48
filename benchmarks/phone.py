"""CPU of a call with media on the phone's path: SIP, speech of G.711, RTP, RTCP, what is heard, the report.

    python -m benchmarks.phone [--calls 40] [--engine pure|native] [--srtp AES_CM_128_HMAC_SHA1_80]

One process places the calls, another answers them and speaks as well. What is counted is the user and system
time of the caller's process alone, from the end of a first call (so imports, the encoding of the clip and all
else that is done once are apart) to the end of the last; no evidence is written and nothing recorded. Calls
of one second of talk give `call_ms`. Calls that talk ten seconds longer give, by the difference, `second_ms`:
what each second of conversation costs, both directions (50 packets out, 50 in). With `--srtp` the same is
measured plain and encrypted, one after the other, and the ratio is told; it is to stay below 1.3.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import time

from callwright.net.media_choice import native_engine
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Transport
from callwright.srtp.suite import SUITES
from callwright.srtp.wish import NO_SRTP, SrtpWish

HOST = "127.0.0.1"


def cpu() -> float:
    """Seconds of this process until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def answer() -> None:
    """Answers calls until standard input ends; says its port first."""
    async with Phone(PhoneConfig(bind=HOST, rtp_ports=(30_000, 32_767))) as phone:
        phone.on_call = lambda _: AnswerPlan(MediaPlan(voice="man", srtp=SrtpWish("optional")))
        bound = await phone.listen(HOST, 0, Transport.UDP)
        print(bound.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def place(
    phone: Phone, port: int, calls: int, talk: float, apart: float, srtp: SrtpWish = NO_SRTP
) -> float:
    """CPU seconds per call of `calls` calls that begin `apart` seconds apart."""
    before = cpu()
    placed = []
    for _ in range(calls):
        placed.append(
            phone.call(
                CallPlan(
                    f"sip:answer@{HOST}:{port}",
                    MediaPlan(srtp=srtp),
                    talk_for=talk,
                    transport=Transport.UDP,
                )
            )
        )
        await asyncio.sleep(apart)
    outcomes = [await call.finished for call in placed]
    used = cpu() - before
    lost = sum(outcome.received.lost or 0 for outcome in outcomes)
    failed = sum(outcome.sip_code != 200 or not outcome.received.packets for outcome in outcomes)
    if failed or lost:
        print(f"  {failed} calls failed, {lost} packets lost", file=sys.stderr)
    return used / calls


async def measure(port: int, calls: int, longer: float, suite: str) -> tuple[float, float]:
    """(CPU seconds per call of one second, CPU seconds per further second)."""
    async with Phone(PhoneConfig(bind=HOST, rtp_ports=(20_000, 29_999))) as phone:
        srtp = SrtpWish("required", (suite,)) if suite else NO_SRTP
        await place(phone, port, 1, 12.0, 0.0, srtp)
        short = await place(phone, port, calls, 1.0, 0.02, srtp)
        long = await place(phone, port, calls, 1.0 + longer, 0.02, srtp)
        return short, (long - short) / longer


def run(calls: int, engine: str, longer: float = 10.0, suite: str = "") -> dict[str, float]:
    """`call_ms` and `second_ms`, measured in a process of its own."""
    environment = {**os.environ, "CALLWRIGHT_PURE": "1" if engine == "pure" else ""}
    command = [sys.executable, "-m", "benchmarks.phone", "--role"]
    answering = subprocess.Popen(
        [*command, "answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert answering.stdout is not None
    try:
        port = answering.stdout.readline().strip()
        done = subprocess.run(
            [*command, "call", "--port", port, "--calls", str(calls), "--longer", str(longer)]
            + (["--srtp", suite] if suite else []),
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
            check=True,
        )
    finally:
        answering.communicate()
    sys.stderr.write(done.stderr)
    short, second = map(float, done.stdout.split())
    return {"call_ms": 1000 * short, "second_ms": 1000 * second}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--longer", type=float, default=10.0)
    parser.add_argument(
        "--engine", choices=["pure", "native"], default="native" if native_engine() else "pure"
    )
    parser.add_argument("--srtp", choices=list(SUITES), default="", metavar="SUITE")
    parser.add_argument("--role", choices=["answer", "call"])
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.role == "answer":
        asyncio.run(answer())
    elif options.role == "call":
        short, second = asyncio.run(measure(options.port, options.calls, options.longer, options.srtp))
        print(short, second)
    else:
        begun = time.monotonic()
        result = run(options.calls, options.engine, options.longer)
        if options.srtp:
            secure = run(options.calls, options.engine, options.longer, options.srtp)
            ratio = secure["second_ms"] / result["second_ms"]
            print(f"{options.srtp}: {secure['second_ms']:.2f} ms a further second, {ratio:.2f} times plain")
        print(
            f"{options.engine}: {result['call_ms']:.2f} ms CPU for a call of 1 s of talk, "
            f"{result['second_ms']:.2f} ms for each further second ({time.monotonic() - begun:.0f} s)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
