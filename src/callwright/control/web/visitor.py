"""Who looks at a page: the session cookie, the token that forms carry, and the frame around every page."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.api.body import read_fields
from callwright.control.api.places import place_of
from callwright.control.services import Services, Settings
from callwright.control.web import rendering
from callwright.net.entropy import Entropy

COOKIE = "callwright_session"
_LONGEST = 200  # characters of a cookie that is looked at

WebRequest = Request[Any, Any, Any]

#: Headings of the menu, and what stands below each: name, address, symbol, the right that it takes to see it.
_MENU: tuple[tuple[str, tuple[tuple[str, str, str, Right], ...]], ...] = (
    (
        "",
        (
            ("Overview", "/", "home", Right.READ),
            ("Tests", "/tests", "tests", Right.READ),
            ("Runs", "/runs", "runs", Right.READ),
        ),
    ),
    (
        "Monitoring",
        (
            ("Matrix", "/monitoring", "matrix", Right.READ),
            ("Endpoints", "/monitoring/endpoints", "endpoint", Right.READ),
            ("Incidents", "/monitoring/incidents", "bell", Right.READ),
            ("Alerts", "/monitoring/alerts", "rule", Right.READ),
            ("Status pages", "/monitoring/status", "share", Right.READ),
            ("Report", "/monitoring/report", "sum", Right.READ),
        ),
    ),
    (
        "Telephony",
        (
            ("Live calls", "/board", "live", Right.READ),
            ("Call history", "/calls", "records", Right.READ),
            ("Users and phones", "/phones", "desk", Right.READ),
            ("Trunks and numbers", "/numbers", "route", Right.ADMINISTER),
        ),
    ),
    (
        "Platform",
        (
            ("Fleet", "/fleet", "fleet", Right.READ),
            ("Agents", "/agents", "server", Right.READ),
            ("Targets", "/targets", "target", Right.READ),
            ("SIP accounts", "/credentials", "phone", Right.CREDENTIALS),
            ("Notifications", "/notifications", "letter", Right.READ),
        ),
    ),
    (
        "Access",
        (
            ("API keys", "/keys", "key", Right.READ),
            ("Projects", "/projects", "folder", Right.READ),
            ("Members", "/members", "users", Right.ADMINISTER),
            ("Audit log", "/audit", "list", Right.ADMINISTER),
        ),
    ),
)

#: What is said after a redirection: the query names one of these, and nobody can put words of his own there.
TOASTS: Mapping[str, str] = {
    "saved": "Saved as a new version",
    "created": "The test is there",
    "restored": "Restored as a new version",
    "deleted": "The test was deleted",
    "shared": "The run has a public link",
    "extended": "Link expiry updated",
    "joined": "Added to the project",
    "left": "Removed from the project",
    "unshared": "The link was revoked",
    "stopped": "The run is being stopped",
    "snoozed": "Snoozed: nothing begins until then",
    "woken": "The snooze has ended",
    "acknowledged": "Acknowledged: reminders stop",
    "added": "Added",
    "removed": "Removed",
    "tried": "The test message is on its way",
    "resent": "The message waits again",
    "paused_channel": "The channel is paused",
    "activated": "The channel is active",
    "revoked": "Revoked",
    "changed": "Changed",
    "killed": "The kill switch is engaged",
    "released": "The kill switch is released",
    "ordered": "A server is on its way",
    "finishing": "The server finishes its calls and goes",
    "destroyed": "The server is listed no more",
    "paused": "The fleet is paused",
    "resumed": "The fleet makes and ends servers again",
    "ringing": "The phone rings; the number is dialled once it is answered",
    "transferred": "The call is being transferred",
    "kept": "The view is kept",
    "recording": "The call is recorded once both sides have heard so",
    "unrecorded": "The call is recorded no longer",
    "hungup": "The call was ended",
    "paused_endpoint": "Paused: no server tests the endpoint",
    "resumed_endpoint": "The endpoint is tested again",
    "draining": "The agent finishes what it has and takes nothing new",
}


class SignInNeeded(Exception):
    """Nobody is signed in; the answer is the page to do so, under the address that was asked for."""


class ForgedForm(Exception):
    """A form that did not come from a page of ours."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in."""

    identity: Identity
    csrf: str

    def can(self, right: Right) -> bool:
        return may(self.identity, right)

    def can_in(self, right: Right, project_id: int) -> bool:
        return may(self.identity, right, project_id)

    def rights_in(self, project_id: int) -> dict[str, bool]:
        """What the frame of a page says, for one that belongs to a project."""
        return {
            "can_run": self.can_in(Right.RUN, project_id),
            "can_edit": self.can_in(Right.EDIT, project_id),
        }

    def need(self, right: Right) -> None:
        authorize(self.identity, right)


class Pages:
    """The services and settings that the pages work with, and what every page has around it."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self.services, self.settings = services, settings

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.services.clock.wall()

    # -- who

    async def visitor(self, request: WebRequest) -> Visitor:
        """Raises SignInNeeded."""
        token = request.cookies.get(COOKIE, "")
        if not token or len(token) > _LONGEST or not token.isascii():
            raise SignInNeeded
        identity = await self.services.accounts.authenticate_token(token)
        if identity is None or identity.session_id is None:
            raise SignInNeeded
        place = place_of(request.scope)
        if place is not None:
            place.signed_in(f"user {identity.user_id}")
        return Visitor(identity, csrf_of(token))

    def cookie(self, request: WebRequest, token: str, *, end: bool = False) -> Cookie:
        secure = self.base_url(request).startswith("https:")
        return Cookie(
            COOKIE,
            value=token,
            httponly=True,
            samesite="lax",
            path="/",
            secure=secure,
            max_age=0 if end else None,
        )

    async def form(self, request: WebRequest, visitor: Visitor) -> dict[str, str]:
        """The fields of a form of ours; of a repeated one the last. Raises ForgedForm."""
        check_origin(request, self.settings.public_url)
        fields = await read_fields(request)
        texts = {name: _text(value) for name, value in fields.items()}
        given = request.headers.get("x-csrf-token") or texts.pop("_csrf", "")
        if not hmac.compare_digest(unmasked(given).encode("utf-8", "replace"), visitor.csrf.encode()):
            raise ForgedForm
        texts.pop("_csrf", None)
        return texts

    def base_url(self, request: WebRequest) -> str:
        """How people reach us, without a slash at the end."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        return str(request.base_url).rstrip("/")

    # -- answers

    async def page(
        self,
        request: WebRequest,
        visitor: Visitor,
        template: str,
        nav: str,
        *,
        status: int = 200,
        **context: Any,
    ) -> Response[bytes]:
        """A template in the frame of all pages."""
        return rendering.page(template, {**await self.frame(request, visitor, nav), **context}, status=status)

    def frame_of_strangers(self) -> dict[str, Any]:
        """Around a page that is open to all: no menu, nothing to send."""
        frame: dict[str, Any] = {"visitor": None, "csrf": "", "now": self.now, "toast": ""}
        return frame | {"can_run": False, "can_call": False, "can_edit": False, "can_administer": False}

    async def frame(self, request: WebRequest, visitor: Visitor, nav: str) -> dict[str, Any]:
        agents = [a for a in await self.services.agents.list() if a.state != "revoked"]
        now = self.now
        alive = sum(agent.alive(now) for agent in agents)
        return {
            "nav": nav,
            "menu": [
                (heading, [(name, href, icon) for name, href, icon, right in entries if visitor.can(right)])
                for heading, entries in _MENU
                if any(visitor.can(right) for *_, right in entries)
            ],
            "visitor": visitor.identity,
            "csrf": masked(visitor.csrf, self.services.entropy),
            "agents_line": f"{alive} of {len(agents)} {'agent' if len(agents) == 1 else 'agents'} alive",
            "toast": TOASTS.get(request.query_params.get("did", ""), ""),
            "now": now,
            "can_run": visitor.can(Right.RUN),
            "can_call": visitor.can(Right.CALL),
            "can_edit": visitor.can(Right.EDIT),
            "can_administer": visitor.can(Right.ADMINISTER),
        }


def go(to: str, did: str = "") -> Redirect:
    """After a form: 303 to a page of ours, which says what was done."""
    if did:
        to += ("&" if "?" in to else "?") + f"did={did}"
    return Redirect(to, status_code=303, headers={"Cache-Control": "no-store"})


def csrf_of(token: str) -> str:
    """What a page of this session puts into its forms; the session's token cannot be told from it."""
    return hmac.digest(token.encode(), b"callwright csrf", hashlib.sha256).hex()


def masked(token: str, entropy: Entropy) -> str:
    """The token as a page has it, different each time: lengths of compressed pages tell nothing of it."""
    plain = bytes.fromhex(token)
    pad = entropy(len(plain))
    return pad.hex() + bytes(a ^ b for a, b in zip(pad, plain, strict=True)).hex()


def unmasked(given: str) -> str:
    """The token that was masked; what is none as it came."""
    try:
        octets = bytes.fromhex(given)
    except ValueError:
        return given
    if len(given) != 4 * hashlib.sha256().digest_size:
        return given
    half = len(octets) // 2
    return bytes(a ^ b for a, b in zip(octets[:half], octets[half:], strict=False)).hex()


def check_origin(request: WebRequest, public_url: str | None) -> None:
    """A browser says where a form came from. Raises ForgedForm when that is another site. Ours is the public
    URL too: a proxy may hand on a Host of its own."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForgedForm
    origin = request.headers.get("origin", "")
    if not origin or origin == "null":
        return
    ours = {request.headers.get("host", ""), urlsplit(public_url or "").netloc} - {""}
    if urlsplit(origin).netloc not in ours:
        raise ForgedForm


def local_path(text: str) -> str:
    """Where to go after signing in: a path of ours, or the overview."""
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that are no address
        return "/"
    if parts.scheme or parts.netloc or not text.startswith("/") or text.startswith(("//", "/\\")):
        return "/"
    if any(ord(c) < 32 or ord(c) == 127 for c in text) or "\\" in text or parts.path == "/logout":
        return "/"
    return text


def path_of(url: str) -> str:
    """Of the page that a form was sent from."""
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return "/"


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[-1] if value else ""
    return value if isinstance(value, str) else ""
