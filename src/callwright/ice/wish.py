"""What a call is to do about ICE."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["NO_ICE", "USES", "IceWish", "Server", "parse_server", "parse_turn"]

USES = ("off", "on", "lite")
"""Media goes where the SDP says; checks in both directions (RFC 8445); answers to checks alone."""
PORT = 3478


@dataclass(frozen=True, slots=True)
class Server:
    """A STUN or TURN server over UDP; `user` and `password` are of TURN. `host`: numeric or a name."""

    host: str
    port: int = PORT
    user: str = ""
    password: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class IceWish:
    """`use`: of USES. `relay_only`: tell and use the address at the TURN server alone."""

    use: str = "off"
    stun: Server | None = None
    turn: Server | None = None
    relay_only: bool = False


NO_ICE = IceWish()


def parse_server(text: str) -> Server:
    """`host`, `host:port`, `[2001:db8::1]:port`, with or without `stun:`. ValueError with a sentence."""
    rest = text.strip()
    for scheme in ("stun:", "turn:"):
        rest = rest.removeprefix(scheme)
    rest = rest.removesuffix("?transport=udp")
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        port = port.removeprefix(":")
        if not bracket:
            raise ValueError(f"{text!r} is no server")
    elif rest.count(":") > 1:
        host, port = rest, ""
    else:
        host, _, port = rest.partition(":")
    number = port or str(PORT)
    if (
        not host
        or len(host) > 255
        or not (number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536)
    ):
        raise ValueError(f"{text!r} is no server: write HOST or HOST:PORT")
    return Server(host, int(number))


def parse_turn(text: str) -> Server:
    """`user:password@host:port`, as above. ValueError with a sentence that does not hold the password."""
    secrets, at, place = text.strip().removeprefix("turn:").rpartition("@")
    user, colon, password = secrets.partition(":")
    if not at or not colon or not user or not password:
        raise ValueError("a TURN server is written USER:PASSWORD@HOST or USER:PASSWORD@HOST:PORT")
    server = parse_server(place)
    return Server(server.host, server.port, user, password)
