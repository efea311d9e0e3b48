"""Trunks and numbers of the running PBX, and the way of a number through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response, get

from callwright.control import switchboard
from callwright.control.accounts.model import Right
from callwright.control.collections.model import MOST_ROWS, Compare, Operator, Query, Sort
from callwright.control.errors import Invalid, PbxAway
from callwright.control.web.board_figures import full_name
from callwright.control.web.visitor import Pages, WebRequest
from callwright.dispatch.messages.pbx import PlanTold, RouteTold


@dataclass(frozen=True, slots=True)
class Step:
    """One sentence of a way; ``depth``: how far it is from what was dialled."""

    depth: int
    text: str


def steps(way: tuple[str, ...]) -> list[Step]:
    return [Step((len(line) - len(line.lstrip())) // 2, line.strip()) for line in way]


def route_words(route: RouteTold) -> str:
    """ "numbers with 00, 4 to 32 digits; 2 digits are taken off, then 9 is put in front"."""
    taken = f"numbers with {route.prefix}" if route.prefix else "all other numbers"
    digits = f"{route.shortest} to {route.longest}" if route.shortest != route.longest else f"{route.longest}"
    changes = []
    if route.strip:
        changes.append(f"{route.strip} {'digit is' if route.strip == 1 else 'digits are'} taken off")
    if route.prepend:
        changes.append(f"{route.prepend} is put in front")
    return "; ".join([f"{taken}, {digits} digits", *([", then ".join(changes)] if changes else [])])


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    @get("/numbers")
    async def numbers(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.ADMINISTER)
        number = request.query_params.get("number", "").strip()[:64]
        user = request.query_params.get("user", "").strip()[:128]
        plan, away, refusal = PlanTold(), None, None
        try:
            plan = await switchboard.plan(services, visitor.identity, number, user)
        except PbxAway as error:
            away = error
        except Invalid as error:
            refusal = error
            plan = await switchboard.plan(services, visitor.identity)
        with_line = Query(Compare("ext", Operator.NE, None), Sort("ext"), limit=MOST_ROWS)
        people = (await services.lines.rows(visitor.identity, with_line)).rows
        return await pages.page(
            request,
            visitor,
            "numbers.html",
            "Trunks and numbers",
            status=422 if refusal else 200,
            plan=plan,
            steps=steps(plan.way),
            route_words=route_words,
            number=number,
            user=user,
            people=people,
            full_name=full_name,
            away=away,
            refusal=refusal,
            has_pbx=pages.settings.pbx is not None,
        )

    return [numbers]
