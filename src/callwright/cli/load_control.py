"""Steering a load while it runs: keys at its terminal, and `callwright load-ctl` over a control socket.

The socket is a Unix one, so that only who may write to its path may steer. A command is a line, the answer a
line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli.console import JsonFlag, print_json, show
from callwright.cli.load_view import in_foreground
from callwright.host.operator import EXIT_FAILED, Refused, say

if TYPE_CHECKING:
    from callwright.load.engine import Controls, LoadProgress

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

KEYS = {
    "+": "faster",
    "-": "slower",
    "*": "fastest",
    "/": "slowest",
    "p": "pause",
    "q": "stop",
    "Q": "kill",
}
COMMANDS = ("status", "rate", "faster", "slower", "pause", "resume", "stop", "kill")
_EXAMPLES = """
[bold]Examples[/bold]

  callwright load sip:x@127.0.0.1 --rate 100 --calls 100000 --control /tmp/load.sock

  callwright load-ctl /tmp/load.sock status

  callwright load-ctl /tmp/load.sock rate 250

  callwright load-ctl /tmp/load.sock pause
"""


def obey(controls: Controls, words: list[str]) -> str:
    """Carry out a command; a sentence about it. Raises ValueError for what is none."""
    verb = words[0] if words else ""
    if verb == "rate":
        try:
            rate = float(words[1])
        except (IndexError, ValueError):
            raise ValueError("rate takes calls per second, such as: rate 250") from None
        if not 0 <= rate <= 1_000_000:
            raise ValueError("a rate is between 0 and 1000000 calls per second")
        controls.rate, controls.factor = rate, 1.0
        return f"rate {rate:g}"
    factors = {"faster": 1.1, "slower": 1 / 1.1, "fastest": 2.0, "slowest": 0.5}
    if verb in factors:
        controls.factor *= factors[verb]
        return f"rate x {controls.factor:.3g}"
    if verb in ("pause", "resume"):
        controls.paused = not controls.paused if verb == "pause" and len(words) > 1 else verb == "pause"
        return "paused" if controls.paused else "resumed"
    if verb == "stop":
        controls.stop = max(controls.stop, 1)
        return "stopping gently: no new calls"
    if verb == "kill":
        controls.stop = max(controls.stop, 2)
        return "stopping at once: every call is ended"
    raise ValueError(f"{verb!r} is not a command; the commands are {', '.join(COMMANDS)}")


class Ears:
    """Waits between two looks of the engine, and hears keys and the control socket meanwhile."""

    def __init__(self, controls: Controls, path: Path | None, *, keys: bool) -> None:
        self._controls = controls
        self._server: socket.socket | None = None
        self._clients: dict[socket.socket, bytes] = {}
        self._path = path
        self._terminal: Any = None
        self.progress: LoadProgress | None = None
        self.on_look: Callable[[], None] | None = None
        """Called some ten times a second, and after each key."""
        if path is not None:
            self._listen(path)
        if keys and in_foreground(sys.stdin):
            self._raw()

    def _listen(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if path.is_socket():
                path.unlink()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mask = os.umask(0o177)
            try:
                server.bind(str(path))
            finally:
                os.umask(mask)
            server.listen(4)
            server.setblocking(False)
        except OSError as error:
            server.close()
            raise Refused(f"--control {path}: {error.strerror or error}") from None
        self._server = server

    def _raw(self) -> None:
        import termios
        import tty

        with contextlib.suppress(termios.error, OSError):
            self._terminal = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            # Ctrl-Z would leave every call hanging, and the shell with our settings.
            ours = termios.tcgetattr(sys.stdin)
            ours[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(sys.stdin, termios.TCSANOW, ours)

    def wait(self, seconds: float) -> None:
        """For so long; commands are carried out as they come."""
        until = time.monotonic() + seconds
        while True:
            sources: list[Any] = list(self._clients)
            if self._server is not None:
                sources.append(self._server)
            if self._terminal is not None:
                sources.append(sys.stdin)
            if self.on_look is not None:
                self.on_look()
            rest = until - time.monotonic()
            if rest <= 0:
                return
            if not sources:
                time.sleep(rest)
                return
            for source in select.select(sources, [], [], rest)[0]:
                if source is sys.stdin:
                    self._key()
                elif self._server is not None and source is self._server:
                    with contextlib.suppress(OSError):
                        client, _ = self._server.accept()
                        client.setblocking(False)
                        self._clients[client] = b""
                else:
                    self._hear(source)

    def _key(self) -> None:
        key = os.read(sys.stdin.fileno(), 1).decode("latin-1")
        if not key:
            self._restore()
        elif key in KEYS:
            obey(self._controls, [KEYS[key], "toggle"] if key == "p" else [KEYS[key]])

    def _hear(self, client: socket.socket) -> None:
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if not data or len(self._clients[client]) > 4096:
            client.close()
            del self._clients[client]
            return
        *lines, rest = (self._clients[client] + data).split(b"\n")
        self._clients[client] = rest
        for line in lines:
            with contextlib.suppress(OSError):
                client.sendall(
                    json.dumps(self._answer(line.decode("utf-8", "replace").split())).encode() + b"\n"
                )

    def _answer(self, words: list[str]) -> dict[str, Any]:
        if words == ["status"]:
            return {"ok": True, **self._status()}
        try:
            return {"ok": True, "done": obey(self._controls, words), **self._status()}
        except ValueError as error:
            return {"ok": False, "error": str(error)}

    def _status(self) -> dict[str, Any]:
        progress = self.progress
        if progress is None:
            return {"elapsed": 0.0}
        total = progress.total
        return {
            "elapsed": round(progress.elapsed, 1),
            "target_rate": round(progress.target_rate, 3),
            "rate": round(progress.seconds[-1].rate, 1) if progress.seconds else 0.0,
            "active": total["active"],
            "attempted": total["attempted"],
            "answered": total["answered"],
            "failed": total.failed,
            "failures": total.failures,
            "paused": progress.controls.paused,
            "stopping": progress.controls.stop > 0,
            "limited_seconds": sum(1 for second in progress.seconds if second.limited),
        }

    def _restore(self) -> None:
        if self._terminal is not None:
            import termios

            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._terminal)
            self._terminal = None

    def close(self) -> None:
        self._restore()
        for client in self._clients:
            client.close()
        if self._server is not None:
            self._server.close()
            if self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()


def _told(value: Any) -> str:
    """A value of an answer, for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


@app.command("load-ctl", epilog=_EXAMPLES)
def load_ctl(
    path: Annotated[Path, typer.Argument(metavar="SOCKET", help="What --control of the load named.")],
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="status, rate N, faster, slower, pause, resume, stop, kill."),
    ],
    as_json: JsonFlag = False,
) -> int:
    """Steer a load that is running: its rate, pause, resume, stop gently (stop) or at once (kill).

    A command takes effect at once; the numbers that are told with it are those of the last full second.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        try:
            sock.connect(str(path))
            sock.sendall(" ".join(command).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                chunk = sock.recv(65536)
                if not chunk:
                    break
                data += chunk
        except OSError as error:
            raise Refused(f"no load listens at {path}: {error.strerror or error}", code=EXIT_FAILED) from None
    try:
        answer = json.loads(data)
    except ValueError:
        raise Refused(f"{path} is not a load: its answer cannot be read", code=EXIT_FAILED) from None
    if as_json:
        print_json(answer)
    elif answer.get("ok"):
        for name, value in answer.items():
            if name != "ok":
                show(f"{name:16} {_told(value)}")
    else:
        say(f"callwright: {answer.get('error')}")
    return 0 if answer.get("ok") else 2
