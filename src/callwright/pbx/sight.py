"""What of the calls of a PBX shows who watches a number (RFC 4235)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from callwright.pbx.booth import Booth
from callwright.pbx.bridge import Bridge
from callwright.pbx.clicking import Clicked
from callwright.pbx.plan import ConferenceRoom, Menu, PbxPlan, Queue, RingGroup, Service
from callwright.pbx.presence import Presence
from callwright.pbx.watching import LineState
from callwright.sip.call import Call

__all__ = ["lines_of", "presence_of", "service_of"]

Session = Bridge | Booth | Clicked
Named = Queue | Menu | ConferenceRoom | RingGroup
_PREFIXES: Mapping[str, type[Named]] = {
    "queue": Queue,
    "ivr": Menu,
    "conf": ConferenceRoom,
    "group": RingGroup,
}


def service_of(plan: PbxPlan, user: str) -> Service | None:
    """What a number, or `queue-<id>`, `ivr-<id>`, `conf-<id>` or `group-<id>`, names. The id is that of the
    API, or the number."""
    found = plan.service(user)
    prefix, _, id_ = user.partition("-")
    kind = _PREFIXES.get(prefix)
    if found is not None or kind is None or not id_:
        return found
    named = (one for one in plan.services if isinstance(one, Named) and isinstance(one, kind))
    return next((one for one in named if one.known_as(id_)), None)


def lines_of(
    sessions: Iterable[Session], number: str, *, service: bool, viewer: str, uri_of: Callable[[str], str]
) -> list[LineState]:
    """The calls of an account or, with `service`, of that number, as `viewer` may see them.

    Tags name a dialog, and who knows those of a call that is up can take it over (RFC 3891). So they are
    told of what rings, which every account may pick up, and of a viewer's own calls.
    """
    found: list[LineState] = []
    for session in sessions:
        record = session.record
        here = service and record.callee == number
        if isinstance(session, Booth):
            waits = record.callee == number
            if not waits and (session.user != number or session.parker):
                continue
            role, state = ("recipient" if waits else "initiator"), "confirmed"
            leg: Call | None = session.call
        elif not here and number not in session.users:
            continue
        else:
            role = "initiator" if record.caller == number else "recipient"
            state = "confirmed" if session.talks else "early" if session.rang else "trying"
            leg = session.leg_of(number)
        other = record.callee if role == "initiator" else record.caller
        line = LineState(record.id, role, state, uri_of(other) if other else "")
        if leg is not None and (state != "confirmed" or viewer == number):
            line = line._replace(call_id=leg.call_id, local_tag=leg.peer_tag, remote_tag=leg.local_tag)
        found.append(line)
    return found


def presence_of(
    sessions: Iterable[Session],
    user: str,
    *,
    online: bool,
    undisturbed: bool,
    published: tuple[tuple[str, str], ...],
) -> Presence:
    """What is known of an account now."""
    rings = talks = False
    for session in sessions:
        inside = session.user == user if isinstance(session, Booth) else user in session.users
        up = inside and (isinstance(session, Booth) or session.talks or session.record.caller == user)
        talks = talks or up
        rings = rings or (inside and not up)
    return Presence(online, rings, talks, undisturbed, published)
