"""What is needed to end a call after the process that made it is gone: its will.

An endpoint tells the wills that changed (`Endpoint.wills`) before what it sends; another endpoint takes one
over (`Endpoint.inherit`): an answered call is acknowledged and ended, one that nobody has answered is
canceled, and a 200 that comes all the same is acknowledged and ended too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from callwright.sip.dialog import Dialog
from callwright.sip.digest import Credentials
from callwright.sip.glance import tag_of
from callwright.sip.headers import Headers, header_key
from callwright.sip.message import Request, Response, parse_datagram, serialize
from callwright.sip.transport import Address, Hop, Transport

CSEQ_STEP = 1_000
"""Our last request is at most so many after what a will knows: gaps are permitted (RFC 3261 12.2.2)."""

_NEEDED = frozenset(
    ("via", "from", "to", "call-id", "cseq", "contact", "route", "record-route", "max-forwards")
)
_SECRET = frozenset(("authorization", "proxy-authorization"))


@dataclass(frozen=True, slots=True)
class DialogState:
    """A `Dialog` as plain values; `way`: where its requests go, None: where the call came from or went."""

    local: str
    remote: str
    local_tag: str
    remote_tag: str
    local_cseq: int
    remote_target: str
    route_set: tuple[str, ...]
    way: tuple[str, str, int, str] | None = None  # transport, host, port, name


@dataclass(frozen=True, slots=True)
class Will:
    """`invite`: the INVITE as sent last, or as received: headers that matter alone. `dialog` None: there is
    no 2xx yet. `hop`: transport, local host, port, remote host, port, name. `user`, `secret`: credentials, ""
    without."""

    outbound: bool
    hop: tuple[str, str, int, str, int, str]
    invite: bytes
    local_tag: str
    dialog: DialogState | None = None
    user: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"Will(outbound={self.outbound}, hop={self.hop!r}, …)"

    @property
    def flow(self) -> Hop:
        transport, local, local_port, remote, remote_port, name = self.hop
        return Hop(Transport(transport), Address(local, local_port), Address(remote, remote_port), name)

    @property
    def credentials(self) -> Credentials | None:
        return Credentials(self.user, self.secret) if self.secret else None

    def request(self) -> Request:
        """The INVITE. Raises MalformedMessage, ValueError."""
        message = parse_datagram(self.invite)
        if not isinstance(message, Request) or message.method != "INVITE":
            raise ValueError("this is no INVITE")
        return message

    def for_disk(self) -> Will:
        """Without what must not lie in clear: passwords, and what was made with them."""
        request = self.request()
        return replace(self, user="", secret="", invite=_essence(request, secrets=False))


def hop_values(hop: Hop) -> tuple[str, str, int, str, int, str]:
    return (
        hop.transport.value,
        hop.local.host,
        hop.local.port,
        hop.remote.host,
        hop.remote.port,
        hop.name,
    )


def essence(request: Request) -> bytes:
    """The INVITE without what ends no call: a body, what it offers, how it is called."""
    return _essence(request, secrets=True)


def _essence(request: Request, *, secrets: bool) -> bytes:
    kept = _NEEDED | _SECRET if secrets else _NEEDED
    fields = [(name, value) for name, value in request.headers if header_key(name) in kept]
    return serialize(Request(request.method, request.uri, Headers.adopt(fields)))


def state_of(dialog: Dialog, way: Hop | None) -> DialogState:
    return DialogState(
        dialog.local,
        dialog.remote,
        dialog.local_tag,
        dialog.remote_tag,
        dialog.local_cseq,
        dialog.remote_target,
        dialog.route_set,
        None if way is None else (way.transport.value, way.remote.host, way.remote.port, way.name),
    )


def dialog_of(state: DialogState, call_id: str, hop: Hop) -> Dialog:
    return Dialog(
        call_id=call_id,
        local=state.local,
        local_tag=state.local_tag,
        remote=state.remote,
        remote_tag=state.remote_tag,
        local_cseq=state.local_cseq + CSEQ_STEP,
        remote_cseq=None,
        remote_target=state.remote_target,
        route_set=tuple(state.route_set),
        hop=hop,
    )


def will_of_messages(
    invite: Request, success: Response | None, hop: Hop, *, outbound: bool, credentials: Credentials | None
) -> Will:
    """Of a call that is kept as its messages, as the load loop keeps it. One that came in was answered: To of
    its INVITE has our tag by then."""
    user, secret = (credentials.username, credentials.password) if credentials is not None else ("", "")
    state, local_tag = None, tag_of(invite.headers.get("from") or "") or ""
    if success is not None and outbound:
        state = state_of(Dialog.of_response(invite, success, local_tag, hop), None)
    elif not outbound:
        ours = invite.headers.get("to") or ""
        local_tag = tag_of(ours) or ""
        state = replace(state_of(Dialog.of_request(invite, local_tag, hop), None), local=ours)
    return Will(outbound, hop_values(hop), essence(invite), local_tag, state, user, secret)
