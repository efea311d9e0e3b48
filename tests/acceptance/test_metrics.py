"""The real platform, scraped as Prometheus does it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.served import Served, curl, environment, serving

TOKEN = "a-token-for-scrapers-0123456789"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, each of which must tell of both."""
    with serving(tmp_path_factory.mktemp("scraped") / "data", "--workers", "2") as platform:
        yield platform


def scrape(url: str, **more: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = httpx.get(f"{url}/metrics", headers=more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def scrape_now(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Of this moment, whichever worker answers: each gives its page out for a second before another."""
    time.sleep(1.1)
    return scrape(url)


def value(served: Served, name: str, **labels: str) -> float:
    return scrape(served.url)[f"callwright_{name}", frozenset(labels.items())]


def test_a_run_changes_the_counters(served: Served) -> None:
    passed = "callwright_runs_ended_total", frozenset({("verdict", "passed"), ("blame", "")})
    running = "callwright_runs", frozenset({("phase", "running")})

    def ended() -> float:
        return sum(n for (name, _), n in scrape(served.url).items() if name == "callwright_runs_ended_total")

    served.until(lambda n: n >= 1, ended, 60)  # the run of the first start
    before = served.until(lambda found: found[running] == 0, lambda: scrape_now(served.url))
    assert served.finished(served.run("options_ping"))["status"] == "passed"
    found = scrape_now(served.url)
    assert found[passed] == before[passed] + 1
    label = frozenset({("verdict", "passed")})
    assert found["callwright_run_seconds_count", label] == before[passed] + 1
    invites = [n for (name, _), n in found.items() if name == "callwright_run_first_invite_seconds_count"]
    assert sum(invites) == 1  # that of the first start was a call; OPTIONS is no INVITE
    assert found["callwright_up", frozenset()] == 1
    assert found["callwright_agents", frozenset({("state", "alive")})] == 1
    who = frozenset({("agent", "embedded"), ("pool", "default")})
    assert found["callwright_agent_capacity_calls", who] == 50


def test_each_worker_tells_of_the_requests_of_both(served: Served) -> None:
    def asked() -> float:
        labels = {"route": "/api/v2/testcases", "method": "GET", "status": "2xx"}
        return scrape(served.url).get(("callwright_http_requests_total", frozenset(labels.items())), 0.0)

    before = asked()
    for _ in range(20):  # a connection each, so that both workers get some
        assert httpx.get(f"{served.url}/api/v2/testcases", auth=served.auth).status_code == 200
    for _ in range(4):
        served.until(lambda n: n == before + 20, asked)


def test_what_came_through_a_proxy_needs_a_key(served: Served) -> None:
    status, answer = curl("-H", "X-Forwarded-For: 192.0.2.7", f"{served.url}/metrics")
    assert (status, answer["status"]) == (401, 401)
    with_key = httpx.get(f"{served.url}/metrics", auth=served.auth, headers={"X-Forwarded-For": "192.0.2.7"})
    assert with_key.status_code == 200
    assert served.secret not in with_key.text


def test_a_token_is_asked_of_everybody_once_there_is_one(tmp_path: Path) -> None:
    flags = ("--no-agent", "--no-pbx", "--no-demo")
    env = environment(CALLWRIGHT_METRICS_TOKEN=TOKEN)
    with serving(tmp_path / "data", *flags, env=env) as guarded:
        assert httpx.get(f"{guarded.url}/metrics").status_code == 401
        assert scrape(guarded.url, Authorization=f"Bearer {TOKEN}")["callwright_up", frozenset()] == 1


def test_it_is_not_in_the_document(served: Served) -> None:
    paths = httpx.get(f"{served.url}/api/v2/openapi.json").json()["paths"]
    assert "/metrics" not in paths
    assert "/api/v2/metrics" not in paths
