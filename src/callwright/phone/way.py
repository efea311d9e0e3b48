"""What became of ICE and DTLS in a call, in the words of an outcome."""

from __future__ import annotations

from callwright.media.path import PathReport
from callwright.net.address import bracketed
from callwright.outcome.call import DtlsOutcome, IceOutcome
from callwright.outcome.terms import Failure
from callwright.sdp.negotiation import Negotiated


def ice_outcome(path: PathReport | None) -> IceOutcome | None:
    ice = path.ice if path is not None else None
    if path is None or ice is None:
        return None
    return IceOutcome(
        role="controlling" if ice.controlling else "controlled",
        lite=ice.lite,
        local=bracketed(ice.local.address) if ice.local is not None else None,
        local_type=ice.local.kind if ice.local is not None else None,
        remote=bracketed(ice.remote.address) if ice.remote is not None else None,
        remote_type=ice.remote.kind if ice.remote is not None else None,
        gathered_ms=_ms(ice.gathered, ice.began),
        connected_ms=_ms(ice.selected, path.agreed),
        rtt_ms=ice.rtt_ms,
        local_candidates=len(ice.local_candidates),
        remote_candidates=len(ice.remote_candidates),
        refused_candidates=len(ice.refused),
        checks=ice.checks,
        consent_lost=ice.consent_lost,
    )


def dtls_outcome(path: PathReport | None) -> DtlsOutcome | None:
    dtls = path.dtls if path is not None else None
    if dtls is None:
        return None
    return DtlsOutcome(
        role="client" if dtls.client else "server",
        fingerprint=dtls.fingerprint if dtls.established is not None else None,
        suite=dtls.suite,
        handshake_ms=_ms(dtls.established, dtls.began),
        retransmissions=dtls.resent,
    )


def path_remarks(path: PathReport | None) -> tuple[str, ...]:
    ice = path.ice if path is not None else None
    if ice is None:
        return ()
    found = list(ice.remarks)
    if ice.refused:
        shown = ", ".join(bracketed(one) for one in ice.refused[:4])
        more = f" and {len(ice.refused) - 4} more" if len(ice.refused) > 4 else ""
        found.append(f"Candidates of the peer that the policy does not permit got nothing: {shown}{more}.")
    if ice.consent_lost:
        found.append("The peer did not confirm for 30 s that it wants our media (RFC 7675); we sent no more.")
    return tuple(found)


def unfinished_path(path: PathReport | None, agreed: Negotiated | None) -> tuple[Failure, str] | None:
    """Of an answered call that ended before media had a way or keys, where audio was promised."""
    if path is None or path.agreed is None or agreed is None or agreed.disabled:
        return None
    if path.ice is not None and path.ice.selected is None:
        return Failure.ICE, "no pair of candidates was found before the call ended"
    if path.dtls is not None and path.dtls.established is None:
        return Failure.DTLS, "the handshake was not done before the call ended"
    return None


def _ms(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else max(0.0, 1000.0 * (later - earlier))
