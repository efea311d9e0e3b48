"""The guided way of the first hour, and what CI needs to go it again: snippets with a key filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right, Role
from callwright.control.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from callwright.control.runs.admission import rules
from callwright.control.runs.model import Run
from callwright.control.tests.model import Test
from callwright.control.web import editor, guide, rendering, run_page
from callwright.control.web.guide import AccountForm, Guide, Permission, Tried
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go
from callwright.evidence.excerpt import excerpt
from callwright.evidence.ladder import MessageRow
from callwright.evidence.naming import with_quality
from callwright.evidence.page import lane_positions, placed_rows
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Failure, Verdict
from callwright.policy.destination import Destination, Ground, Purpose, decide
from callwright.scenario.actions import Accept, Call
from callwright.scenario.amendment import CannotAmend
from callwright.scenario.parameter import Host
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import NOWHERE, DocumentError, Refusal, Text

_FIRST = "basic_call"
_TRANSPORTS = (("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS"))


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    @get("/start")
    async def show(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        found = await _kept(pages, visitor)
        if not found.began_at:
            found = msgspec.structs.replace(found, began_at=pages.now)
            await _keep(pages, visitor, found)
        if (wanted := request.query_params.get("test", "")[:300]) and not found.host:
            found = msgspec.structs.replace(found, test=wanted)
        return await _shown(pages, request, visitor, found)

    @post("/start/target", status_code=303)
    async def target(request: WebRequest) -> Response[Any]:
        """Step 1. One OPTIONS goes to the host, if policy permits it by now."""
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        fields = await pages.form(request, visitor)
        found = await _kept(pages, visitor)
        test, transport = fields.get("test", ""), fields.get("transport", "udp")
        try:
            host = Host(255).read(Text(fields.get("host", "").strip(), NOWHERE))
            if not host:
                raise Refusal("Write a name or an address, such as pbx.example.com or 192.0.2.10:5060.")
        except Refusal as refusal:
            typed = {"host": fields.get("host", ""), "transport": transport, "test": test}
            return await _shown(pages, request, visitor, found, typed=typed, wrong={"host": refusal.message})
        if transport not in dict(_TRANSPORTS):
            transport = "udp"
        found = found.with_target(test, host, transport)
        found = msgspec.structs.replace(found, options_run="", refused="")
        return await _done(pages, visitor, await _ask(pages, visitor, found))

    @post("/start/accounts", status_code=303)
    async def accounts(request: WebRequest) -> Response[Any]:
        """Step 2. They are kept as SIP accounts of the project, and register once."""
        visitor = await pages.visitor(request)
        visitor.need(Right.CREDENTIALS)
        fields = await pages.form(request, visitor)
        found = await _kept(pages, visitor)
        source, scenario = await _source(pages, visitor, found)
        wrong = {
            f"user-{party}": "An account has a user, such as 4101."
            for party in scenario.parties
            if not fields.get(f"user-{party}", "").strip()
        }
        if not found.host or wrong:
            return await _shown(pages, request, visitor, found, typed=fields, wrong=wrong)
        made = []
        try:
            for party in scenario.parties:
                user = fields[f"user-{party}"].strip()
                made.append(
                    AccountForm(party, user, await _account(pages, visitor, source, found, party, fields))
                )
        except DomainError as error:
            return await _shown(
                pages, request, visitor, found, typed=fields, wrong={"accounts": error.message}
            )
        found = msgspec.structs.replace(found.with_accounts(made), refused="")
        return await _done(pages, visitor, await _register(pages, visitor, found))

    @post("/start/permission", status_code=303)
    async def permission(request: WebRequest) -> Response[Any]:
        """Step 3, by an administrator. Then what could not be asked before is asked."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        found = await _kept(pages, visitor)
        many = fields.get("concurrency", "").strip()
        if not fields.get("mine"):
            wrong = {"mine": "Tick the box if the PBX is yours, or its owner agreed."}
            return await _shown(pages, request, visitor, found, typed=fields, wrong=wrong)
        if not many.isascii() or not many.isdigit() or not 0 < int(many[:9]) < 100_000:
            wrong = {"concurrency": "Write a whole number above 0."}
            return await _shown(pages, request, visitor, found, typed=fields, wrong=wrong)
        await services.targets.add(
            visitor.identity,
            host=guide.host_of(found.host).strip("[]"),
            concurrency=int(many),
            note="Permitted on the way of the first hour.",
        )
        found = msgspec.structs.replace(found, refused="")
        found = await _register(pages, visitor, await _ask(pages, visitor, found))
        return await _done(pages, visitor, found)

    @post("/start/call", status_code=303)
    async def call(request: WebRequest) -> Response[Any]:
        """Step 4: an ordinary run of the test that was pointed at the PBX."""
        visitor = await pages.visitor(request)
        visitor.need(Right.RUN)
        await pages.form(request, visitor)
        found = msgspec.structs.replace(await _kept(pages, visitor), refused="", call_run="")
        if not found.accounts:
            return go("/start")
        source, _ = await _source(pages, visitor, found)
        document = (await services.tests.document(source)).document
        name = f"{source.name}_{guide.slug(found.host)}"[:190]
        try:
            aimed = guide.aimed(document, name, found.host, found.transport, found.accounts)
            made = await _put(pages, visitor, source.project_name, name, aimed)
            run = await services.runs.start(visitor.identity, made.name, project=made.project_name)
        except (DomainError, DocumentError, CannotAmend) as error:
            return await _done(pages, visitor, msgspec.structs.replace(found, refused=_says(error)))
        found = msgspec.structs.replace(
            found, made=f"{made.project_name}:{made.name}", call_run=run.session_id
        )
        return await _done(pages, visitor, found)

    @post("/start/again", status_code=303)
    async def again(request: WebRequest) -> Response[Any]:
        """Another PBX: what was kept of the way is forgotten; tests, accounts and runs stay."""
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await _keep(pages, visitor, Guide(began_at=pages.now))
        return go("/start")

    @get("/tests/{name:str}/ci")
    async def ci(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        test = await services.tests.get(visitor.identity, name)
        return await _ci(pages, request, visitor, test)

    @post("/tests/{name:str}/ci", status_code=200)
    async def ci_key(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
        """The snippets with a new key, which is on the page that answers and never again."""
        visitor = await pages.visitor(request)
        visitor.need(Right.RUN)
        await pages.form(request, visitor)
        test = await services.tests.get(visitor.identity, name)
        user = await services.accounts.user(visitor.identity.user_id)
        project = await services.projects.get(visitor.identity, test.project_name)
        key = await services.keys.create(
            f"ci, {test.name}"[:200], user, identity=visitor.identity, project=project
        )
        return await _ci(pages, request, visitor, test, key=key)

    return [show, target, accounts, permission, call, again, ci, ci_key]


# -- what is kept


async def _kept(pages: Pages, visitor: Visitor) -> Guide:
    return Guide.read(await pages.services.runs.kept(f"guide/{visitor.identity.user_id}"))


async def _keep(pages: Pages, visitor: Visitor, found: Guide) -> None:
    await pages.services.runs.keep(f"guide/{visitor.identity.user_id}", found.written())


async def _done(pages: Pages, visitor: Visitor, found: Guide) -> Response[Any]:
    await _keep(pages, visitor, found)
    return go("/start")


# -- what is asked of the PBX


async def _ask(pages: Pages, visitor: Visitor, found: Guide) -> Guide:
    document = guide.options_document(found.host, found.transport)
    session_id, refused = await _started(pages, visitor, found, document)
    return msgspec.structs.replace(found, options_run=session_id, refused=refused)


async def _register(pages: Pages, visitor: Visitor, found: Guide) -> Guide:
    if not found.accounts:
        return found
    document = guide.register_document(found.host, found.transport, found.accounts)
    session_id, refused = await _started(pages, visitor, found, document)
    return msgspec.structs.replace(found, register_run=session_id, refused=refused or found.refused)


async def _started(pages: Pages, visitor: Visitor, found: Guide, document: str) -> tuple[str, str]:
    """The run of a test that is kept for it, or why there is none."""
    try:
        source, _ = await _source(pages, visitor, found)
        name = (await editor.read_beside(document)).scenario
        assert name is not None
        test = await _put(pages, visitor, source.project_name, name.name, document)
        run = await pages.services.runs.start(visitor.identity, test.name, project=test.project_name)
    except (DomainError, DocumentError) as error:
        return "", _says(error)
    return run.session_id, ""


async def _put(pages: Pages, visitor: Visitor, project: str, name: str, document: str) -> Test:
    """The test of this name with this document: new, changed, or as it is."""
    tests, who = pages.services.tests, visitor.identity
    try:
        known = await tests.get(who, name, project=project)
    except NotFound:
        return await tests.create(who, document, project=project)
    if (await tests.document(known)).document == document:
        return known
    return await tests.update(who, f"{project}:{name}", document=document)


async def _account(
    pages: Pages, visitor: Visitor, source: Test, found: Guide, party: str, fields: Mapping[str, str]
) -> str:
    """Keeps one account; an empty password keeps the one that was typed before. Its name."""
    user = fields[f"user-{party}"].strip()
    name, password = guide.credential_name(user, found.host), fields.get(f"password-{party}", "")
    given = {"user": user} | ({"password": password} if password else {})
    before = guide.known(await pages.services.credentials.list(visitor.identity), name, source.project_id)
    replace = before is not None and before.project_id == source.project_id
    await pages.services.credentials.put(
        visitor.identity, name, given, replace=replace, project_id=source.project_id
    )
    return name


async def _source(pages: Pages, visitor: Visitor, found: Guide) -> tuple[Test, Scenario]:
    """The test that is pointed at the PBX. Raises NotFound, Invalid."""
    tests = await _candidates(pages, visitor)
    test = next((t for t in tests if found.test in (t.name, f"{t.project_name}:{t.name}")), None)
    test = test or next((t for t in tests if t.name == _FIRST), None) or next(iter(tests), None)
    if test is None:
        raise NotFound("test", found.test or _FIRST)
    document = (await pages.services.tests.document(test)).document
    scenario = (await editor.read_beside(document)).scenario
    if scenario is None:
        raise Invalid(f"The test {test.name} cannot be read.", "Fix it in the editor first.")
    return test, scenario


async def _candidates(pages: Pages, visitor: Visitor) -> list[Test]:
    """Tests that can be pointed somewhere: with parties, and no target yet."""
    found = await pages.services.tests.list(visitor.identity, limit=1_000)
    return [
        test
        for test in found
        if visitor.can_in(Right.EDIT, test.project_id)
        and any(view["address"].startswith("party.") for view in test.parameters)
        and not _aimed(test)
        and "first-hour" not in test.tags
    ]


def _aimed(test: Test) -> bool:
    return bool(target_of(test))


def target_of(test: Test) -> str:
    """The host that the document names as its target; empty: none."""
    return next((str(v["value"]) for v in test.parameters if v["address"] == "target" and v["value"]), "")


def _says(error: Exception) -> str:
    if isinstance(error, DomainError):
        return f"{error.message} {error.remedy}".strip()
    if isinstance(error, DocumentError):
        return error.problems[0].message
    return str(error)


# -- what is shown


async def _shown(
    pages: Pages,
    request: WebRequest,
    visitor: Visitor,
    found: Guide,
    *,
    typed: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response[bytes]:
    tests = await _candidates(pages, visitor)
    if not tests:
        raise Invalid(
            "There is no test that could be pointed at your PBX.", "Make one from the catalogue under Tests."
        )
    source, scenario = await _source(pages, visitor, found)
    options, register, call = [
        await _tried(pages, visitor, name) for name in (found.options_run, found.register_run, found.call_run)
    ]
    permission = await _permission(pages, found, options)
    steps = guide.path(
        found, permission=permission, options=options, register=register, call=call, now=pages.now
    )
    if call is not None and steps[3].state == guide.DONE and not found.passed_at:
        found = msgspec.structs.replace(found, passed_at=pages.now)
        await _keep(pages, visitor, found)
    tried = await _mini(pages, visitor, call) if call is not None and call.outcome is not None else None
    made = await _made(pages, visitor, found) if steps[3].state == guide.DONE else None
    kept = {f"user-{one.party}": one.user for one in found.accounts}
    context = {
        "steps": steps,
        "guide": found,
        "open": next((s.number for s in steps if s.state in (guide.NOW, guide.WRONG)), 0),
        "trying": any(s.state == guide.TRYING for s in steps),
        "sources": [(f"{t.project_name}:{t.name}", t.title or t.name) for t in tests],
        "source": f"{source.project_name}:{source.name}",
        "source_title": source.title or source.name,
        "source_says": source.description,
        "parties": [(name, _part(scenario, name)) for name in scenario.parties],
        "transports": _TRANSPORTS,
        "fields": kept
        | {"host": found.host, "transport": found.transport, "concurrency": "2", "test": ""}
        | dict(typed or {}),
        "wrong": wrong or {},
        "permission": permission,
        "host": guide.host_of(found.host),
        "admins": await _administrators(pages) if not visitor.can(Right.ADMINISTER) else [],
        "tried": tried,
        "made": made,
        "made_at": f"/tests/{made.project_name}:{made.name}" if made else "",
        "lasted": found.passed_at - found.began_at if found.passed_at else None,
    }
    if request.query_params.get("part") == "path":
        frame = await pages.frame(request, visitor, "Overview")
        return rendering.page("guide_path.html", {**frame, **context})
    status = 422 if wrong else 200
    return await pages.page(request, visitor, "guide.html", "Overview", status=status, **context)


def _part(scenario: Scenario, party: str) -> str:
    """What a party does, for people who have not read the document."""
    for action in scenario.actions():
        if action.party == party and isinstance(action, Call):
            return "the caller"
        if action.party == party and isinstance(action, Accept):
            return "the callee"
    return ""


async def _made(pages: Pages, visitor: Visitor, found: Guide) -> Test | None:
    try:
        return await pages.services.tests.get(visitor.identity, found.made)
    except (NotFound, Conflict):
        return None


async def _tried(pages: Pages, visitor: Visitor, session_id: str) -> Tried | None:
    if not session_id:
        return None
    runs = pages.services.runs
    try:
        run = await runs.get(visitor.identity, session_id)
    except NotFound:
        return None
    if not run.finished:
        return Tried(run.session_id, run.id, run.created_at, queued=run.agent_id is None)
    return Tried(run.session_id, run.id, run.created_at, await _outcome(pages, run))


async def _mini(pages: Pages, visitor: Visitor, call: Tried) -> dict[str, Any] | None:
    """The ladder of the call, cut to what its caller sent or waited for; None: it left no messages."""
    run = await pages.services.runs.get(visitor.identity, call.session_id)
    kept = await run_page.stored(pages, run, {})
    ladder = with_quality(kept.ladder, kept.outcome)
    rows = excerpt(ladder)
    if not rows:
        return None
    lanes = len(ladder.parties)
    return {
        "ladder": ladder,
        "rows": placed_rows(rows, lanes),
        "lanes": lane_positions(lanes),
        "shown": sum(isinstance(row, MessageRow) for row in rows),
        "messages": len(ladder.messages),
    }


async def _outcome(pages: Pages, run: Run) -> RunOutcome:
    """What the agent found; of a run that ended without a result, what its record says."""
    text = (await pages.services.runs.detail(run)).outcome
    try:
        return RunOutcome.from_json(msgspec.json.decode(text or ""))
    except (ValueError, msgspec.DecodeError):
        return RunOutcome(verdict=Verdict(run.phase), reason=run.result_description or "It left no result.")


async def _permission(pages: Pages, found: Guide, options: Tried | None) -> Permission | None:
    if not found.host:
        return None
    runs = pages.services.runs
    rows, embedded = await pages.services.targets.list(), runs.settings.embedded
    host = guide.host_of(found.host)
    decision = decide(Purpose.RUN, Destination(host.strip("[]")), rules(rows, embedded=embedded))
    if decision.allowed and decision.ground is Ground.TARGET:
        row = next(
            (
                row
                for row in rows
                if decision.target
                and row.host == decision.target.host
                and row.network == decision.target.network
            ),
            None,
        )
        cap = f", at most {row.concurrency} calls at once" if row and row.concurrency else ""
        said = f"{host} is permitted{cap}" + (f", by {row.created_by}." if row else ".")
        return Permission(False, said, row.created_by if row else "", row.created_at if row else None)
    if decision.allowed:
        return Permission(False, f"{decision.reason} That needs no permission of its own.")
    if decision.undecided and embedded:
        outcome = options.outcome if options is not None else None
        if outcome is None:
            return None
        refused = any(one.failure is Failure.POLICY for one in outcome.requests)
        if not refused and outcome.requests:
            return Permission(False, f"{host} is in your own network. That needs no permission of its own.")
    return Permission(True, decision.reason)


async def _administrators(pages: Pages) -> Sequence[str]:
    users = await pages.services.accounts.users()
    return [u.email or u.username for u in users if u.role == Role.ADMIN and u.deleted_at is None][:3]


async def _ci(
    pages: Pages, request: WebRequest, visitor: Visitor, test: Test, key: tuple[str, str] | None = None
) -> Response[bytes]:
    if key is not None and not visitor.can_in(Right.RUN, test.project_id):
        raise Forbidden("Your role in this project does not start runs.", "Ask an administrator.")
    plain = test.name if test.name.replace("_", "").replace("-", "").isalnum() else None
    return await pages.page(
        request,
        visitor,
        "ci.html",
        "Tests",
        test=test,
        address=f"/tests/{test.project_name}:{test.name}",
        command_name=plain or f'"{test.project_name}:{test.name}"',
        platform_url=pages.base_url(request),
        key=":".join(key) if key else "",
        may_make=visitor.can_in(Right.RUN, test.project_id),
    )
