"""The platform behind nginx and behind Caddy, by exactly what the guide on deployment prints."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.agents import agent_of, said
from tests.kit.proxy import KINDS, NAME, proxy
from tests.kit.served import Served, curl, free_port, serving
from tests.net.certificates import Authority

pytestmark = pytest.mark.peer


@dataclass
class Fronted:
    """The platform, the address that people type, and the agent that came in by it."""

    served: Served
    url: str
    authority: Authority
    agent: Path

    def client(self, *, address: str = "127.0.0.1", **more: Any) -> httpx.Client:
        """Through the proxy, from this address of this machine."""
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        transport = httpx.HTTPTransport(verify=context, local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30, **more)


@dataclass
class Hidden:
    """A platform that is told by which address people reach it; nothing listens there yet."""

    served: Served
    front: int
    websocket: int


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    folder = tmp_path_factory.mktemp("hidden") / "data"
    front, nats = free_port(), free_port()
    url = f"{NAME}:{front}"
    known = ("--public-url", f"https://{url}", "--proxies", "127.0.0.1")
    opened = ("--nats-listen", f"127.0.0.1:{nats}", "--nats-websocket-url", f"wss://{url}/nats")
    with serving(folder, *known, *opened, "--no-agent") as served:
        yield Hidden(served, front, nats + 1)


@pytest.fixture(scope="module", params=sorted(KINDS))
def fronted(
    request: pytest.FixtureRequest, hidden: Hidden, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fronted]:
    folder = tmp_path_factory.mktemp(f"behind-{request.param}")
    authority = Authority(folder)
    url = f"https://{NAME}:{hidden.front}"
    with proxy(
        request.param,
        folder / "proxy",
        port=hidden.front,
        platform=hidden.served.port,
        nats=hidden.websocket,
        authority=authority,
    ):
        made = hidden.served.api.post("agents/tokens", json={"pool": "default"}).json()["data"]
        enrol = ("--url", url, "--enrol", made["token"], "--ca", str(authority.ca), "--name", request.param)
        with agent_of(folder / "agent", *enrol, "--nats-transport", "websocket"):
            hidden.served.until(
                lambda seen: any(one["alive"] and one["name"] == request.param for one in seen),
                lambda: hidden.served.get("agents")["data"],
                60,
            )
            yield Fronted(hidden.served, url, authority, folder / "agent")


def test_an_agent_that_came_in_by_the_proxy_calls_and_its_run_is_heard_live(fronted: Fronted) -> None:
    """That nothing collects the events: the first of a call comes while the call is on."""
    served = fronted.served
    assert f"connected to {fronted.url.replace('https', 'wss')}/nats" in said(fronted.agent)
    with fronted.client(auth=served.auth) as client:
        order = {"test.name": "basic_call", "step.1.0.max_duration": "3 s"}
        started = client.post("/api/v2/tests/run", json=order)
        assert started.status_code == 200, started.text
        told = started.json()["data"]
        assert told["status_url"].startswith(f"{fronted.url}/")
        phases: list[str] = []
        heard: dict[str, str] = {}  # how the run was when the first event of a kind came
        with client.stream("GET", f"/api/v2/runs/{told['session_id']}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in stream.iter_lines():
                field, _, value = line.partition(": ")
                name = value if field == "event" else name
                if field == "data":
                    heard.setdefault(name, served.get(f"runs/{told['session_id']}/status")["run"]["phase"])
                    phases += [json.loads(value)["phase"]] if name == "run" else []
        assert set(heard) == {"run", "progress", "end"}
        assert heard["progress"] in ("queued", "starting", "running"), heard
        assert phases[-1] == "passed"
        audio = served.get(f"runs/{told['session_id']}/evidence")["data"]
        wav = next(file for file in audio if file["name"].endswith(".wav"))
        whole = client.get(wav["url"])
        part = client.get(wav["url"], headers={"Range": "bytes=4-11"})
        assert (part.status_code, part.content) == (206, whole.content[4:12])
        assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"
        assert client.get(wav["url"], headers={"Range": "bytes=999999999-"}).status_code == 416


def signed_in(fronted: Fronted, client: httpx.Client) -> str:
    """What the answer to the right password says of the cookie."""
    form = {"email": "admin@localhost", "password": fronted.served.password, "next": "/runs"}
    answer = client.post("/login", data=form, headers={"Origin": fronted.url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs"), answer.text
    return answer.headers["set-cookie"]


def test_pages_and_their_forms_work_and_a_live_page_is_told_at_once(fronted: Fronted) -> None:
    served = fronted.served
    with fronted.client() as client:
        assert client.get("/runs").status_code == 401
        cookie = signed_in(fronted, client).lower()
        assert {"secure", "httponly", "samesite=lax"} <= {part.strip() for part in cookie.split(";")}
        run = served.run("basic_call", **{"step.1.0.max_duration": "3 s"})
        page = client.get(f"/run/details/{run}")
        assert page.status_code == 200
        with client.stream("GET", f"/run/details/{run}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event: ")) == "event: part"
            assert not served.get(f"runs/{run}/status")["run"]["is_finished"]
            assert "event: end" in lines
        csrf = page.text.partition('name="_csrf" value="')[2].partition('"')[0]
        forged = client.post("/logout", data={"_csrf": csrf}, headers={"Origin": "https://evil.example"})
        assert forged.status_code == 403
        out = client.post("/logout", data={"_csrf": csrf}, headers={"Origin": fronted.url})
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert client.get("/runs").status_code == 401


def test_who_asks_is_told_by_the_proxy_and_believed_of_nobody_else(fronted: Fronted) -> None:
    """Ten wrong passwords of one address lock that address out, whatever it says, and no other."""

    def wrong(client: httpx.Client, number: int) -> int:
        form = {"email": "admin@localhost", "password": "wrong"}
        forwarded = {"X-Forwarded-For": f"203.0.113.{number}", "X-Real-IP": f"203.0.113.{number}"}
        return client.post("/login", data=form, headers=forwarded).status_code

    with fronted.client(address="127.0.0.2") as client:
        assert 429 in [wrong(client, number) for number in range(30)]
    with fronted.client(address="127.0.0.3") as client:
        signed_in(fronted, client)
    transport = httpx.HTTPTransport(local_address="127.0.0.4")  # past the proxy
    with httpx.Client(base_url=fronted.served.url, transport=transport, timeout=30) as client:
        assert 429 in [wrong(client, number) for number in range(30)]
    with fronted.client(address="127.0.0.3") as client:
        signed_in(fronted, client)


def test_metrics_need_a_key_also_for_who_is_on_the_proxys_machine(fronted: Fronted) -> None:
    with fronted.client() as client:
        assert client.get("/metrics").status_code == 401
        shown = client.get("/metrics", auth=fronted.served.auth)
        assert "callwright_up 1.0" in shown.text


def test_the_api_is_there_by_http_2_with_bodies_as_large_as_are_permitted(fronted: Fronted) -> None:
    served, ca = fronted.served, str(fronted.authority.ca)
    as_h2 = ("--http2", "--cacert", ca, "-u", ":".join(served.auth), "-o", "/dev/null", "-D", "-")
    _, head = curl(*as_h2, f"{fronted.url}/api/v2/tests?limit=1")
    assert head.startswith("HTTP/2 200")
    with fronted.client(auth=served.auth) as client:
        listed = client.get("/api/v2/tests", params={"limit": 1})
        assert str(listed.json()).count(fronted.url) >= 1
        document = f"name: large\ndescription: {'x' * 1_900_000}\nsteps: []\n"
        ours = client.put("/api/v2/tests", json={"document": document})
        assert ours.headers["content-type"] == "application/json", ours.text[:200]
        assert "errors" in ours.json()
        assert client.put("/api/v2/tests", content=b"x" * 3_000_000).status_code == 413
        assert client.get("/api/v2/docs").status_code == 200
        assert client.get("/api/v2/docs/", follow_redirects=False).status_code != 301
