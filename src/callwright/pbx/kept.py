"""Registrations that outlive the process: each change is in a file before the phone hears of it, and a PBX
that starts anew reaches the phones that it knew.

A line a change. What the kernel has taken survives a process that is killed; only where the machine dies too
the last ones may be missing, and those phones register again by themselves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from callwright.pbx.registrar import Binding, Change, ChangeKind
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import Uri

__all__ = ["KeptBindings"]

_log = logging.getLogger(__name__)
_MOST_LINES = 5_000  # of changes, besides a line for each registration
_LARGEST = 64 << 20  # octets of a file that is read


class _Line(msgspec.Struct, frozen=True):
    """Times are unix seconds. `gone`: the registration is over, and the rest says which."""

    user: str
    contact: str
    instance: str | None = None
    reg_id: int | None = None
    gone: bool = False
    transport: str = "UDP"
    local: tuple[str, int] = ("", 0)
    remote: tuple[str, int] = ("", 0)
    expires_at: float = 0.0
    since: float = 0.0
    call_id: str = ""
    cseq: int = 0
    q: float = 1.0
    user_agent: str | None = None
    path: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int | None]:
        """One flow of a device, else one contact (RFC 5626 section 6)."""
        return self.user, self.instance or self.contact, self.reg_id


class KeptBindings:
    """`wall_at`: unix seconds at a monotonic moment. Trouble with the file is logged, once."""

    def __init__(self, path: Path, wall_at: Callable[[float], float]) -> None:
        self._path, self._wall_at = path, wall_at
        self._lines: dict[tuple[str, str, int | None], _Line] = {}
        self._handle: int | None = None
        self._written = 0
        self._warned = False

    def open(self, now: float) -> list[Binding]:
        """What is still registered, by the way it came. A stream died with the process: phones on those call
        again by themselves."""
        shift = self._wall_at(now) - now
        for line in self._read():
            if line.gone:
                self._lines.pop(line.key, None)
            else:
                self._lines[line.key] = line
        found: list[Binding] = []
        for key, line in list(self._lines.items()):
            binding = _binding(line, shift)
            if binding is None or binding.expires_at <= now:
                del self._lines[key]
            else:
                found.append(binding)
        self._write_anew()
        return found

    def note(self, changes: Iterable[Change]) -> None:
        """Changes of registrations, before anybody hears of them."""
        text = b""
        for change in changes:
            line = self._line(change.binding)
            if change.kind in (ChangeKind.ADDED, ChangeKind.REFRESHED):
                self._lines[line.key] = line
            else:
                line = _Line(line.user, line.contact, line.instance, line.reg_id, gone=True)
                self._lines.pop(line.key, None)
            text += _written(line)
            self._written += 1
        if not text or self._handle is None:
            return
        if self._written > len(self._lines) + _MOST_LINES:
            self._write_anew()
            return
        try:
            os.write(self._handle, text)
        except OSError as error:
            self._warn(error)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _line(self, binding: Binding) -> _Line:
        hop, wall = binding.hop, self._wall_at
        return _Line(
            binding.user,
            str(binding.contact),
            binding.instance,
            binding.reg_id,
            False,
            hop.transport.value,
            (hop.local.host, hop.local.port),
            (hop.remote.host, hop.remote.port),
            wall(binding.expires_at),
            wall(binding.since),
            binding.call_id,
            binding.cseq,
            binding.q,
            binding.user_agent,
            binding.path,
        )

    def _read(self) -> list[_Line]:
        found: list[_Line] = []
        try:
            if self._path.stat().st_size > _LARGEST:
                _log.error("%s is larger than %d octets, and is not read", self._path, _LARGEST)
                return []
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._warn(error)
            return []
        for line in text.splitlines():
            with contextlib.suppress(ValueError):  # the last may be half
                found.append(msgspec.convert(json.loads(line), _Line))
        return found

    def _write_anew(self) -> None:
        """A line for each that is registered, and no other."""
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, b"".join(map(_written, self._lines.values())))
                draft.replace(self._path)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            self._warn(error)
            return
        self.close()
        self._handle, self._written = handle, len(self._lines)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            why = error.strerror or error
            _log.error("registrations cannot be kept in %s: %s. A restart forgets them.", self._path, why)


def _written(line: _Line) -> bytes:
    """In ASCII: JSON's escapes keep octets of a contact that are not UTF-8, which msgspec refuses."""
    return json.dumps(msgspec.to_builtins(line)).encode() + b"\n"


def _binding(line: _Line, shift: float) -> Binding | None:
    """`shift`: unix seconds less monotonic ones."""
    if line.transport != Transport.UDP.value:
        return None
    try:
        contact = Uri.parse(line.contact)
    except SipSyntaxError:
        return None
    hop = Hop(Transport.UDP, Address(*line.local), Address(*line.remote))
    return Binding(
        line.user,
        contact,
        hop,
        line.expires_at - shift,
        line.since - shift,
        line.call_id,
        line.cseq,
        line.q,
        line.instance,
        line.user_agent,
        line.path,
        line.reg_id,
    )
