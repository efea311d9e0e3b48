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
EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("fuzz") / "data"
    with serving(data, "--rate-limit", "0", "--no-agent", "--no-pbx") as served:
        yield served


def operations(served: Served) -> list[Any]:
    found = []
    for chapter in ("v2", "v3"):
        schema = schemathesis.openapi.from_dict(httpx.get(f"{served.url}/api/{chapter}/openapi.json").json())
        found += [cast(Any, result).ok() for result in schema.get_all_operations()]
    return [operation for operation in found if operation.path not in _LEFT_OUT]


@pytest.mark.timeout(400)
def test_whatever_is_asked_is_answered_as_the_document_says(fuzzed: Served) -> None:
    failures = []
    assert len(operations(fuzzed)) > 40
    session = requests.Session()
    for operation in operations(fuzzed):

        @settings(
            max_examples=EXAMPLES,
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
            case.validate_response(response, checks=CHECKS)

        try:
            ask()
        except Exception as error:
            failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)
