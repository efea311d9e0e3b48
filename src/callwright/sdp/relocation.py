"""A description passed on with the media somewhere else: what a relay does to an offer and to its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute, Connection, Origin, SdpError
from callwright.sdp.media import Media

__all__ = ["UNTOUCHED", "relocate"]

UNTOUCHED = -1
"""In place of a port: that m-line stays where it is."""

# Each says where media is in a way that a relay makes untrue (RFC 3605, 5761, 8839, 8840, 4570).
_ADDRESSES = frozenset(
    (
        "rtcp",
        "rtcp-mux",
        "candidate",
        "remote-candidates",
        "end-of-candidates",
        "ice-ufrag",
        "ice-pwd",
        "ice-lite",
        "ice-options",
        "ice-pacing",
        "source-filter",
    )
)


def relocate(
    description: SessionDescription, host: str, ports: Sequence[int | None], *, origin: Origin | None = None
) -> SessionDescription:
    """The same description with its media at ``host`` and, m-line by m-line, at ``ports``.

    None takes an m-line out (port 0), UNTOUCHED leaves it where it is; one that was out stays out. A hold by
    0.0.0.0 stays one. ``origin``:
    the o= line of our own session towards the other side; None keeps the peer's, but for its address. Raises
    SdpError when the ports do not fit the m-lines.
    """
    if len(ports) != len(description.media):
        raise SdpError(f"there are {len(ports)} ports for {len(description.media)} m-lines")
    connection = Connection.to(host)
    media = tuple(
        _moved(description, line, connection, port)
        for line, port in zip(description.media, ports, strict=True)
    )
    ours = origin or replace(
        description.origin, address=host, address_type=connection.address_type, network_type="IN"
    )
    return replace(
        description,
        origin=ours,
        connection=connection,
        media=media,
        attributes=_without_addresses(description.attributes),
    )


def _moved(description: SessionDescription, media: Media, connection: Connection, port: int | None) -> Media:
    if port == UNTOUCHED and media.port:
        own = description.connection_of(media)
        return replace(media, connections=media.connections or (() if own is None else (own,)))
    if media.port == 0 or port is None:
        return replace(media, port=0, port_count=None, connections=())
    if not 1 <= port <= 65535:
        raise SdpError(f"the port {port} is not between 1 and 65535")
    was = description.connection_of(media)
    held = was is not None and was.is_unspecified
    nowhere = Connection.to("::" if connection.address_type == "IP6" else "0.0.0.0")
    return replace(
        media,
        port=port,
        port_count=None,
        connections=(nowhere,) if held else (),
        attributes=_without_addresses(media.attributes),
    )


def _without_addresses(attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    return tuple(a for a in attributes if a.name.lower() not in _ADDRESSES)
