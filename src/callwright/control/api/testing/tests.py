"""Tests: list, read, write, run. And the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.params import FromPath, HeaderParameter

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Identity, Right
from callwright.control.agents.service import DEFAULT_POOL
from callwright.control.api import fields as take
from callwright.control.api.answers import Data, Deleted, utc
from callwright.control.api.auth import identity_of
from callwright.control.api.body import YAML, Fields, read_document, read_fields
from callwright.control.api.links import links_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.pages import Limit, Page, next_page
from callwright.control.api.problems import invalid, unknown_value
from callwright.control.api.request import MaybeId, MaybeWord, services_of
from callwright.control.api.testing import schemas, translate, wishes
from callwright.control.errors import NotFound
from callwright.control.runs.model import Run
from callwright.control.tests.masking import masked_document
from callwright.control.tests.model import Test
from callwright.control.tests.service import Tests

TAGS = ["tests"]
_Request = Request[Any, Any, Any]
_DOCUMENT_YAML = dict.fromkeys(YAML[:2], "The document, YAML.")
_DOCUMENT = text("The document of the test, YAML.", maxLength=262_144)
_DOCUMENT_EXAMPLE = {
    "document": "name: my_test\nsteps:\n  - - options: {party: alice}\n",
}


@get("/tests", opt={"right": Right.READ}, tags=TAGS, summary="List tests with their parameters")
async def list_tests(
    request: _Request,
    project: MaybeWord = None,
    search: MaybeWord = None,
    tag: MaybeWord = None,
    after: MaybeWord = None,
    after_id: MaybeId = None,
    limit: Limit = 1_000,
) -> Page[schemas.TestRow]:
    """By name. `after`: the name of the last row that is known, `after_id`: its id, where several projects
    have the name; `next` in the answer has the whole URL."""
    rows = await services_of(request).tests.list(
        identity_of(request),
        project=project,
        search=search,
        tag=tag,
        after=after,
        after_id=after_id,
        limit=limit,
    )
    return Page(
        data=[translate.test_row(row) for row in rows],
        next=next_page(request, after=rows[-1].name, after_id=rows[-1].id) if len(rows) == limit else None,
    )


@get("/tests/{name:str}", opt={"right": Right.READ}, tags=TAGS, summary="One test with its document")
async def get_test(request: _Request, name: FromPath[str]) -> Data[schemas.TestDetail]:
    return Data(data=await _detail(request, name))


@get(
    "/tests/{name:str}/document",
    opt={"right": Right.READ, "documents": ("application/yaml",)},
    tags=TAGS,
    summary="The document alone (export)",
    media_type="application/yaml",
)
async def export_test(request: _Request, name: FromPath[str], version: MaybeId = None) -> Response[str]:
    tests = services_of(request).tests
    identity = identity_of(request)
    test = await tests.get(identity, name)
    document = await tests.document(test, version)
    return Response(
        document.document
        if may(identity, Right.EDIT, test.project_id)
        else masked_document(document.document),
        media_type="application/yaml; charset=utf-8",
        headers={"X-Test-Version": str(document.version)},
    )


@get("/tests/{name:str}/versions", opt={"right": Right.READ}, tags=TAGS, summary="Versions, newest first")
async def list_versions(request: _Request, name: FromPath[str]) -> Data[list[schemas.Version]]:
    tests = services_of(request).tests
    versions = await tests.versions(await tests.get(identity_of(request), name))
    return Data(
        data=[
            schemas.Version(version=entry.version, author=entry.author, created_at=utc(entry.created_at))
            for entry in versions
        ]
    )


@post(
    "/tests",
    opt={
        "right": Right.EDIT,
        "body": body_of(
            {"document": _DOCUMENT, "project": text("Name of the project.")},
            required=("document",),
            texts=_DOCUMENT_YAML,
            example=_DOCUMENT_EXAMPLE,
        ),
    },
    tags=TAGS,
    summary="Make a test of a document",
    status_code=201,
)
async def create_test(request: _Request, project: MaybeWord = None) -> Data[schemas.TestDetail]:
    document, fields = await _document(request, ("document", "project"))
    wanted = take.text(fields, "project", optional=True) or project
    test = await services_of(request).tests.create(identity_of(request), document, project=wanted or None)
    return Data(data=translate.test_detail(test, document), status=201)


@put(
    "/tests",
    opt={
        "right": Right.EDIT,
        "body": body_of(
            {"document": _DOCUMENT, "project": text("Name of the project, for a new test.")},
            required=("document",),
            texts=_DOCUMENT_YAML,
            example=_DOCUMENT_EXAMPLE,
        ),
    },
    tags=TAGS,
    summary="Make a test, or a new version of it when its document has changed (import)",
)
async def import_test(request: _Request, project: MaybeWord = None) -> Data[schemas.TestDetail]:
    document, fields = await _document(request, ("document", "project"))
    wanted = take.text(fields, "project", optional=True) or project
    test = await _keep(services_of(request).tests, identity_of(request), document, wanted or None)
    return Data(data=translate.test_detail(test, document))


@patch(
    "/tests/{name:str}",
    opt={
        "right": Right.EDIT,
        "body": body_of(
            {
                "document": _DOCUMENT,
                "version": {"type": "integer", "description": "Refuse when this is not the newest version."},
            },
            required=("document",),
            texts=_DOCUMENT_YAML,
            example=_DOCUMENT_EXAMPLE,
        ),
    },
    tags=TAGS,
    summary="Change a test: a new version of its document",
)
async def change_test(request: _Request, name: FromPath[str]) -> Data[schemas.TestDetail]:
    document, fields = await _document(request, ("document", "version"))
    version = take.whole(fields, "version")
    test = await services_of(request).tests.update(
        identity_of(request), name, document=document, was_version=version
    )
    return Data(data=translate.test_detail(test, document))


@delete(
    "/tests/{name:str}",
    opt={"right": Right.EDIT},
    tags=TAGS,
    summary="Delete a test; its runs stay",
    status_code=200,
)
async def delete_test(request: _Request, name: FromPath[str]) -> Data[Deleted]:
    services = services_of(request)
    await services.tests.delete(identity_of(request), name)
    return Data(data=Deleted(deleted=name))


_OVERRIDE = {"description": "Any parameter by its address, such as `step.1.0.dial_destination`."}


@post(
    "/tests/run",
    opt={
        "right": Right.RUN,
        "body": body_of(
            {
                "test.name": text("The test to run."),
                "test.project": text("Run every test of this project instead."),
                "project.name": text("The same."),
                "test.tags": {
                    "description": "Tags of the run, beside those of the test: words with commas, or a list.",
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                },
                "report.mode": text("A report link that needs no login.", enum=["kiosk", "private"]),
                "report.days": wishes.DAYS,
                "agentpool.name": text("Run it in this pool; if absent, in the document's, else `default`."),
                **wishes.PLACEMENT,
            },
            more=_OVERRIDE,
            example={"test.name": "basic_call"},
        ),
    },
    tags=TAGS,
    summary="Run a test",
    status_code=200,
)
async def run_test(
    request: _Request,
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            description="A second request with the same key returns the run of the first.",
        ),
    ] = None,
) -> Data[schemas.StartedRuns]:
    """Every field that is none of those listed is an override: the address of a parameter and its value. With
    a `placement.count` the answer has `runs`, one for each server, as of a project."""
    services, identity, links = services_of(request), identity_of(request), links_of(request)
    wish = wishes.start(await read_fields(request))
    if idempotency_key is not None and not idempotency_key.isprintable():
        raise invalid("Idempotency-Key", "The key must be printable.")
    if wish.pool not in (None, DEFAULT_POOL):
        pools = [pool.name for pool in await services.agents.pools_seen(identity)]
        if wish.pool not in pools:
            message = f"There is no pool {(wish.pool or '')[:100]!r}: no agent would ever take the run."
            raise invalid("agentpool.name", message, value=wish.pool, permitted=pools)
    mode = "kiosk" if wish.kiosk else None
    more: dict[str, Any] = {
        "report_mode": mode,
        "kiosk_days": wish.kiosk_days,
        "idempotency_key": idempotency_key,
        "tags": wish.tags,
        "pool": wish.pool,
    }
    try:
        if wish.test is not None:
            runs: Sequence[Run] = await services.runs.start_each(
                identity, wish.test, wish.overrides, project=wish.project, **more
            )
        else:
            with_tags = more.pop("tags")
            more["placement"] = wish.placement
            runs = await services.runs.start_all(identity, wish.project, with_tags, **more)
    except NotFound as error:
        raise unknown_value(error, wish.address_of(error.what)) from None
    started = [translate.started(links, run, services.runs.kiosk_token(run)) for run in runs]
    first = started[0]
    return Data(
        data=schemas.StartedRuns(
            report_url=first.report_url,
            session_id=first.session_id,
            status_url=first.status_url,
            runs=msgspec.UNSET if wish.test is not None and len(started) == 1 else started,
        )
    )


@get("/testcases", opt={"right": Right.READ}, tags=TAGS, summary="The catalogue, with full examples")
async def list_testcases(request: _Request) -> Data[list[schemas.Testcase]]:
    return Data(data=[translate.testcase(entry) for entry in services_of(request).tests.catalogue()])


@get("/testcases/{name:str}", opt={"right": Right.READ}, tags=TAGS, summary="One test of the catalogue")
async def get_testcase(request: _Request, name: FromPath[str]) -> Data[schemas.Testcase]:
    for entry in services_of(request).tests.catalogue():
        if entry.name == name:
            return Data(data=translate.testcase(entry))
    raise NotFound("testcase", name)


async def _detail(request: _Request, name: str) -> schemas.TestDetail:
    tests = services_of(request).tests
    test: Test = await tests.get(identity_of(request), name)
    text = (await tests.document(test)).document
    may_change = may(identity_of(request), Right.EDIT, test.project_id)
    return translate.test_detail(test, text if may_change else masked_document(text))


async def _keep(tests: Tests, identity: Identity, document: str, project: str | None) -> Test:
    """The test of the name that the document gives itself: made, or changed where it is another text."""
    name = (await tests.read_beside(document)).name
    try:
        test = await tests.get(identity, name, project=project)
    except NotFound:
        return await tests.create(identity, document, project=project)
    if (await tests.document(test)).document == document:
        return test
    return await tests.update(identity, f"{test.project_name}:{name}", document=document)


async def _document(request: _Request, permitted: tuple[str, ...]) -> tuple[str, Fields]:
    """The document, which is the body itself or a field of it, and the fields."""
    found = await read_document(request, YAML)
    if isinstance(found, str):
        return found, {}
    take.only(found, permitted)
    document = found.get("document")
    if not isinstance(document, str) or not document.strip():
        raise invalid("document", "document is missing: the text of the test, YAML.")
    return document, found


ROUTES: list[Any] = [
    list_tests,
    create_test,
    import_test,
    get_test,
    export_test,
    list_versions,
    change_test,
    delete_test,
    run_test,
    list_testcases,
    get_testcase,
]
