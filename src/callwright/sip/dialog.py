"""Dialogs: what two user agents share once a tag on each side is known (RFC 3261 section 12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from callwright.sip.glance import cseq_of, tag_of
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request, Response
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from callwright.sip.user_agent import UserAgent


class Way(NamedTuple):
    """Request-URI and Route values of a request in a dialog, and the URI it is sent to first (12.2.1.1)."""

    request_uri: str
    routes: tuple[str, ...]
    next_hop: str


class Dialog:
    """One dialog, early or confirmed. Route set and remote target are kept as the text that came."""

    __slots__ = (
        "agreed",
        "call_id",
        "hop",
        "local",
        "local_cseq",
        "local_tag",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str,
        local_cseq: int,
        remote_cseq: int | None,
        remote_target: str,
        route_set: tuple[str, ...],
        hop: Hop,
    ) -> None:
        self.call_id = call_id
        self.local = local  # our From value, with tag
        self.local_tag = local_tag
        self.remote = remote  # our To value, with tag
        self.remote_tag = remote_tag
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.remote_target = remote_target
        self.route_set = route_set
        self.hop = hop  # the flow over which it was made
        self.agreed = False  # the first offer was answered, in messages that cannot be lost (RFC 6337 2.2)

    @classmethod
    def of_response(cls, request: Request, response: Response, local_tag: str, hop: Hop) -> Dialog:
        """The caller's dialog, made by a response to its request (12.1.2)."""
        headers = response.headers
        remote = headers.get("to") or ""
        return cls(
            call_id=request.headers.call_id,
            local=request.headers.get("from") or "",
            local_tag=local_tag,
            remote=remote,
            remote_tag=tag_of(remote) or "",
            local_cseq=cseq_of(request.headers)[0],
            remote_cseq=None,
            remote_target=contact_of(response) or request.uri,
            route_set=tuple(reversed(headers.get_all("record-route"))),
            hop=hop,
        )

    @classmethod
    def of_request(cls, request: Request, local_tag: str, hop: Hop) -> Dialog:
        """The callee's dialog, made by its own response with `local_tag` (12.1.1)."""
        headers = request.headers
        remote = headers.get("from") or ""
        return cls(
            call_id=headers.call_id,
            local=f"{headers.get('to') or ''};tag={local_tag}",
            local_tag=local_tag,
            remote=remote,
            remote_tag=tag_of(remote) or "",
            local_cseq=0,
            remote_cseq=cseq_of(headers)[0],
            remote_target=contact_of(request) or str(headers.from_.uri),
            route_set=tuple(headers.get_all("record-route")),
            hop=hop,
        )

    def next_cseq(self) -> int:
        """Number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def refresh_target(self, message: Request | Response) -> None:
        """A re-INVITE, UPDATE, or a 2xx to one moves the remote target (12.2)."""
        contact = contact_of(message)
        if contact is not None:
            self.remote_target = contact

    def refresh_routes(self, response: Response) -> None:
        """The 2xx decides on the route set, whatever the provisionals said (13.2.2.4)."""
        self.route_set = tuple(reversed(response.headers.get_all("record-route")))

    def way(self) -> Way:
        """How a request of ours goes: through loose routers, or a strict one of RFC 2543."""
        if not self.route_set:
            return Way(self.remote_target, (), self.remote_target)
        first = _uri_of(self.route_set[0])
        if first is None:
            return Way(self.remote_target, self.route_set, self.remote_target)
        text = str(first)
        if first.parameter("lr") is not None:
            return Way(self.remote_target, self.route_set, text)
        return Way(str(first.without_headers()), (*self.route_set[1:], f"<{self.remote_target}>"), text)


def compose(
    agent: UserAgent,
    dialog: Dialog,
    method: str,
    *,
    cseq: int,
    branch: str,
    contact: str | None = None,
    body: bytes = b"",
    content_type: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    hop: PermittedHop | None = None,
) -> tuple[Request, Hop]:
    """A request within a dialog (12.2.1.1), and where it goes: `hop`, else by its route set."""
    way = dialog.way()
    to: Hop = hop or agent.hop_towards(way.next_hop, dialog.hop)
    request = agent.build_request(
        method,
        way.request_uri,
        from_=dialog.local,
        to=dialog.remote,
        call_id=dialog.call_id,
        cseq=cseq,
        hop=to,
        branch=branch,
        routes=way.routes,
        contact=contact,
        headers=headers,
        body=body,
        content_type=content_type,
    )
    return request, to


def contact_of(message: Request | Response) -> str | None:
    """URI of the first Contact, without header fields; None when there is none that can be used."""
    text = message.headers.first("contact")
    if not text or text == "*":
        return None
    uri = _uri_of(text)
    if uri is None or not uri.is_sip:
        return None
    return str(uri.without_headers())


def _uri_of(name_addr: str) -> Uri | None:
    try:
        return NameAddr.parse(name_addr).uri
    except SipSyntaxError:
        return None
