"""Tests: the list, the editor, versions, and starting a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Right
from callwright.control.errors import Conflict, DomainError, Invalid, NotFound
from callwright.control.runs.model import RunFilter
from callwright.control.tests.masking import masked_document
from callwright.control.tests.model import Test, TestDocument
from callwright.control.tests.reading import beside
from callwright.control.tests.service import RESERVED_NAMES
from callwright.control.web import aims, changes, editor, health, rendering, trend
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go
from callwright.scenario.amendment import CannotAmend, amend, amend_condition
from callwright.scenario.source import DocumentError, Problem

PAGE = 50
_RECENT = 2_000  # runs that are looked through for the strips of the list
BLANK = """\
# One action to begin with: is the server alive?
name: my_test
title: My test

parties:
  alice:

steps:
  - - options: {party: alice, count: 1}
"""


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    @get("/tests")
    async def tests(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        q, tag = request.query_params.get("q", "").strip()[:200], request.query_params.get("tag", "")[:200]
        after, after_id = (
            request.query_params.get("after", "")[:200],
            request.query_params.get("after_id", ""),
        )
        names = [one.name for one in await services.projects.list(visitor.identity)]
        project = request.query_params.get("project", "")
        project = project if project in names else ""
        found = await services.tests.list(
            visitor.identity,
            project=project or None,
            search=q or None,
            tag=tag or None,
            after=after or None,
            after_id=_digits(after_id),
            limit=PAGE + 1,
        )
        rows = found[:PAGE]
        tags = sorted(
            {t for test in await services.tests.list(visitor.identity, limit=500) for t in test.tags}
        )
        runs = await services.runs.list(visitor.identity, limit=_RECENT)
        by_id = {h.latest.test_id: h for h in health.by_test(runs)}
        filters = (("q", q), ("tag", tag), ("project", project))
        used = {name: value for name, value in filters if value}
        others = {name: value for name, value in used.items() if name != "project"}
        more = (
            urlencode({**used, "after": rows[-1].name, "after_id": rows[-1].id}) if len(found) > PAGE else ""
        )
        return await pages.page(
            request,
            visitor,
            "tests.html",
            "Tests",
            q=q,
            tag=tag,
            tags=tags[:12],
            project=project,
            may_run=lambda project_id: visitor.can_in(Right.RUN, project_id),
            in_no_project=visitor.identity.project_ids == (),
            projects=[
                (name, f"/tests?{urlencode({**others, 'project': name})}")
                for name in names
                if len(names) > 1 and name != project
            ],
            without_project=f"/tests?{urlencode(others)}",
            tests=[(test, by_id.get(test.id), _listed_at(test, rows)) for test in rows],
            newer=f"/tests?{urlencode(used)}" if after else None,
            older=f"/tests?{more}" if more else None,
        )

    @get("/tests/new")
    async def new(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        wanted = request.query_params.get("from", "")
        entry = next((e for e in services.tests.catalogue() if e.name == wanted), None)
        if entry is not None or wanted == "blank":
            text = await _free_name(pages, visitor, entry.document if entry else BLANK)
            return await _editor(pages, request, visitor, None, text, begun_from=wanted)
        return await pages.page(
            request, visitor, "test_new.html", "Tests", catalogue=services.tests.catalogue()
        )

    @post("/tests/new", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        fields = await pages.form(request, visitor)
        text, project = _document(fields), fields.get("project", "")
        begun = fields.get("from", "")[:200]
        try:
            test = await services.tests.create(visitor.identity, text, project=project or None)
        except DocumentError as error:
            return await _editor(
                pages,
                request,
                visitor,
                None,
                text,
                problems=error.problems,
                project=project,
                begun_from=begun,
            )
        except (Conflict, Invalid) as error:
            return await _editor(
                pages, request, visitor, None, text, refusal=error, project=project, begun_from=begun
            )
        return go(await pages_address(pages, visitor, test), "created")

    @get("/tests/{name:str}")
    async def edit(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        test = await services.tests.get(visitor.identity, name)
        text = _for(visitor, test, (await services.tests.document(test)).document)
        return await _editor(pages, request, visitor, test, text)

    @post("/tests/{name:str}", status_code=303)
    async def save(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        """A new version; where somebody else saved one meanwhile, both changes in one text to look over."""
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        fields = await pages.form(request, visitor)
        text = _document(fields)
        test = await services.tests.get(visitor.identity, name)
        if text == (await services.tests.document(test)).document:
            return go(address_of(name))
        answer, _ = await _keep(pages, request, visitor, name, text, fields)
        return answer if answer is not None else go(address_of(name), "saved")

    @post("/tests/{name:str}/merge", status_code=200)
    async def merge(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        """What was typed on top of an older version, with what was saved since then."""
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        fields = await pages.form(request, visitor)
        test = await services.tests.get(visitor.identity, name)
        return await _merged(pages, request, visitor, test, _document(fields), _version(fields), status=200)

    @post("/tests/{name:str}/run", status_code=303)
    async def run(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        """What is in the editor: changed values become overrides, ``save`` makes a version first. Without
        a document the test as it is kept."""
        visitor = await pages.visitor(request)
        visitor.need(Right.RUN)
        fields = await pages.form(request, visitor)
        test = await services.tests.get(visitor.identity, name)
        kept = _for(visitor, test, (await services.tests.document(test)).document)
        text = _document(fields) if "document" in fields else kept
        if text != kept and _version(fields) != test.version:
            return await _merged(pages, request, visitor, test, text, _version(fields))
        if fields.get("save") and text != kept:
            answer, test = await _keep(pages, request, visitor, name, text, fields)
            if answer is not None:
                return answer
            kept = text
        try:
            overrides = editor.overrides_between(kept, text) if text != kept else {}
            started = await services.runs.start(visitor.identity, name, overrides)
        except DocumentError as error:
            return await _editor(pages, request, visitor, test, text, problems=error.problems)
        except editor.BeyondParameters:
            refusal = Invalid(
                "Nothing was run: this changes more than parameter values, so it needs a new version.",
                "Save it first; what you typed is still here.",
            )
            return await _editor(pages, request, visitor, test, text, refusal=refusal, save_and_run=True)
        except DomainError as error:
            return await _editor(pages, request, visitor, test, text, refusal=error)
        return go(f"/run/details/{started.session_id}")

    @get("/tests/{name:str}/versions")
    async def versions(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        test = await services.tests.get(visitor.identity, name)
        all_versions = await services.tests.versions(test)
        version = _digits(request.query_params.get("version", ""))
        against = _digits(request.query_params.get("against", ""))
        shown = older = None
        if version is not None:
            shown = await _version_for(pages, visitor, test, version)
            against = against if against is not None else version - 1
            older = await _version_for(pages, visitor, test, against) if against > 0 else None
        lines = []
        if shown is not None and older is not None:
            old, new = older.document, shown.document
            lines = await beside(len(new), lambda: changes.difference(old, new))
        return await pages.page(
            request,
            visitor,
            "test_versions.html",
            "Tests",
            test=test,
            versions=all_versions,
            shown=shown,
            older=older,
            lines=lines,
            address=name,
            **visitor.rights_in(test.project_id),
        )

    @post("/tests/{name:str}/versions/{version:int}/restore", status_code=303)
    async def restore(request: WebRequest, name: FromPath[str], version: FromPath[int]) -> Response[Any]:
        """An old document as a new version; none is ever lost."""
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        fields = await pages.form(request, visitor)
        test = await services.tests.get(visitor.identity, name)
        old = await services.tests.document(test, version)
        await services.tests.update(
            visitor.identity, name, document=old.document, was_version=_version(fields)
        )
        return go(address_of(name), "restored")

    @post("/tests/{name:str}/delete", status_code=303)
    async def delete(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        await pages.form(request, visitor)
        await services.tests.delete(visitor.identity, name)
        return go("/tests", "deleted")

    @post("/editor/check", status_code=200)
    async def check(request: WebRequest) -> dict[str, Any]:
        """What is wrong with a document, and the form that is made from it."""
        visitor = await pages.visitor(request)
        text = _document(await pages.form(request, visitor))
        return await beside(len(text), lambda: _checked(editor.read(text)))

    @post("/editor/amend", status_code=200)
    async def amended(request: WebRequest) -> dict[str, Any]:
        """The document with one parameter changed, and what is to be said of it."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        text, address = _document(fields), fields.get("address", "")

        def done() -> dict[str, Any]:
            try:
                if address.startswith("conditions.") or ".expect." in address:
                    changed = amend_condition(
                        text, address, " ".join(fields.get("value", "").split()) or None
                    )
                else:
                    changed = amend(text, address, editor.typed_as(text, address, fields.get("value", "")))
            except CannotAmend as error:
                return {"document": text, "refused": str(error), **_checked(editor.read(text))}
            return {"document": changed, "refused": None, **_checked(editor.read(changed))}

        return await beside(len(text), done)

    @get("/editor/words")
    async def words(request: WebRequest) -> Response[dict[str, Any]]:
        """What may stand where in a document, for its completion."""
        visitor = await pages.visitor(request)
        accounts = await services.credentials.list(visitor.identity) if visitor.can(Right.EDIT) else []
        words = editor.vocabulary() | {"accounts": sorted({account.name for account in accounts})}
        return Response(words, headers={"Cache-Control": "no-store"})

    return [tests, new, create, edit, save, merge, run, versions, restore, delete, check, amended, words]


async def _keep(
    pages: Pages, request: WebRequest, visitor: Visitor, name: str, text: str, fields: dict[str, str]
) -> tuple[Response[bytes] | None, Test]:
    """Saves what was typed; the page that says why it was not, or None."""
    tests, who = pages.services.tests, visitor.identity
    test, was = await tests.get(who, name), _version(fields)
    if was != test.version:
        return await _merged(pages, request, visitor, test, text, was), test
    problems = (await editor.read_beside(text)).problems  # also the markers of a merge that nobody resolved
    if problems:
        return await _editor(pages, request, visitor, test, text, problems=problems), test
    try:
        return None, await tests.update(who, name, document=text, was_version=was)
    except DocumentError as error:
        return await _editor(pages, request, visitor, test, text, problems=error.problems), test
    except Conflict:
        newer = await tests.get(who, name)
        if newer.version == test.version:
            raise
        return await _merged(pages, request, visitor, newer, text, was), newer
    except Invalid as error:
        return await _editor(pages, request, visitor, test, text, refusal=error), test


async def _merged(
    pages: Pages, request: WebRequest, visitor: Visitor, test: Test, text: str, was: int, *, status: int = 409
) -> Response[bytes]:
    """The editor with both changes. It goes on from the newest version, so that saving loses neither."""
    theirs = await _version_for(pages, visitor, test, test.version)
    try:
        base = (await _version_for(pages, visitor, test, was)).document
    except NotFound:
        base = ""
    name = f"version {test.version}, {theirs.author}"
    both = await beside(len(text), lambda: changes.merge(base, text, theirs.document, their_name=name))
    meeting = {
        "author": theirs.author,
        "version": test.version,
        "was": was,
        "at": theirs.created_at,
        "collisions": both.collisions,
        "theirs": changes.difference(base, theirs.document),
        "yours": changes.difference(base, text),
    }
    return await _editor(pages, request, visitor, test, both.text, meeting=meeting, status=status)


def _version(fields: dict[str, str]) -> int:
    """That the editing began from; 0, which there never was, when the form does not say."""
    return _digits(fields.get("version", "")) or 0


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def address_of(name: str) -> str:
    """A name that means a page of ours (`new`) is found behind its project."""
    return f"/tests/{quote(name, safe='')}"


def _listed_at(test: Test, rows: list[Test]) -> str:
    twins = sum(row.name == test.name for row in rows) > 1
    plain = not twins and test.name not in RESERVED_NAMES
    return address_of(test.name if plain else f"{test.project_name}:{test.name}")


async def pages_address(pages: Pages, visitor: Visitor, test: Test) -> str:
    """With the project where the name alone is not enough."""
    try:
        if test.name not in RESERVED_NAMES:
            await pages.services.tests.get(visitor.identity, test.name)
            return address_of(test.name)
    except Conflict:
        pass
    return address_of(f"{test.project_name}:{test.name}")


def _for(visitor: Visitor, test: Test, text: str) -> str:
    """As somebody may see it who cannot change it: with its secrets masked."""
    return text if visitor.can_in(Right.EDIT, test.project_id) else masked_document(text)


async def _version_for(pages: Pages, visitor: Visitor, test: Test, version: int) -> TestDocument:
    """One version, as the visitor may see it. Raises NotFound."""
    found = await pages.services.tests.document(test, version)
    return msgspec.structs.replace(found, document=_for(visitor, test, found.document))


def _document(fields: dict[str, str]) -> str:
    """Browsers send line ends as CRLF."""
    return fields.get("document", "").replace("\r\n", "\n").replace("\r", "\n")


def _checked(reading: editor.Reading) -> dict[str, Any]:
    form = None
    if reading.scenario is not None:
        form = rendering.render("test_form.html", _form(reading))
    return {
        "problems": [problem.to_json() for problem in reading.problems],
        "form": form,
        "stands": editor.stands(reading.text) if form is None else {},
        "places": editor.places(reading.text),
    }


def _form(reading: editor.Reading, kept: editor.Reading | None = None) -> dict[str, Any]:
    """What the form is drawn from: the document, or while that cannot be read the kept version with what
    stands in the text now."""
    if reading.scenario is not None or kept is None or kept.scenario is None:
        source, groups = reading, reading.groups
    else:
        source, groups = kept, editor.with_problems(kept.groups, reading.problems, reading.text)
    return {
        "groups": groups,
        "conditions": editor.conditions(source.scenario),
        "whose": editor.whose(source.scenario),
        "metrics": editor.metrics(),
        "beside": editor.beside(source.scenario),
        "stale": source is not reading,
    }


async def _editor(
    pages: Pages,
    request: WebRequest,
    visitor: Visitor,
    test: Test | None,
    text: str,
    *,
    problems: tuple[Problem, ...] = (),
    refusal: DomainError | None = None,
    project: str = "",
    begun_from: str = "",
    meeting: dict[str, Any] | None = None,
    save_and_run: bool = False,
    status: int = 0,
) -> Response[bytes]:
    """``meeting``: of two changes, what the page says of them. ``save_and_run``: whether it offers that."""
    reading = await editor.read_beside(text)
    kept = _for(visitor, test, (await pages.services.tests.document(test)).document) if test else text
    services, who = pages.services, visitor.identity
    runs = await services.runs.list(who, RunFilter(test_id=test.id), limit=trend.LAST) if test else []
    versions = await services.tests.versions(test) if test else []
    projects = [p.name for p in await services.projects.list(who) if may(who, Right.EDIT, p.id)]
    rights = visitor.rights_in(test.project_id) if test else {}
    marks = health.marks_of(runs)
    return await pages.page(
        request,
        visitor,
        "test_edit.html",
        "Tests",
        status=status
        or (422 if problems or (refusal and not isinstance(refusal, Conflict)) else 409 if refusal else 200),
        test=test,
        text=text,
        kept=kept,
        begun_from=begun_from,
        meeting=meeting,
        save_and_run=save_and_run,
        **_form(reading, await editor.read_beside(kept)),
        problems=problems or reading.problems,
        problems_json=[problem.to_json() for problem in problems or reading.problems],
        refusal=refusal,
        runs=runs[:10],
        trends=trend.trends(runs),
        goes_to=await _goes_to(pages, test) if test else [],
        marks=marks,
        marks_say=health.strip_says(marks),
        latest=versions[0] if versions else None,
        places=editor.places(text),
        address=await pages_address(pages, visitor, test) if test else "/tests/new",
        projects=projects,
        project=project,
        **rights,
    )


async def _goes_to(pages: Pages, test: Test) -> list[tuple[str, int | None]]:
    """Its hosts, each with the id of the target that permits it."""
    runs = pages.services.runs
    rows, embedded = await pages.services.targets.list(), runs.settings.embedded
    found = [(host, aims.permitting(host, rows, embedded=embedded)) for host in aims.hosts(test)]
    return [(host, row.id if row else None) for host, row in found]


async def _free_name(pages: Pages, visitor: Visitor, text: str) -> str:
    """The document under a name that is not taken."""
    names = {test.name for test in await pages.services.tests.list(visitor.identity, limit=5_000)}
    reading = await editor.read_beside(text)
    own = reading.scenario.name if reading.scenario else "my_test"
    if own not in names:
        return text
    free = next(f"{own}_{n}" for n in range(2, 10_000) if f"{own}_{n}" not in names)
    return text.replace(f"name: {own}", f"name: {free}", 1)
