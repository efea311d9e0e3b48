"""The body of an INVITE that brings something beside its session description, or another one."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.net.entropy import Entropy

__all__ = ["NO_BODY", "ExtraBody", "with_extra"]

SDP = "application/sdp"


@dataclass(frozen=True, slots=True)
class ExtraBody:
    """`octets` of that `media_type`: ISUP, PIDF-LO, anything."""

    octets: bytes = b""
    media_type: str = ""

    @property
    def is_whole(self) -> bool:
        """It stands in place of what we would send, not beside it."""
        kind = self.media_type.partition(";")[0].strip().lower()
        return kind == SDP or kind.startswith("multipart/")


NO_BODY = ExtraBody()


def with_extra(offer: bytes, extra: ExtraBody, entropy: Entropy) -> tuple[bytes, str]:
    """Body and Content-Type: the offer and the extra body as multipart/mixed (RFC 5621), or what there is."""
    if not extra.octets:
        return offer, SDP
    if extra.is_whole or not offer:
        return extra.octets, extra.media_type
    boundary = entropy(12).hex()
    parts = [
        (f"Content-Type: {SDP}\r\n", offer),
        (
            f"Content-Type: {extra.media_type}\r\nContent-Disposition: signal;handling=optional\r\n",
            extra.octets,
        ),
    ]
    body = b"".join(f"--{boundary}\r\n{head}\r\n".encode() + octets + b"\r\n" for head, octets in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/mixed;boundary={boundary}"
