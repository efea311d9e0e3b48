"""Every OpenAPI document, asked for at random within bounds: never a 5xx, never what it does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.kit.served import Served, serving

#: They would end the session: the key in use, everything that runs, a stream that stays open.
_LEFT_OUT = ("/api/v2/keys/{key}", "/api/v2/kill", "/api/v2/runs/{run_id}/events")
_TELEPHONY = "/v1.2/voipstudio"
#: They end a session, take wrong passwords until the address must wait, or stay open; users would go.
_NOT_TELEPHONY = ("/logout", "/login", "/login2fa", "/events", "/users/{which}")
EXAMPLES, FEWER = 12, 3
CHECKS = [
    not_a_server_error,  # first, since a PBX that is away is left out of it
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("fuzz") / "data"
    with serving(data, "--rate-limit", "0", "--no-agent", "--no-pbx") as served:
        yield served


def of_chapter(served: Served, path: str) -> list[Any]:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{served.url}{path}/openapi.json").json())
    return [cast(Any, result).ok() for result in schema.get_all_operations()]


def operations(served: Served) -> list[Any]:
    found = [*of_chapter(served, "/api/v2"), *of_chapter(served, "/api/v3")]
    return [operation for operation in found if operation.path not in _LEFT_OUT]


def of_telephony(served: Served) -> list[Any]:
    left_out = {f"{_TELEPHONY}{path}" for path in _NOT_TELEPHONY}
    return [one for one in of_chapter(served, _TELEPHONY) if one.path not in left_out]


@pytest.mark.timeout(400)
def test_whatever_is_asked_is_answered_as_the_document_says(fuzzed: Served) -> None:
    assert len(operations(fuzzed)) > 40
    ask_all(fuzzed, operations(fuzzed), EXAMPLES)


@pytest.mark.timeout(400)
def test_telephony_answers_as_its_document_says(fuzzed: Served) -> None:
    """Without a PBX, which is 503 where it would be asked."""
    assert len(of_telephony(fuzzed)) > 80
    ask_all(fuzzed, of_telephony(fuzzed), FEWER)


def ask_all(fuzzed: Served, asked: list[Any], examples: int) -> None:
    failures = []
    session = requests.Session()
    for operation in asked:

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            response = case.call(
                base_url=fuzzed.url, session=session, auth=fuzzed.auth, timeout=20, allow_redirects=False
            )
            assert not 300 <= response.status_code < 400
            away = response.status_code == 503 and "PBX" in response.text
            case.validate_response(response, checks=CHECKS[1:] if away else CHECKS)

        try:
            ask()
        except Exception as error:
            failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)
