"""One's own account: the password, and the second factor."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from callwright.control.errors import DomainError, Invalid, TooManyGuesses
from callwright.control.web import rendering
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

__all__ = ["confirm_password", "routes"]


async def confirm_password(pages: Pages, request: WebRequest, visitor: Visitor, password: str) -> None:
    """Before something that a session alone does not permit; wrong ones count as those of a login.

    Raises Invalid, TooManyGuesses.
    """
    address = request.client.host if request.client else ""
    guesses = request.app.state["gate"].guesses
    pause = guesses.wait(address, pages.services.clock.now())
    if pause > 0:
        raise TooManyGuesses(round(pause) + 1)
    if not await pages.services.accounts.is_password(visitor.identity, password):
        await pages.services.accounts.note_failed_login(visitor.identity.username, address)
        raise Invalid("That is not your password.", field="password")
    guesses.give_back(address)


def routes(pages: Pages) -> list[Any]:
    factors, accounts = pages.services.second_factors, pages.services.accounts

    async def shown(request: WebRequest, visitor: Visitor, **more: Any) -> Response[bytes]:
        user = await accounts.user(visitor.identity.user_id)
        context = {
            "user": user,
            "standing": await factors.standing(user.id),
            "enrolment": None,
            "recovery_codes": None,
            "refusal": None,
            **more,
        }
        if context["enrolment"] is not None:
            context["qr"] = rendering.qr(context["enrolment"].uri, "The secret as a QR code")
        status = 422 if context["refusal"] else 200
        return await pages.page(request, visitor, "account.html", "Account", status=status, **context)

    @get("/account")
    async def account(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/account/password", status_code=303)
    async def change_password(request: WebRequest) -> Response[Any]:
        """Every session of the user ends, this one too."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await confirm_password(pages, request, visitor, fields.get("password", ""))
            await accounts.set_password(visitor.identity, visitor.identity.user_id, fields.get("new", ""))
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return go("/login")

    @post("/account/2fa", status_code=200)
    async def begin(request: WebRequest) -> Response[bytes]:
        """The secret is on the page that answers, for an application to take."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        user = await accounts.user(visitor.identity.user_id)
        try:
            await confirm_password(pages, request, visitor, fields.get("password", ""))
            enrolment = await factors.begin(user)
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, enrolment=enrolment)

    @post("/account/2fa/confirm", status_code=200)
    async def confirm(request: WebRequest) -> Response[bytes]:
        """The recovery codes are on the page that answers, and never again."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        user = await accounts.user(visitor.identity.user_id)
        try:
            codes = await factors.confirm(visitor.identity, fields.get("code", "")[:64])
        except Invalid as error:
            return await shown(request, visitor, refusal=error, enrolment=await factors.begun(user))
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, recovery_codes=codes)

    @post("/account/2fa/codes", status_code=200)
    async def renew(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await confirm_password(pages, request, visitor, fields.get("password", ""))
            codes = await factors.new_recovery_codes(visitor.identity)
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, recovery_codes=codes)

    @post("/account/2fa/remove", status_code=303)
    async def remove(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await confirm_password(pages, request, visitor, fields.get("password", ""))
            await factors.remove(visitor.identity, await accounts.user(visitor.identity.user_id))
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return go("/account", "changed")

    return [account, change_password, begin, confirm, renew, remove]
