"""A running PBX, over a socket that only its owner may write to: bans listed, ended, and prevented; its plan
read anew.

A command is a line (`list`, `release ADDRESS`, `permit ADDRESS`, `reload`), the answer a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callwright.cli import console
from callwright.host.operator import EXIT_FAILED, Refused, say

if TYPE_CHECKING:
    from callwright.pbx.guard import Ban
    from callwright.pbx.server import Pbx

ACTIONS = ("list", "release", "permit")
_LONGEST_LINE = 1_024
_PATIENCE = 5.0  # seconds


def folder() -> Path:
    """Where the sockets of this user's PBXs are; another user can neither read nor put anything there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "callwright"
    return Path(tempfile.gettempdir()) / f"callwright-{os.getuid()}"


class Door:
    """The PBX's end of the socket. `open` raises OSError. `reload` reads the plan anew (ValueError)."""

    def __init__(self, pbx: Pbx, path: Path, reload: Callable[[], None]) -> None:
        self._pbx, self.path, self._reload = pbx, path, reload
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        if self.path.parent == folder():
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            found = self.path.parent.stat()
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise PermissionError(f"{self.path.parent} belongs to others too")
        if self.path.is_socket():
            if _is_alive(self.path):
                raise FileExistsError(f"{self.path} is in use")
            self.path.unlink()
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path, limit=_LONGEST_LINE)
        finally:
            os.umask(mask)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self.path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                words = (await reader.readline()).decode("utf-8", "replace").split()
                writer.write(json.dumps(self._answer(words)).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, words: list[str]) -> dict[str, Any]:
        ended: list[Ban] = []
        try:
            match words:
                case ["list"]:
                    pass
                case ["release", place]:
                    ended = self._pbx.release(place)
                case ["permit", place]:
                    ended = self._pbx.permit(place)
                case ["reload"]:
                    self._reload()
                    return {"ok": True, "accounts": len(self._pbx.accounts)}
                case _:
                    raise ValueError(
                        f"{' '.join(words)[:80]!r} is not a command; "
                        f"the commands are {', '.join(ACTIONS)}, reload"
                    )
        except ValueError as error:
            return {"ok": False, "error": str(error)}
        bans = [
            {"source": ban.source, "accounts": ban.accounts, "ends_in_s": round(rest, 1)}
            for ban, rest in self._pbx.bans()
        ]
        released = [ban.source for ban in ended]
        return {"ok": True, "bans": bans, "permitted": self._pbx.permitted, "released": released}


def ask(path: Path | None, words: list[str]) -> dict[str, Any]:
    """The answer of the PBX at this socket, or of the only one that this user runs. Raises Refused."""
    found = path if path is not None else _only_one()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(str(found))
            sock.sendall(" ".join(words).encode() + b"\n")
            data = b""
            while chunk := sock.recv(65_536):
                data += chunk
    except OSError as error:
        raise Refused(f"no PBX listens at {found}: {error.strerror or error}", code=EXIT_FAILED) from None
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        raise Refused(f"{found} is not a PBX: its answer cannot be read", code=EXIT_FAILED) from None
    return answer


def show(answer: dict[str, Any]) -> None:
    """The answer for a person."""
    for source in answer["released"]:
        say(f"{source} is no longer banned")
    for ban in answer["bans"]:
        console.show(f"{ban['source']:40} {ban['accounts']} accounts tried, {ban['ends_in_s']:.0f} s left")
    if not answer["bans"]:
        console.show("no address is banned")
    if answer["permitted"]:
        console.show(f"never banned: {', '.join(answer['permitted'])}")


def _only_one() -> Path:
    alive = [path for path in sorted(folder().glob("pbx-*.sock")) if _is_alive(path)]
    if not alive:
        raise Refused("no PBX of yours is running", "Start one: callwright pbx", code=EXIT_FAILED)
    if len(alive) > 1:
        raise Refused(
            f"{len(alive)} PBXs of yours are running", f"Say which: --control {alive[0]}", code=EXIT_FAILED
        )
    return alive[0]


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True
