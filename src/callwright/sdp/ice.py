"""What a description says of ICE (RFC 8839): secrets of a side, its candidates, whether it is lite."""

from __future__ import annotations

from dataclasses import dataclass, field

from callwright.ice.agent import fits
from callwright.ice.candidate import Candidate, CandidateError, parse_candidate
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute, SdpError
from callwright.sdp.media import Media

__all__ = ["IceDescription", "ice_of"]

_MOST = 64  # candidates that are read


@dataclass(frozen=True, slots=True)
class IceDescription:
    """Of one side. `pwd` is a secret between both. `remarks`: candidates that were passed over, and why."""

    ufrag: str
    pwd: str = field(repr=False)
    candidates: tuple[Candidate, ...] = ()
    lite: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Of the m-line."""
        found = [Attribute("ice-ufrag", self.ufrag), Attribute("ice-pwd", self.pwd)]
        found += [Attribute("candidate", str(candidate)) for candidate in self.candidates]
        return (*found, Attribute("end-of-candidates"))

    @property
    def session_attributes(self) -> tuple[Attribute, ...]:
        return (Attribute("ice-lite"),) if self.lite else ()


def ice_of(description: SessionDescription, media: Media) -> IceDescription | None:
    """What the peer says for this m-line; None where it does no ICE. Raises SdpError for secrets that are too
    short to be any (RFC 8839 section 5.4)."""
    ufrag, pwd = _either(description, media, "ice-ufrag"), _either(description, media, "ice-pwd")
    if ufrag is None and pwd is None:
        return None
    if not fits(ufrag or "", pwd or ""):
        raise SdpError(
            f"its ICE secrets have {len(ufrag or '')} and {len(pwd or '')} characters; "
            "RFC 8839 wants 4 and 22 at least"
        )
    candidates: list[Candidate] = []
    remarks: list[str] = []
    for value in media.values("candidate")[:_MOST]:
        try:
            candidates.append(parse_candidate(value))
        except CandidateError as error:
            remarks.append(str(error))
    lite = any(attribute.name == "ice-lite" for attribute in description.attributes)
    return IceDescription(ufrag or "", pwd or "", tuple(candidates), lite, tuple(remarks[:8]))


def _either(description: SessionDescription, media: Media, name: str) -> str | None:
    said = media.value(name)
    if said is None:
        said = next((a.value for a in description.attributes if a.name == name), None)
    return said
