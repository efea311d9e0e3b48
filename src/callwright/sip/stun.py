"""STUN on a port of SIP (RFC 5626 section 3.5.2): a Binding request that keeps a flow of UDP alive, and the
answer that says which address it came from."""

from __future__ import annotations

from typing import NamedTuple

from callwright.ice.stun import (
    BINDING,
    REQUEST,
    SUCCESS,
    XOR_MAPPED_ADDRESS,
    StunError,
    build,
    is_stun,
    parse,
    xor_address,
)
from callwright.sip.transport import Address

__all__ = ["Mapped", "answer", "is_stun", "read", "request"]

_LONGEST = 548
"""Octets that are answered; a Binding request of RFC 5626 has 20."""


class Mapped(NamedTuple):
    """An answer: the request that it belongs to, and the address that the server saw it come from."""

    transaction: bytes
    address: Address


def request(transaction: bytes) -> bytes:
    """A Binding request; `transaction` has 12 octets."""
    return build(REQUEST, BINDING, transaction, fingerprint=False)


def answer(data: bytes, source: Address) -> bytes | None:
    """The answer to a Binding request from `source`; None for all else. It is 12 octets longer at IPv4."""
    try:
        message = parse(data)
    except StunError:
        return None
    if (message.kind, message.method) != (REQUEST, BINDING) or len(data) > _LONGEST:
        return None
    value = xor_address((source.host.partition("%")[0], source.port), message.transaction)
    return build(SUCCESS, BINDING, message.transaction, [(XOR_MAPPED_ADDRESS, value)], fingerprint=False)


def read(data: bytes) -> Mapped | None:
    """A success response with an address in it; None for all else."""
    try:
        message = parse(data)
    except StunError:
        return None
    found = message.address(XOR_MAPPED_ADDRESS)
    if (message.kind, message.method) != (SUCCESS, BINDING) or found is None:
        return None
    return Mapped(message.transaction, Address(*found))
