"""What a description says of DTLS-SRTP (RFC 5763, 8842): fingerprints, and who begins the handshake."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute, SdpError
from callwright.sdp.media import Media
from callwright.srtp.fingerprint import Fingerprint, FingerprintError, parse_fingerprint

__all__ = ["DTLS_PROTOCOLS", "DtlsPeer", "answered_dtls", "concluded_dtls", "dtls_attributes"]

DTLS_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")
"""With feedback (RFC 5124), as browsers say it, and without."""
_OLDER = ("RTP/SAVPF", "RTP/SAVP")
"""Profiles that some name, with a fingerprint beside."""
_MOST = 8  # fingerprints that are read


@dataclass(frozen=True, slots=True)
class DtlsPeer:
    """`fingerprints`: of the peer's certificate. `client`: we begin the handshake."""

    fingerprints: tuple[Fingerprint, ...]
    client: bool
    remarks: tuple[str, ...] = ()


def dtls_attributes(fingerprint: Fingerprint, setup: str) -> tuple[Attribute, ...]:
    """Of the m-line."""
    return Attribute("fingerprint", str(fingerprint)), Attribute("setup", setup)


def answered_dtls(theirs: SessionDescription, media: Media, role: str | None) -> DtlsPeer:
    """What an offer comes to. `role`: "active" or "passive", which we have since an earlier offer. Raises
    SdpError where nothing comes of it."""
    found, remarks = _fingerprints(theirs, media)
    setup = _setup(theirs, media)
    if setup is None:
        remarks.append("The offer has no a=setup; it was taken for active (RFC 4145 section 4).")
    match setup or "active":
        case "actpass":
            client = role != "passive"
        case "active":
            client = False
        case "passive":
            client = True
        case other:
            raise SdpError(f"its a=setup is {other[:20]!r}")
    return DtlsPeer(found, client, tuple(remarks))


def concluded_dtls(theirs: SessionDescription, media: Media) -> DtlsPeer:
    """What the answer to our offer (actpass) comes to. Raises SdpError."""
    found, remarks = _fingerprints(theirs, media)
    setup = _setup(theirs, media)
    if setup not in ("active", "passive"):
        said = "no a=setup" if setup is None else f"a=setup:{setup[:20]}"
        remarks.append(f"The answer has {said}; it was taken for passive (RFC 4145 section 4).")
    return DtlsPeer(found, setup != "active", tuple(remarks))


def is_dtls(description: SessionDescription, media: Media) -> bool:
    """Whether the m-line wants keys by DTLS."""
    protocol = media.protocol.upper()
    named = media.has("fingerprint") or any(a.name == "fingerprint" for a in description.attributes)
    return protocol in DTLS_PROTOCOLS or (protocol in _OLDER and named and not media.has("crypto"))


def _fingerprints(description: SessionDescription, media: Media) -> tuple[tuple[Fingerprint, ...], list[str]]:
    said = media.values("fingerprint")
    if not said:
        said = [a.value for a in description.attributes if a.name == "fingerprint" and a.value is not None]
    if not said:
        raise SdpError("it has no a=fingerprint, so nobody knows whose certificate is right")
    found: list[Fingerprint] = []
    faults: list[str] = []
    for value in said[:_MOST]:
        try:
            found.append(parse_fingerprint(value))
        except FingerprintError as error:
            faults.append(str(error))
    if not found:
        raise SdpError(faults[0])
    return tuple(found), [f"A fingerprint was passed over: {fault}." for fault in faults]


def _setup(description: SessionDescription, media: Media) -> str | None:
    said = media.value("setup") or next((a.value for a in description.attributes if a.name == "setup"), None)
    return None if said is None else said.strip().lower()
