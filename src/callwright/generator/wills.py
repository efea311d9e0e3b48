"""What ends the calls of a load, in memory that is shared with the guardian: written by a loop, read by it.

A slot of a page for each call, written by `_wills.pxi`:

    0    state           an index of WILL_STATES
    4    octets of the INVITE's head, at 64
    8    octets of the 2xx's head, at 2080
    12   number of the account
    16   sockaddr of the peer of a call that came in (28 octets), and its size
"""

from __future__ import annotations

import ipaddress
import logging
import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from callwright.generator.names import WILL_ANSWER_AT, WILL_INVITE_AT, WILL_SIZE, WILL_STATES, WILL_TEXT
from callwright.sip.digest import Credentials
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import MalformedMessage, Message, Request, parse_datagram
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.will import Will, will_of_messages

_log = logging.getLogger(__name__)

FREE, CALLED, ANSWERED, TAKEN = range(len(WILL_STATES))
_HEAD = struct.Struct("=IIII28sI")
_NEEDED = re.compile(
    rb"(?im)^(?:via|v|from|f|to|t|call-id|i|cseq|max-forwards|route|record-route|(?:proxy-)?authorization)"
    rb"[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*"
)
_LENGTH = re.compile(rb"(?im)^(?:content-length|l)[ \t]*:[^\r\n]*\r\n")


class Bequest(NamedTuple):
    """`answer`: empty without. `peer`: None but for a call that came in."""

    state: int
    invite: bytes
    answer: bytes
    account: int
    peer: Address | None


def bequests(descriptor: int) -> Iterator[Bequest]:
    """Of every call that has not ended, in memory whose writer is gone."""
    size = os.fstat(descriptor).st_size
    if size < WILL_SIZE:
        return
    with mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        for at in _used(descriptor, size):
            state, invite, answer, account, raw, length = _HEAD.unpack_from(memory, at)
            if state not in (CALLED, ANSWERED, TAKEN) or invite > WILL_TEXT or answer > WILL_TEXT:
                continue
            yield Bequest(
                state,
                memory[at + WILL_INVITE_AT : at + WILL_INVITE_AT + invite],
                memory[at + WILL_ANSWER_AT : at + WILL_ANSWER_AT + answer],
                account,
                _address(raw[:length]) if state == TAKEN else None,
            )


def wills_of_load(
    memory: int,
    local: Sequence[Any],
    remote: Sequence[Any] | None,
    accounts: Sequence[tuple[str, str]],
) -> list[Will]:
    """Of the calls of a load that have not ended. `local`: host, port, transport (without: UDP); `remote`:
    host, port, the name for TLS. `accounts`: users and passwords."""
    found = []
    ours = Address(*local[:2])
    transport = Transport(local[2]) if len(local) > 2 else Transport.UDP
    name = remote[2] if remote is not None and len(remote) > 2 else ""
    for kept in bequests(memory):
        theirs = kept.peer if kept.peer is not None else Address(*remote[:2]) if remote is not None else None
        if theirs is None:
            continue
        hop = Hop(transport, ours, theirs, name)
        user, password = accounts[kept.account] if kept.account < len(accounts) else ("", "")
        known = Credentials(user, password) if password else None
        try:
            invite = _parsed(kept.invite)
            success = _parsed(kept.answer) if kept.answer else None
            if isinstance(invite, Request) and not isinstance(success, Request):
                found.append(
                    will_of_messages(invite, success, hop, outbound=kept.peer is None, credentials=known)
                )
        except (MalformedMessage, SipSyntaxError, ValueError, LookupError) as error:
            _log.warning("the will of a call of a load cannot be read: %s", error)
    return found


def _parsed(head: bytes) -> Message:
    """A loop reads no more of a message than it needs; so do we where the whole cannot be read: a Contact
    that is no URI keeps no call up. Raises MalformedMessage."""
    bodiless = _bodiless(head)
    try:
        return parse_datagram(bodiless)
    except MalformedMessage:
        first, _, fields = bodiless.partition(b"\r\n")
        return parse_datagram(first + b"\r\n" + b"".join(_NEEDED.findall(fields)) + b"\r\n")


def _bodiless(head: bytes) -> bytes:
    """A head whose body was not kept says so."""
    return _LENGTH.sub(b"", head)


def _used(descriptor: int, size: int) -> Iterator[int]:
    """Offsets of the slots that were ever written: the rest of the memory was never there."""
    at = 0
    while at < size:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
            end = os.lseek(descriptor, at, os.SEEK_HOLE)
        except OSError:
            return
        yield from range(at - at % WILL_SIZE, min(end, size - WILL_SIZE + 1), WILL_SIZE)
        at = end


def _address(raw: bytes) -> Address | None:
    """Of a sockaddr_in (16 octets) or sockaddr_in6 (28)."""
    packed = {16: raw[4:8], 28: raw[8:24]}.get(len(raw))
    return (
        None
        if packed is None
        else Address(str(ipaddress.ip_address(packed)), int.from_bytes(raw[2:4], "big"))
    )
