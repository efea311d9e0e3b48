"""Flags that say how an account is registered, which `register` and `answer` have in common."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from callwright.cli.softphone import sip_uri
from callwright.host.operator import Refused

OutboundOption = Annotated[
    bool,
    typer.Option(
        "--outbound",
        help="Have the registrar keep our flow (RFC 5626), keep it alive, form it anew when it dies.",
    ),
]
RegIdOption = Annotated[
    int, typer.Option("--reg-id", min=1, max=2**31 - 1, metavar="N", help="Number of that flow.")
]
InstanceOption = Annotated[
    str | None,
    typer.Option("--instance", metavar="URN", help="Our device (+sip.instance), instead of a random one."),
]
GruuOption = Annotated[
    bool, typer.Option("--gruu", help="Ask for a GRUU (RFC 5627), and give that as Contact.")
]
KeepaliveOption = Annotated[
    float | None,
    typer.Option(
        "--keepalive",
        min=1,
        metavar="SECONDS",
        help="Longest pause between keep-alives: CRLF over TCP and TLS, STUN over UDP.",
    ),
]


def binding_wishes(
    outbound: bool,
    reg_id: int = 1,
    instance: str | None = None,
    gruu: bool = False,
    keepalive: float | None = None,
) -> dict[str, Any]:
    """Arguments of `Phone.register`. Raises Refused, naming the flag."""
    from callwright.sip.binding_wish import is_urn

    if instance is not None and not is_urn(instance):
        raise Refused(
            f"--instance {instance!r} is not a URN",
            "For example: --instance urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        )
    return {
        "outbound": reg_id if outbound else None,
        "instance": instance or "",
        "gruu": gruu,
        "keepalive": keepalive,
    }


def further_contacts(uris: list[str] | None) -> tuple[str, ...]:
    return tuple(sip_uri(uri, "--contact") for uri in uris or ())
