"""Where a peer leads us: the address in its SDP (media) and in its Contact (requests within the dialog).

A callee is a stranger, and so is a caller. What they say may not turn us against a third party, nor against
the machine we run on.
"""

from __future__ import annotations

from callwright.policy.addresses import (
    bare,
    impossible,
    is_inside,
    is_private,
    is_shared,
    local_range,
    numeric,
)
from callwright.policy.destination import Decision, Ground, Purpose, Rules, target_for
from callwright.policy.remedy import Remedy, RemedyKind

__all__ = ["MEDIA_PORTS", "contact_allowed", "media_allowed"]

MEDIA_PORTS = range(1024, 65536)
"""Ports below belong to services."""


def media_allowed(
    address: str,
    port: int,
    *,
    peer: str,
    purpose: Purpose,
    rules: Rules,
    signalling: Decision | None = None,
) -> Decision:
    """May RTP go to this address of an SDP? ``peer``: the numeric address signalling comes from.

    ``signalling``: the decision that let us call the peer; None for a call that came in. Only a call that a
    person typed, and one that comes from where a person typed to register, may be sent to a public address
    that is not the peer's own; and any call to ``rules.media``. Names are resolved before they are asked
    about.
    """
    if port not in MEDIA_PORTS:
        return Decision(False, f"The peer wants media at port {port}; media goes to ports 1024 to 65535.")
    return _led("media", address, peer, purpose, rules, signalling)


def contact_allowed(
    address: str,
    port: int,
    *,
    peer: str,
    purpose: Purpose,
    rules: Rules,
    signalling: Decision | None = None,
    name: str = "",
) -> Decision:
    """May ACK, BYE and the like go to this address of a Contact or Record-Route? See media_allowed.

    ``name``: what the peer said, where that was a name; ``address`` is what it resolved to.
    """
    if not 1 <= port <= 65535:
        return Decision(False, f"The peer wants requests at port {port}, which does not exist.")
    return _led("requests", address, peer, purpose, rules, signalling, name)


def _led(
    what: str,
    address: str,
    peer: str,
    purpose: Purpose,
    rules: Rules,
    signalling: Decision | None,
    name: str = "",
) -> Decision:
    there, speaker = numeric(bare(address)), numeric(bare(peer))
    shown = f"{name} ({address})" if name else address
    if there is None or speaker is None:
        return Decision(False, f"{address} is not a numeric address; the peer gets {what} at no other.")
    unreachable = impossible(there)
    if unreachable:
        return Decision(False, f"The peer wants {what} at {shown}, which is {unreachable}.")
    if there == speaker:
        return Decision(True, f"The peer gets {what} where it signals from.", ground=Ground.PEER)
    by_name = name if rules.embedded or not is_inside(there) else ""
    if what == "media" and any(target.at(address, there) for target in rules.media):
        return Decision(True, f"{shown} is permitted for media.", ground=Ground.TARGET)
    target = target_for(by_name or address, there, "", rules)
    if target is not None:
        return Decision(True, f"{shown} is permitted by name.", ground=Ground.TARGET, target=target)
    place = by_name or address
    typed = signalling is not None and signalling.allowed and signalling.ground is Ground.TYPED
    typed_call = typed and purpose is Purpose.CALL
    remedy = Remedy(RemedyKind.PERMIT_PLACE, place)
    ours = {numeric(host) for host in (*rules.local, *(host for host, _ in rules.own))}
    if there.is_loopback or there in ours:
        if rules.embedded and (speaker.is_loopback or speaker in ours):
            return Decision(True, f"{shown} and the peer are both on this machine.", ground=Ground.LOOPBACK)
        if there.is_loopback:
            return Decision(
                False,
                f"The peer {peer} wants {what} at {shown}, which is this machine itself.",
                Remedy(RemedyKind.CORRECT_PEER),
            )
    if there.is_link_local:
        if rules.embedded and speaker.is_link_local:
            return Decision(True, f"{shown} is on the peer's own link.", ground=Ground.PEER)
        return _refusal(what, shown, peer, "a link-local address", remedy)
    if is_private(there):
        if rules.embedded or (signalling is not None and is_private(speaker)):
            return Decision(True, f"{shown} is in a private range.", ground=Ground.PRIVATE)
        return _refusal(what, shown, peer, "an address in a private range", remedy)
    if is_shared(there) and not is_shared(speaker):
        return _refusal(what, shown, peer, "an address in carrier-grade NAT space", remedy)
    local = local_range(there)
    if local is not None:
        if rules.embedded and local_range(speaker) == local:
            return Decision(True, f"{shown} is in the peer's own range.", ground=Ground.PEER)
        return _refusal(what, shown, peer, f"an address that is not reachable globally ({local})", remedy)
    if typed_call:
        return Decision(True, "The callee of a typed call wants it there.", ground=Ground.CALLEE)
    return _refusal(what, shown, peer, "neither the peer itself nor permitted", remedy)


def _refusal(what: str, shown: str, peer: str, because: str, remedy: Remedy) -> Decision:
    return Decision(False, f"The peer {peer} wants {what} at {shown}: {because}.", remedy)
