"""A public link over HTTP: good until it ends, then 410; revoked, 404. Each with a page for a person."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.kit.served import Served, serving

EMAIL, PASSWORD = "mara@example.com", "links-of-mara"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("links") / "data"
    with serving(folder, "--admin-email", EMAIL, "--admin-password", PASSWORD) as served:
        yield served


def shared(served: Served, days: float) -> tuple[str, str]:
    """(session id, link) of a run that has ended."""
    session_id = served.run("options_ping")
    served.finished(session_id)
    answer = served.api.post(f"runs/{session_id}/kiosk", json={"days": days})
    assert answer.status_code == 200, answer.text
    return session_id, answer.json()["data"]["kiosk_url"]


def test_an_ended_link_is_gone_with_its_files_and_says_a_way_out(served: Served) -> None:
    session_id, link = shared(served, 7)
    assert httpx.get(link).status_code == 200
    assert httpx.get(f"{link}/files/report.html").status_code == 200
    # The same link, with another end: some milliseconds from now.
    changed = served.api.post(f"runs/{session_id}/kiosk", json={"days": 1e-8}).json()["data"]
    assert changed["kiosk_url"] in (link, None)
    page = served.until(lambda answer: answer.status_code != 200, lambda: httpx.get(link))
    assert page.status_code == 410
    assert "This link has expired" in page.text
    assert 'href="/login"' in page.text
    assert session_id not in page.text
    for path in ("files/report.html", "files/run.json", "events"):
        assert httpx.get(f"{link}/{path}").status_code == 410, path


def test_a_revoked_link_is_as_one_that_never_was(served: Served) -> None:
    session_id, link = shared(served, 7)
    assert served.api.delete(f"runs/{session_id}/kiosk").status_code == 200
    page = httpx.get(link)
    assert page.status_code == 404
    assert "This link is no longer valid" in page.text
    assert 'href="/login"' in page.text
    never = httpx.get(link.replace(session_id, "00000000-0000-4000-8000-000000000000"))
    assert (never.status_code, never.text) == (404, page.text)
    assert httpx.get(f"{link}/files/report.html").status_code == 404


@pytest.mark.parametrize(
    "host", ["pbx.example.com:5060", "two words", "*", "sip:pbx.example.com", "-", "a..b"]
)
def test_a_target_that_is_no_host_is_refused_in_a_sentence(served: Served, host: str) -> None:
    before = served.get("targets")["data"]
    answer = served.api.post("targets", json={"host": host})
    assert answer.status_code == 422, answer.text
    assert "is not a host" in answer.text
    assert served.get("targets")["data"] == before


@pytest.mark.parametrize("name", ["new", "run"])
def test_a_word_of_our_addresses_is_no_name_of_a_test(served: Served, name: str) -> None:
    document = f"name: {name}\nsteps:\n  - - options: {{party: alice}}\n"
    answer = served.api.post("tests", json={"document": document})
    assert answer.status_code == 422, answer.text
    assert f"No test can be called '{name}'" in answer.text


def test_a_member_gets_a_page_with_a_way_out_for_a_run_that_is_not_there(served: Served) -> None:
    with httpx.Client(base_url=served.url) as pages:
        entered = pages.post("/login", data={"email": EMAIL, "password": PASSWORD}, follow_redirects=True)
        assert entered.status_code == 200
        page = pages.get("/run/details/nothing")
    assert page.status_code == 404
    assert "There is no run" in page.text
    assert 'href="/"' in page.text
    assert 'href="/login"' not in page.text
