"""The parts of the API that need no server: bodies, limits, credentials, dates, links, the document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.control import errors
from callwright.control.api import fields as take
from callwright.control.api import problems
from callwright.control.api.auth import decode_basic
from callwright.control.api.body import MAX_DEPTH, json_object, refuse_bad_text
from callwright.control.api.documentation import Documentation
from callwright.control.api.limits import RateLimit
from callwright.control.api.links import PATH, Links
from callwright.control.api.problems import ApiProblem
from callwright.control.api.testing import translate, wishes
from callwright.control.app import api_routes
from tests.control.test_web_health import run


def outcome(act: Callable[[], Any]) -> Any:
    """What it gives, or the status of its refusal."""
    try:
        return act()
    except ApiProblem as problem:
        return problem.status


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_any_json_is_an_object_or_a_refusal(value: Any) -> None:
    found = outcome(lambda: json_object(json.dumps(value).encode()))
    assert found == value or found == 400


@given(st.binary())
def test_any_octets_are_an_object_or_a_refusal(octets: bytes) -> None:
    found = outcome(lambda: json_object(octets))
    assert isinstance(found, dict) or found == 400


def test_depth_is_bounded_at_its_limit() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    json_object(nested(MAX_DEPTH - 1))
    with pytest.raises(ApiProblem, match="nested"):
        json_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("value", ["\0", ["\0"], {"\0": 1}, {"a": [{"b": "\0"}]}, "\ud800"])
def test_text_that_nobody_can_store_is_found_wherever_it_is(value: object) -> None:
    with pytest.raises(ApiProblem):
        refuse_bad_text(value)


# -- limits


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    limit = RateLimit(rate=10, burst=5)
    assert [limit.wait("a", 100.0) for _ in range(5)] == [0.0] * 5
    assert limit.wait("a", 100.0) == pytest.approx(0.1)
    assert limit.wait("b", 100.0) == 0.0
    assert limit.wait("a", 100.11) == 0.0
    assert limit.wait("a", 100.11) > 0


def test_a_limit_of_zero_is_none() -> None:
    limit = RateLimit(rate=0, burst=0)
    assert {limit.wait("a", 1.0) for _ in range(1_000)} == {0.0}
    assert not limit.empty("a", 1.0)


def test_an_empty_bucket_is_told_without_taking_from_it() -> None:
    limit = RateLimit(rate=1, burst=2)
    assert not limit.empty("a", 1.0)
    limit.wait("a", 1.0)
    limit.wait("a", 1.0)
    assert limit.empty("a", 1.0)
    assert not limit.empty("a", 2.0)


# -- credentials


@pytest.mark.parametrize(
    ("header", "pair"),
    [
        ("Y3drX2E6Y3dzX2I=", ("cwk_a", "cws_b")),
        ("YTpiOmM=", ("a", "b:c")),
        ("w6k6w6A=", ("é", "à")),
        ("", None),
        ("YQ==", None),
        ("OmI=", None),
        ("/////w==", None),
        ("YQA6Yg==", None),
        ("!", None),
    ],
)
def test_basic_credentials_are_read_or_refused(header: str, pair: tuple[str, str] | None) -> None:
    assert decode_basic(header) == pair


# -- what requests mean


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, ()),
        ("", ()),
        ("a, b,,a", ("a", "b")),
        ('["a", "b c"]', ("a", "b c")),
        (["a", " b "], ("a", "b")),
    ],
)
def test_tags_come_in_several_spellings(value: object, tags: tuple[str, ...]) -> None:
    assert take.tags(value) == tags


@pytest.mark.parametrize("value", ["[1]", "[", 7, {"a": 1}, [1]])
def test_tags_that_are_none_name_their_field(value: object) -> None:
    with pytest.raises(ApiProblem) as refused:
        take.tags(value)
    assert refused.value.errors[0]["address"] == "test.tags"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-02-09 08:20:18", 1707466818.0),
        ("2024-02-09T08:20:18Z", 1707466818.0),
        ("2024-02-09T09:20:18+01:00", 1707466818.0),
        ("2024-02-09", 1707436800.0),
        ("1707466818", 1707466818.0),
        ("", None),
        (None, None),
    ],
)
def test_moments_are_read_as_people_write_them(text: str | None, seconds: float | None) -> None:
    assert take.moment(text, "since") == seconds


@pytest.mark.parametrize("text", ["yesterday", "-1", "nan", "1e99", "2024-13-01", "2024-02-09 25:00:00"])
def test_a_moment_that_is_none_names_its_field(text: str) -> None:
    with pytest.raises(ApiProblem) as refused:
        take.moment(text, "since")
    assert refused.value.errors[0]["address"] == "since"


@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=6))
def test_a_start_is_a_wish_or_a_refusal_that_names_a_field(fields: dict[str, Any]) -> None:
    wish = outcome(lambda: wishes.start({"test.name": "basic_call", **fields}))
    assert wish == 422 or wish.test or wish.project or wish.tags


def test_urls_have_the_shape_of_the_original() -> None:
    links = Links("https://calls.example.com")
    assert links.status("s") == "https://calls.example.com/api/v2/runs/s/status"
    assert links.report("s") == "https://calls.example.com/run/details/s"
    assert links.report("s", "t") == "https://calls.example.com/kiosk/t/s"


@pytest.mark.parametrize("most", [1, 100])
def test_a_row_of_a_list_says_what_its_run_says_now_and_is_written_once(most: int) -> None:
    rows, links = translate.RunRows(most), Links("https://calls.example.com")
    elsewhere = Links("http://127.0.0.1:8000")
    known = run(1, "running")
    ended = msgspec.structs.replace(known, phase="passed", verdict="passed", stopped_at=1.0)
    for record, where in (
        (known, links),
        (ended, links),
        (ended, elsewhere),
        (run(2, "failed"), links),
        (known, links),
    ):
        (told,) = rows.of([record], where)
        assert json.loads(bytes(told)) == json.loads(msgspec.json.encode(translate.run_row(record, where)))
    assert rows.of([known], links)[0] is rows.of([msgspec.structs.replace(known)], links)[0]
    both = rows.of([run(2, "failed"), known], links)
    assert [json.loads(bytes(row))["id"] for row in both] == [2, 1]


# -- refusals


@pytest.mark.parametrize("kind", [*errors.DomainError.__subclasses__(), *errors.Conflict.__subclasses__()])
def test_every_refusal_of_the_domain_has_a_status_or_is_no_answer(kind: type[errors.DomainError]) -> None:
    given: dict[Any, tuple[Any, ...]] = {
        errors.RefusedByPolicy: ("test", "x", "y"),
        errors.TooManyGuesses: (9,),
    }
    made = kind(*given.get(kind, ("A sentence.", "A remedy.")))
    problem = problems.of_domain(made)
    if kind in (errors.UnknownSchema, errors.Unmigrated):
        assert problem is None
    else:
        assert problem is not None
        assert 400 <= problem.status < 600
        body = msgspec.json.decode(problem.response().content)
        assert body.keys() == {"status", "message", "errors"}


# -- the document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Documentation(PATH, api_routes()).encoded())
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{m} {p}", op) for p, item in document["paths"].items() for m, op in item.items()]


def test_every_operation_has_a_chapter_a_summary_and_the_error_shape(document: dict[str, Any]) -> None:
    chapters = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert set(operation["tags"]) <= chapters, name
        assert operation["summary"], name
        for status in ("400", "401", "403", "404", "422", "429"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}, name


def test_a_body_is_taken_as_form_multipart_and_json(document: dict[str, Any]) -> None:
    with_body = [(name, op["requestBody"]) for name, op in operations(document) if "requestBody" in op]
    assert len(with_body) >= 15
    for name, body in with_body:
        assert {
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        } <= body["content"].keys(), name


def test_every_reference_leads_somewhere_and_no_name_is_a_module(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in schemas
        assert "." not in reference
