"""Secrets of documents, for those who may look and not change."""

from __future__ import annotations

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.control.tests.masking import masked_document, masked_parameters
from callwright.scenario.document import load
from callwright.scenario.source import DocumentError

DOCUMENT = """# who calls
name: masked
parties:
  alice: {user: 4101, password: "pa55: word"}   # ours
  bob: 4102:b0bpassword
  carol:
    user: 4103
    password: >-
      c4rolpassword
  dora: {user: 1, password: "${DORA}"}
steps:
  - - call:
        party: alice
        to: sip:4104:ur1password@pbx.example.com
        headers:
          X-Api-Key: k3y-of-a-gateway
          Authorization: Bearer b34rer
          X-Order: 0012
          X-Token: ${TOKEN}
    - accept: {party: bob, headers: ['X-Secret: s3cret, with a comma', "X-Plain: yes"]}
  - options: {party: carol, headers: &same {Cookie: c00kie=1}}
  - options: {party: carol, headers: *same, expect: ["header X-Pwd of 200 = exp3cted, twice"]}
  - options:
      party: carol
      headers: {X_Auth_Token: underl1ne, X.Api.Token: p0ints, Authorization: r4wtoken, X-Session-Id: s3ssion}
conditions:
  - header X-Api-Key of INVITE = c0ndition
  - 'bob.header Authorization of INVITE ~ /Basic p4ttern/'
  - header X-Auth of INVITE in [l1st, "l1st two"]
  - header X-Order of INVITE = 0012-shown
"""
SECRETS = (
    *("pa55", "b0bpassword", "c4rolpassword", "ur1password", "k3y-of", "b34rer", "s3cret", "c00kie"),
    *("exp3cted", "underl1ne", "p0ints", "r4wtoken", "s3ssion", "c0ndition", "p4ttern", "l1st"),
)
KEPT = (
    "# who calls",
    "# ours",
    "0012",
    "X-Plain: yes",
    "${TOKEN}",
    "${DORA}",
    "user: 4103",
    "X-Api-Key",
    "alice",
    "header X-Api-Key of INVITE = (secret)",
    "bob.header Authorization of INVITE ~ (secret)",
    "  - header X-Order of INVITE = 0012-shown",
)


def test_passwords_and_secret_headers_of_a_document_are_masked_and_the_rest_is_as_written() -> None:
    masked = masked_document(DOCUMENT)
    assert [secret for secret in SECRETS if secret in masked] == []
    assert [word for word in KEPT if word not in masked] == []
    assert masked.count("\n") in (
        DOCUMENT.count("\n"),
        DOCUMENT.count("\n") - 1,
    )  # carol's takes one line less


def test_a_masked_document_still_reads() -> None:
    read = load(masked_document(DOCUMENT))
    assert read.parties["carol"].password == "(secret)"
    assert [action.address for action in read.actions()] == [a.address for a in load(DOCUMENT).actions()]
    assert [c.operator for c in read.conditions] == [c.operator for c in load(DOCUMENT).conditions]


def test_a_document_without_secrets_is_as_it_was() -> None:
    text = "name: plain\nsteps: [options: {to: pbx, headers: {X-A: b}}]\n"
    assert masked_document(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a: [\n  password: s3cret\n",
        "password: 's3cret\n",
        "\tpassword: s3cret",
        "a: [\n  headers:\n    X_Api_Key: s3cret\n",
        "a: [\n  headers: {X-A: b, X-Auth: s3cret}\n",
        "a: [\n  - 'header X-Pwd of INVITE = s3cret'\n",
    ],
)
def test_what_is_no_document_is_masked_line_by_line(text: str) -> None:
    with pytest.raises(DocumentError):
        load(text)
    assert "s3cret" not in masked_document(text)


def test_parameters_tell_of_a_secret_header_only_that_there_is_one() -> None:
    views = [view.to_json() for view in load(DOCUMENT).parameters()]
    masked = masked_parameters(views)
    assert [
        secret for secret in SECRETS if secret in str([v["value"] for v in masked if v["type"] == "headers"])
    ] == []
    assert "X-Order: 0012" in str(masked)
    assert len(masked) == len(views)


async def test_a_viewer_sees_no_secret_of_a_test_or_a_run_and_an_editor_does(
    services: Services, admin: Identity
) -> None:
    text = (
        DOCUMENT.replace(", credentials: ${DORA}", "").replace('"${DORA}"', "x").replace("${TOKEN}", "t0ken")
    )
    await services.tests.create(admin, text.replace("pbx.example.com", "127.0.0.1"))
    run = await services.runs.start(admin, "masked", {"step.1.0.headers": "X-Password: 0verride"})
    clients = {}
    for name, role in (("vera", Role.VIEWER), ("ed", Role.ADMIN)):
        user = await services.accounts.create_user(
            admin, username=name, email=f"{name}@example.com", password="long enough it is", role=role
        )
        if role == Role.VIEWER:
            (project,) = await services.projects.list(admin)
            await services.projects.put_member(admin, user, project, role)
        app = create_app(services, Settings(rate_limit=0))
        transport = httpx.ASGITransport(app=app)
        auth = await services.keys.create(name, user)
        clients[name] = httpx.AsyncClient(transport=transport, base_url="http://here", auth=auth)
        login = await services.accounts.login(f"{name}@example.com", "long enough it is")
        assert isinstance(login, tuple)
        clients[name].cookies.set("callwright_session", login[0])
    paths = (
        *("/api/v2/tests", "/api/v2/tests/masked", "/api/v2/tests/masked/document"),
        *(f"/api/v2/runs/{run.session_id}", "/api/v2/runs", "/api/v2/testcases"),
        *("/tests", "/tests/masked", "/tests/masked/versions?version=1", f"/run/details/{run.session_id}"),
    )
    for path in paths:
        shown = await clients["vera"].get(path)
        assert shown.status_code == 200, path
        assert [word for word in (*SECRETS, "t0ken", "0verride") if word in shown.text] == [], path
    for path in ("/api/v2/tests/masked", "/api/v2/tests/masked/document", "/tests/masked"):
        assert "k3y-of-a-gateway" in (await clients["ed"].get(path)).text
    for client in clients.values():
        await client.aclose()
