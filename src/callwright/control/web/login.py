"""Signing in and out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Response, get, post

from callwright.control.accounts.model import CodeNeeded, Identity
from callwright.control.api.body import read_fields
from callwright.control.errors import Invalid, TooManyGuesses
from callwright.control.web import rendering
from callwright.control.web.visitor import (
    Pages,
    SignInNeeded,
    WebRequest,
    check_origin,
    csrf_of,
    go,
    local_path,
)

_WRONG = "Email or password is wrong. Check both and try again."
_WRONG_CODE = "The code is wrong, or it was used already. Wait for the next one."
_OVER = "Signing in took too long. Enter email and password again."
_TOO_MANY = "Too many wrong passwords came from there. Try again in a minute."


def routes(pages: Pages) -> list[Any]:
    @get("/login")
    async def show(request: WebRequest) -> Response[bytes]:
        return sign_in(pages, request, next_=request.query_params.get("next", "/"))

    @get("/session")
    async def session(request: WebRequest) -> Response[Any]:
        """Whether somebody is still signed in: what a page asks before it sends what was typed into it."""
        try:
            visitor = await pages.visitor(request)
        except SignInNeeded:
            return _told({"message": "You are signed out."}, 401)
        return _told({"csrf": visitor.csrf, "username": visitor.identity.username}, 200)

    @post("/login", status_code=303)
    async def sign(request: WebRequest) -> Response[Any]:
        """A page; to the dialog that stands over a page, which accepts JSON, the token of the new session."""
        check_origin(request, pages.settings.public_url)
        fields = await read_fields(request)
        email, password = str(fields.get("email", "")), str(fields.get("password", ""))
        next_ = local_path(str(fields.get("next", "/")))
        address, now = request.client.host if request.client else "", pages.services.clock.now()
        failures = request.app.state["gate"].guesses
        # Taken before, since a password takes long to compare: those that come meanwhile count too.
        dialog = request.headers.get("accept", "").startswith("application/json")

        def refused(status: int, problem: str) -> Response[Any]:
            if dialog:
                return _told({"message": problem}, status)
            return sign_in(pages, request, status=status, next_=next_, email=email, problem=problem)

        if failures.wait(address, now) > 0:
            return refused(429, _TOO_MANY)
        login = await pages.services.accounts.login(email, password, source=address)
        if login is None:
            return refused(401, _WRONG)
        failures.give_back(address)
        if isinstance(login, CodeNeeded):
            if dialog:
                return _told({"nonce": login.nonce}, 202)
            return ask_code(pages, request, login.nonce, next_=next_)
        return signed_in(request, *login, dialog=dialog, next_=next_)

    @post("/login/code", status_code=303)
    async def sign_by_code(request: WebRequest) -> Response[Any]:
        """The second step, with the nonce of the first."""
        check_origin(request, pages.settings.public_url)
        fields = await read_fields(request)
        nonce, code = str(fields.get("nonce", ""))[:200], str(fields.get("code", ""))[:64]
        next_ = local_path(str(fields.get("next", "/")))
        address, now = request.client.host if request.client else "", pages.services.clock.now()
        guesses = request.app.state["gate"].guesses
        dialog = request.headers.get("accept", "").startswith("application/json")

        def refused(status: int, problem: str) -> Response[Any]:
            if dialog:
                return _told({"message": problem}, status)
            if status == 410:
                return sign_in(pages, request, status=401, next_=next_, problem=problem)
            return ask_code(pages, request, nonce, status=status, next_=next_, problem=problem)

        if guesses.wait(address, now) > 0:
            return refused(429, _TOO_MANY)
        try:
            login = await pages.services.accounts.login_by_code(nonce, code, source=address)
        except Invalid:
            return refused(410, _OVER)
        except TooManyGuesses as error:
            return refused(429, f"{error.message} {error.remedy}")
        if login is None:
            return refused(401, _WRONG_CODE)
        guesses.give_back(address)
        return signed_in(request, *login, dialog=dialog, next_=next_)

    def signed_in(
        request: WebRequest, token: str, identity: Identity, *, dialog: bool, next_: str
    ) -> Response[Any]:
        told = {"csrf": csrf_of(token), "username": identity.username}
        answer: Response[Any] = _told(told, 200) if dialog else go(next_)
        answer.cookies.append(pages.cookie(request, token))
        return answer

    @post("/logout", status_code=303)
    async def out(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await pages.services.accounts.logout(visitor.identity)
        answer = go("/login")
        answer.cookies.append(pages.cookie(request, "", end=True))
        return answer

    return [show, session, sign, sign_by_code, out]


def _told(what: dict[str, str], status: int) -> Response[Any]:
    headers = {"Cache-Control": "no-store", "Vary": "Cookie"}
    return Response(what, status_code=status, media_type="application/json", headers=headers)


def sign_in(
    pages: Pages,
    request: WebRequest,
    *,
    status: int = 200,
    next_: str = "",
    email: str = "",
    problem: str = "",
) -> Response[bytes]:
    """The page to sign in, under whatever address it was asked for."""
    host = urlsplit(pages.base_url(request)).netloc
    context = {"host": host, "next": local_path(next_), "email": email[:200], "problem": problem}
    return rendering.page("login.html", context, status=status)


def ask_code(
    pages: Pages, request: WebRequest, nonce: str, *, status: int = 200, next_: str = "", problem: str = ""
) -> Response[bytes]:
    """The page of the second step."""
    host = urlsplit(pages.base_url(request)).netloc
    context = {"host": host, "next": local_path(next_), "nonce": nonce, "problem": problem}
    return rendering.page("login_code.html", context, status=status)
