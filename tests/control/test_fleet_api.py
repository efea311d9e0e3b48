"""The chapter of the fleet, as programs written for its original ask: strict types, strict statuses."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.keeping.servers import ServerKeeper
from callwright.control.services import Services, Settings
from callwright.fleet.server import Event, State
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from callwright.version import __version__

TEXTS = {
    "id",
    "provider",
    "state",
    "name",
    "image",
    "region",
    "size",
    "platform",
    "address",
    "secret",
    "error",
}
NUMBERS = {"capacity", "created", "updated", "started", "stopped"}
PEMS = {"ca_key", "ca_cert", "tls_key", "tls_cert"}


@pytest.fixture
async def key(services: Services, admin: Identity) -> str:
    return ":".join(await services.keys.create("ops", await services.accounts.user(admin.user_id)))


@pytest.fixture
async def api(services: Services, key: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(rate_limit=0, agent_expected=False)
    transport = httpx.ASGITransport(app=create_app(services, settings), client=("192.0.2.7", 1))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
        yield client


def strict(answer: httpx.Response) -> dict[str, Any]:
    """A server as a typed client decodes it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    return checked(answer.json())


def checked(body: dict[str, Any]) -> dict[str, Any]:
    assert body.keys() == TEXTS | NUMBERS | PEMS
    assert {name for name in TEXTS if type(body[name]) is not str} == set()
    assert {name for name in NUMBERS if type(body[name]) is not int} == set()
    for name in PEMS:
        if body[name] is not None:
            pem = base64.b64decode(body[name], validate=True)
            assert pem.startswith(b"-----BEGIN ")
    return body


async def errored(services: Services, name: str) -> None:
    seen = await services.servers.get(name)
    assert await services.servers.move(seen, Event.FAIL, error="out of stock") is not None


async def test_a_server_is_made_with_any_body_or_none(api: httpx.AsyncClient) -> None:
    for body in (b"", b"null", b"[]", b"{}", b"not json", b'{"unheard": "of"}'):
        made = strict(await api.post("/api/servers", content=body))
        assert (made["state"], made["provider"], made["stopped"]) == ("pending", "process", 0)
        prefix, _, word = made["name"].partition("-")
        assert (prefix, len(word), word.isalnum()) == ("agent", 8, True)
        assert made["secret"]
        later = strict(await api.get(f"/api/servers/{made['name']}"))
        assert later == made | {"secret": ""}
    listed = await api.get("/api/servers")
    assert [checked(one)["secret"] for one in listed.json()] == [""] * 6


async def test_the_numbers_are_written_as_integers(api: httpx.AsyncClient, clock: ManualClock) -> None:
    clock.advance(0.75)
    made = await api.post("/api/servers")
    for name in NUMBERS:
        assert f'"{name}":{made.json()[name]}' in made.text
        assert "." not in str(made.json()[name])


async def test_all_servers_are_listed_oldest_first_and_those_that_stopped_too(
    api: httpx.AsyncClient, services: Services, clock: ManualClock
) -> None:
    assert (await api.get("/api/servers")).json() == []
    names = []
    for _ in range(3):
        names.append((await api.post("/api/servers")).json()["name"])
        clock.advance(1)
    ended = strict(await api.delete(f"/api/servers/{names[1]}"))
    assert ended["state"] == "shutdown"
    for event in (Event.DRAINED, Event.GONE):
        assert await services.servers.move(await services.servers.get(names[1]), event) is not None
    listed = (await api.get("/api/servers")).json()
    assert [one["name"] for one in listed] == names
    assert checked(listed[1])["state"] == "stopped"
    assert listed[1]["stopped"] == int(clock.wall())


async def test_an_order_names_pool_region_and_size(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    await services.servers.set_pool(
        admin, "eu", {"maximum": 1, "capacity": 16, "region": "fra1", "sizes": "s,m"}, whole=True
    )
    wish = {"pool": "eu", "size": "m", "region": "ams3"}
    made = strict(await api.post("/api/servers", json=wish))
    assert (made["region"], made["size"], made["capacity"]) == ("ams3", "m", 16)
    refused = await api.post("/api/servers", json={"pool": "eu"})
    assert refused.status_code == 409
    assert refused.json().keys() == {"message"}
    assert "at most 1 servers" in refused.json()["message"]
    assert len((await api.get("/api/servers")).json()) == 1
    unknown = await api.post("/api/servers", json={"pool": "us"})
    assert (unknown.status_code, unknown.json().keys()) == (404, {"message"})


async def test_without_a_pool_the_maximum_does_not_count_and_the_bound_on_spending_does(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    await services.servers.set_pool(admin, "default", {"maximum": 0, "max_created_per_hour": 2}, whole=True)
    assert [(await api.post("/api/servers")).status_code for _ in range(3)] == [200, 200, 409]


async def test_ending_a_server_with_and_without_force(api: httpx.AsyncClient, services: Services) -> None:
    first, second, third = [(await api.post("/api/servers")).json()["name"] for _ in range(3)]
    assert strict(await api.delete(f"/api/servers/{first}"))["state"] == "shutdown"
    assert strict(await api.delete(f"/api/servers/{first}?force=true"))["state"] == "shutdown"
    for name in (second, third):
        await errored(services, name)
    assert strict(await api.get(f"/api/servers/{second}"))["error"] == "out of stock"
    assert strict(await api.delete(f"/api/servers/{second}?force=false"))["state"] == "shutdown"
    gone = await api.delete(f"/api/servers/{third}?force=true")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.get(f"/api/servers/{third}")).status_code == 404
    assert third not in [one["name"] for one in (await api.get("/api/servers")).json()]
    (kept,) = [one for one in await services.servers.all() if one.name == third]
    assert kept.state is State.STOPPING, "its machine is destroyed though nobody lists it"


async def test_what_is_not_there_is_404_with_a_message(api: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/api/servers/agent-00000000"),
        ("DELETE", "/api/servers/agent-00000000"),
        ("DELETE", "/api/servers/agent-00000000?force=true"),
        ("GET", "/api/servers/a/b"),
        ("GET", "/api/pause/now"),
    ):
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json().keys()) == (404, {"message"}), path
    wrong = await api.put("/api/servers")
    assert (wrong.status_code, wrong.json().keys()) == (405, {"message"})


async def test_the_bearer_is_any_credential_of_an_administrator(
    api: httpx.AsyncClient, services: Services, admin: Identity, key: str
) -> None:
    member = await services.accounts.create_user(
        admin, username="mo", password="mo's password", role="member"
    )
    weak = ":".join(await services.keys.create("ci", member))
    token, _ = await services.keys.create_token(admin, "fleet")
    public, _, secret = key.partition(":")
    for method, path in (
        ("GET", "/api/servers"),
        ("POST", "/api/servers"),
        ("GET", "/api/servers/agent-00000000"),
        ("DELETE", "/api/servers/agent-00000000"),
        ("POST", "/api/pause"),
        ("POST", "/api/resume"),
    ):
        for given, status in ((None, 401), ("Bearer wrong", 401), (f"Bearer {weak}", 403)):
            headers = {"Authorization": given} if given else {}
            request = httpx.Request(method, f"http://here{path}", headers=headers)
            answer = await api.send(request)
            assert (answer.status_code, answer.json().keys()) == (status, {"message"}), (path, given)
    for given in (f"Bearer {token}", f"Bearer {public}:{secret}"):
        assert (await api.get("/api/servers", headers={"Authorization": given})).status_code == 200
    assert (await api.get("/api/servers", auth=(public, secret))).status_code == 200


async def test_no_path_redirects_and_head_is_get_without_its_body(api: httpx.AsyncClient) -> None:
    name = (await api.post("/api/servers")).json()["name"]
    for path in ("/api/servers", f"/api/servers/{name}", "/varz", "/version", "/healthz"):
        whole, slashed, head = await api.get(path), await api.get(f"{path}/"), await api.head(path)
        assert whole.status_code == 200
        assert slashed.status_code in (200, 404)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
    for path in ("/api/pause/", "/api/resume/"):
        assert (await api.post(path)).status_code in (204, 404)


async def test_a_pause_outlives_a_restart(
    api: httpx.AsyncClient, services: Services, tmp_path: Path, clock: ManualClock
) -> None:
    async def paused(client: httpx.AsyncClient) -> bool:
        answer = await client.get("/varz", headers={"Authorization": ""})
        assert answer.json().keys() == {"paused"}
        return answer.json()["paused"] is True

    assert not await paused(api)
    answer = await api.post("/api/pause")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await paused(api)
    again = await Services.open(tmp_path / "data", clock=clock, entropy=seeded_entropy(2))
    try:
        transport = httpx.ASGITransport(app=create_app(again, Settings()), client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            assert await paused(client)
    finally:
        await again.close()
    assert (await api.post("/api/resume")).status_code == 204
    assert not await paused(api)


async def test_version_and_health_are_open(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    del api.headers["Authorization"]
    version = (await api.get("/version")).json()
    assert version.keys() == {"source", "version", "commit"}
    assert version["version"] == __version__
    assert all(type(one) is str for one in version.values())
    for accept in ("*/*", "text/plain", "text/html,*/*;q=0.8"):
        well = await api.get("/healthz", headers={"Accept": accept})
        assert (well.status_code, well.text) == (200, "OK")
        assert well.headers["content-type"].startswith("text/plain")
    assert (await api.get("/healthz", headers={"Accept": "application/json"})).json() == {"status": "ok"}
    await services.runs.kill(admin, "a test")
    ill = await api.get("/healthz")
    assert (ill.status_code, ill.text) == (503, "the kill switch is engaged")
    as_json = await api.get("/healthz", headers={"Accept": "application/json"})
    assert (as_json.status_code, as_json.json()["missing"]) == (503, ["the kill switch is engaged"])


@pytest.mark.peer
async def test_each_server_has_certificates_that_openssl_verifies(
    api: httpx.AsyncClient, services: Services, admin: Identity, clock: ManualClock, tmp_path: Path
) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    name = strict(await api.post("/api/servers"))["name"]
    embedded, _ = await services.agents.ensure_embedded("embedded", AgentInfo())
    await services.agents.heartbeat(embedded.id, AgentInfo())

    async def nothing(_: str) -> None: ...

    keeper = ServerKeeper(
        services.servers,
        services.agents,
        clock,
        expel=nothing,
        restore=nothing,
        certificates=services.certificates,
    )
    await keeper.once()
    await keeper.once()
    listed = [checked(one) for one in (await api.get("/api/servers")).json()]
    assert {one["name"] for one in listed} == {name, "embedded"}
    assert listed == [strict(await api.get(f"/api/servers/{one['name']}")) for one in listed]
    for server in listed:
        for pem in PEMS:
            (tmp_path / pem).write_bytes(base64.b64decode(server[pem]))
        for purpose in ("sslserver", "sslclient"):
            line = [program, "verify", "-x509_strict", "-attime", str(int(clock.wall())), "-purpose", purpose]
            line += ["-verify_hostname", server["name"], "-CAfile", "ca_cert", "tls_cert"]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
    await errored(services, name)
    await api.delete(f"/api/servers/{name}?force=true")
    await services.certificates.renew_due([one.name for one in await services.servers.listed()])
    assert set(await services.certificates.of_all(admin)) == {"embedded"}
    assert json.dumps(listed).count("BEGIN") == 0
