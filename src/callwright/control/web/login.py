"""Signing in and out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Response, get, post

from callwright.control.api.body import read_fields
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
        token, identity = login
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

    return [show, session, sign, out]


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
