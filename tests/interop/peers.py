"""Real peers as processes: each is started on free loopback ports, waited for, ended, and leaves its log.

A peer that is not installed skips the test on a laptop and fails it where CI is set in the environment, since
a proof that nobody ran is no proof.

    port = free_port()
    with sipp(tmp_path, "-sn", "uas", "-p", str(port)) as uas:
        outcome = callwright("call", f"sip:x@127.0.0.1:{port}", "--json")
        assert uas.wait() == 0, uas.log
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

from tests.kit.programs import program

LOOPBACK = "127.0.0.1"
START_SECONDS = 15.0
_HANDED_OUT: set[int] = set()


def free_port(host: str = LOOPBACK, *, pair: bool = False) -> int:
    """A port free for UDP and TCP, never given out twice in one session; with `pair` an even one whose
    next is free too (RTP and RTCP). Below the ports that the kernel gives to others by itself."""
    for candidate in range(20_000 + os.getpid() % 2_000 * 4, 32_000, 2):
        wanted = (candidate, candidate + 1) if pair else (candidate,)
        if not _HANDED_OUT.intersection(wanted) and all(_is_free(host, port) for port in wanted):
            _HANDED_OUT.update(wanted)
            return candidate
    raise AssertionError("no free port is left")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return False
    return True


class PeerProcess:
    """A running peer; a context manager that ends it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        name: str,
        environment: dict[str, str] | None = None,
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.log_path = folder / f"{name}-{time.monotonic_ns()}.log"
        self.output_path = self.log_path.with_suffix(".out")
        self._ending = ending
        with self.log_path.open("wb") as log, self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                self.arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """All it said so far, on stdout and on stderr."""
        return self.output + self.log_path.read_text("utf-8", "replace")

    @property
    def output(self) -> str:
        """What it said on stdout."""
        return self.output_path.read_text("utf-8", "replace")

    def wait_for(self, *texts: str, seconds: float = START_SECONDS) -> None:
        """Until all of that stands in its log."""
        self.until(lambda: all(text in self.log for text in texts), f"{texts} in its log", seconds)

    def until(self, condition: Any, what: str, seconds: float = START_SECONDS) -> None:
        """Until `condition()` holds; fails with the log when the peer ends before, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None and not condition():
                pytest.fail(f"{self.name} ended with {self.process.returncode}, not {what}:\n{self.log}")
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name}: not {what} within {seconds:g} s:\n{self.log}")
            time.sleep(0.02)

    def wait(self, seconds: float = 60.0) -> int:
        """Until it ends by itself; its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} did not end within {seconds:g} s:\n{self.log}")

    def document(self) -> dict[str, Any]:
        """Its stdout as one JSON document."""
        try:
            parsed = json.loads(self.output)
        except ValueError:
            pytest.fail(f"{self.name} did not print one JSON document:\n{self.log}")
        assert isinstance(parsed, dict)
        return parsed

    def interrupt(self) -> None:
        """As Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """End it and what it started. May be repeated."""
        if self.process.poll() is None:
            self._signal(self._ending)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait(5)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # its own session, so nobody else is in the group
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(f"--- log of {self.name}\n{self.log[-8000:]}", file=sys.stderr)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `__exit__`, while the loop of the test goes on serving the peer's goodbyes."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)


# -- ourselves


def start_callwright(folder: Path, *arguments: str, wait_for: str | None = None) -> PeerProcess:
    """`callwright …` as a process of its own; `wait_for` is what it says on stderr once it is up."""
    running = PeerProcess(
        [sys.executable, "-m", "callwright", *arguments],
        folder=folder,
        name=f"callwright-{arguments[0]}",
        ending=signal.SIGINT,
    )
    if wait_for is not None:
        running.wait_for(wait_for)
    return running


def run_callwright(folder: Path, *arguments: str, seconds: float = 60.0) -> PeerProcess:
    """`callwright …` from start to end; read `.process.returncode`, `.document()` and `.log` of it."""
    running = start_callwright(folder, *arguments)
    try:
        running.wait(seconds)
    finally:
        running.stop()
    return running


# -- SIPp


def sipp(folder: Path, *arguments: str, name: str = "sipp") -> PeerProcess:
    """SIPp with those arguments, on loopback, without a screen; its messages go to `<name>-messages.log`."""
    fixed = ["-i", LOOPBACK, "-nostdin", "-trace_msg", "-message_file", f"{name}-messages.log"]
    fixed += ["-trace_err", "-error_file", f"{name}-errors.log"]
    return PeerProcess(
        [program("sipp"), *arguments, *fixed], folder=folder, name=name, environment={"TERM": "dumb"}
    )


def sipp_messages(folder: Path, name: str = "sipp") -> str:
    """What a SIPp that has ended sent and received."""
    found = folder / f"{name}-messages.log"
    return found.read_text("utf-8", "replace") if found.exists() else ""


def wait_for_port(peer: PeerProcess, port: int, *, tcp: bool = False, host: str = LOOPBACK) -> None:
    """Until the peer has bound that port."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM

    def taken() -> bool:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return True
        return False

    peer.until(taken, f"at port {port}")


# -- baresip


class Baresip(PeerProcess):
    """baresip with one account, driven over its control port. `port` is where it listens for SIP."""

    port: int
    control: int

    def command(self, verb: str, parameters: str = "") -> dict[str, Any]:
        """A command of baresip's menu ("dial", "hangup", "accept"); its response."""
        token = f"t{time.monotonic_ns()}"
        payload = json.dumps({"command": verb, "params": parameters, "token": token}).encode()
        with socket.create_connection((LOOPBACK, self.control), timeout=5) as connection:
            connection.sendall(b"%d:%b," % (len(payload), payload))
            for message in _netstrings(connection):
                if message.get("response") and message.get("token") == token:
                    return message
        pytest.fail(f"baresip did not answer {verb}:\n{self.log}")


def _netstrings(connection: socket.socket) -> Iterator[dict[str, Any]]:
    buffer = b""
    while chunk := connection.recv(65_536):
        buffer += chunk
        while b":" in buffer:
            head, _, rest = buffer.partition(b":")
            size = int(head)
            if len(rest) <= size:
                break
            buffer = rest[size + 1 :]
            yield json.loads(rest[:size])


def baresip(
    folder: Path,
    account: str,
    *,
    name: str = "baresip",
    codecs: Sequence[str] = ("g711",),
    extra: str = "",
) -> Baresip:
    """baresip with an account line (`<sip:1001@127.0.0.1:5060>;auth_pass=…;answermode=auto`).

    What it hears it sends back: its only audio device is a loop, and it has no ring tones, since a tone that
    ends would take the loop with it. `extra` are lines of its config file.
    """
    binary = program("baresip")
    modules = next(
        (path for path in Path("/usr").glob("lib*/**/baresip/modules") if path.is_dir()),
        Path("/usr/lib/baresip/modules"),
    )
    home = folder / name
    home.mkdir()
    port, control = free_port(), free_port()
    low = free_port(pair=True)
    (home / "config").write_text(
        f"""\
poll_method epoll
sip_listen {LOOPBACK}:{port}
net_interface {LOOPBACK}
call_local_timeout 60
call_max_calls 4
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,alert
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_level no
audio_path {home}
rtp_ports {low}-{low + 40}
rtcp_mux no
jitter_buffer_delay 1-5
rtp_stats yes
module_path {modules}
{"".join(f"module {codec}.so{chr(10)}" for codec in codecs)}module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {LOOPBACK}:{control}
{extra}
"""
    )
    (home / "accounts").write_text(account + "\n")
    (home / "contacts").write_text("")
    peer = Baresip([binary, "-f", str(home), "-s", "-v"], folder=folder, name=name)
    peer.port, peer.control = port, control
    peer.wait_for("baresip is ready.")
    return peer


# -- Kamailio


class Kamailio(PeerProcess):
    """Kamailio on one loopback port, UDP and TCP."""

    port: int


#: Of a routing script: whoever registers or calls is asked for the password, which is "secret".
WHO_IS_IT = """
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("kamailio.test", "secret", "0")) {
            www_challenge("kamailio.test", "1");
            exit;
        }
        save("location");
        exit;
    }
    if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
    if (!pv_proxy_authenticate("kamailio.test", "secret", "0")) {
        proxy_challenge("kamailio.test", "1");
        exit;
    }
"""


def kamailio(folder: Path, routing: str, *, modules: Sequence[str], parameters: str = "") -> Kamailio:
    """Kamailio with that routing script (all from `request_route` on), modules and `modparam` lines."""
    binary = program("kamailio")
    port = free_port()
    lines = [
        "#!KAMAILIO",
        "debug=2",
        "log_stderror=yes",
        "children=2",
        "tcp_children=2",
        "auto_aliases=no",
        f"listen=udp:{LOOPBACK}:{port}",
        f"listen=tcp:{LOOPBACK}:{port}",
        'server_header="Server: Kamailio"',
        *(f'loadmodule "{module}.so"' for module in modules),
        parameters,
        routing,
    ]
    config = folder / "kamailio.cfg"
    config.write_text("\n".join(lines) + "\n")
    run = folder / "kamailio-run"
    run.mkdir()
    peer = Kamailio(
        [binary, "-DD", "-E", "-f", str(config), "-m", "64", "-M", "8", "-Y", str(run)],
        folder=folder,
        name="kamailio",
    )
    peer.port = port
    wait_for_port(peer, port)
    wait_for_port(peer, port, tcp=True)
    return peer


# -- tshark


class Capture(NamedTuple):
    """dumpcap at work; stop `peer`, then read `file`."""

    peer: PeerProcess
    file: Path


def dumpcap(folder: Path, *, interface: str = "lo", capture_filter: str = "") -> Capture:
    """A capture on an interface. Skips where it is not permitted, whatever CI says: containers differ."""
    file = folder / "interface.pcapng"
    arguments = [program("dumpcap"), "-i", interface, "-w", str(file), "-q"]
    if capture_filter:
        arguments += ["-f", capture_filter]
    peer = PeerProcess(arguments, folder=folder, name="dumpcap", ending=signal.SIGINT)
    deadline = time.monotonic() + START_SECONDS
    while not (file.exists() and file.stat().st_size and "File:" in peer.log):
        if peer.process.poll() is not None or time.monotonic() > deadline:
            peer.stop()
            pytest.skip(f"dumpcap may not capture here: {peer.log.strip()}")
        time.sleep(0.02)
    return Capture(peer, file)


def tshark(*arguments: str) -> str:
    """Run tshark to its end; what it printed."""
    done = subprocess.run(
        [program("tshark"), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
