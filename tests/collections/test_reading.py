"""Queries of URLs are read as they are meant, and what cannot be meant is refused by name."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.control.collections.model import (
    Compare,
    Every,
    Kind,
    Operator,
    Property,
    Query,
    Resource,
    Some,
    Sort,
)
from callwright.control.collections.patterns import fold, matcher, normal
from callwright.control.collections.reading import SPELLINGS, read_condition, read_ids, read_query
from callwright.control.errors import Invalid

USERS = Resource("users", (Property("id", Kind.INTEGER), Property("first_name", Kind.TEXT)))
CDRS = Resource(
    "cdrs",
    (
        Property("id", Kind.INTEGER),
        Property("calldate", Kind.DATE),
        Property("dst_id", Kind.TEXT),
        Property("duration", Kind.INTEGER, summed=True),
        Property("mos", Kind.NUMBER, nullable=True),
        Property("labels", Kind.LABELS),
        Property("metadata", Kind.OBJECT),
        Property("secret", Kind.TEXT, hidden=True),
    ),
    {"users": USERS},
)


def read(query: str) -> Query:
    return read_query(CDRS, parse_qsl(query, keep_blank_values=True))


def errors_of(query: str) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        read(query)
    return [(entry["field"], entry["message"]) for entry in refused.value.errors]


def one(property_: str, operator: str, value: object) -> str:
    return msgspec.json.encode([{"property": property_, "operator": operator, "value": value}]).decode()


def compare(property_: str, operator: str, value: object) -> Compare:
    condition = read_condition(CDRS, one(property_, operator, value))
    assert isinstance(condition, Every)
    (found,) = condition.of
    assert isinstance(found, Compare)
    return found


def test_nothing_asked_is_the_first_25_by_id() -> None:
    assert read("") == Query(Every(), Sort("id"), 1, 25)
    assert read("filter=[]") == read("")
    assert read("filter=") == read("page=&limit=")


def test_a_limit_over_5000_is_5000() -> None:
    assert read("page=3&limit=10000") == Query(Every(), Sort("id"), 3, 5_000)
    assert read("page=3&limit=10000").offset == 10_000


def test_the_filter_of_the_document_is_read() -> None:
    text = """[
       {"property":"calldate","operator":"gt","value":"2018-09-01 00:00:00"},
       {"property":"dst_id","operator":"eq","value":123456}
    ]"""
    assert read(f"filter={quote(text)}").where == Every(
        (
            Compare("calldate", Operator.GT, 1_535_760_000.0),
            Compare("dst_id", Operator.EQ, "123456"),
        )
    )


@pytest.mark.parametrize(("spelling", "operator"), [*SPELLINGS.items()])
def test_each_operator_has_each_of_its_spellings(spelling: str, operator: Operator) -> None:
    value = ["a", "b"] if operator is Operator.IN else "a"
    assert compare("dst_id", spelling, value).operator is operator
    assert compare("dst_id", spelling.upper(), value).operator is operator


def test_conditions_nest() -> None:
    text = '[{"or": [{"property":"id","operator":"=","value":1}, {"and": [{"or": []}]}]}]'
    assert read_condition(CDRS, text) == Every((Some((Compare("id", Operator.EQ, 1), Every((Some(()),)))),))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("calldate", "2018-09-01", 1_535_760_000.0),
        ("calldate", "2018-09-01 00:00", 1_535_760_000.0),
        ("calldate", "2018-09-01T02:00:00+02:00", 1_535_760_000.0),
        ("calldate", "2018-09-01T00:00:00.9Z", 1_535_760_000.0),
        ("calldate", 1_535_760_000, 1_535_760_000.0),
        ("duration", "12", 12),
        ("duration", 12.0, 12),
        ("mos", 4, 4.0),
        ("mos", "4.1", 4.1),
        ("mos", None, None),
        ("dst_id", 100_001, "100001"),
    ],
)
def test_values_are_taken_in_every_form_that_has_one_meaning(name: str, value: object, kept: object) -> None:
    found = compare(name, "eq", value).value
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calldate", "yesterday"),
        ("calldate", "2018-02-30"),
        ("calldate", True),
        ("calldate", -1),
        ("duration", "1.5"),
        ("duration", True),
        ("duration", 2**63),
        ("duration", "٣"),
        ("duration", [1]),
        ("mos", "good"),
        ("mos", "1e999"),
        ("dst_id", 1.5),
        ("dst_id", {"a": 1}),
        ("dst_id", "a\0b"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_name_of_its_property(name: str, value: object) -> None:
    ((field, message),) = errors_of("filter=" + quote(one(name, "eq", value)))
    assert field == name
    assert message.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("query", "field", "part"),
    [
        ("page=0", "page", "from 1"),
        ("page=x", "page", "not 'x'"),
        ("page=99999999999", "page", "at most"),
        ("limit=-1", "limit", "from 1"),
        ("limit=²", "limit", "from 1"),
        ("sort=colour", "sort", "'colour' is not a property of cdrs"),
        ("sort=labels", "sort", "not a property that can be sorted by"),
        ("dir=up", "dir", "ASC or DESC"),
        ("page=1&page=2", "page", "twice"),
        ("fitler=[]", "fitler", "not a parameter here"),
        ("group_by=metadata", "group_by", "can be grouped"),
        ("group_by=dst_id&sort=mos", "sort", "count, duration"),
        ("include=queues", "include", "Permitted: users"),
        ("fields[users]=id", "fields[users]", "not included"),
        ("include=users&fields[users]=id,shoe", "fields[users]", "'shoe'"),
        ("fields=shoe", "fields[cdrs]", "'shoe'"),
        ("filter={", "filter", "not JSON"),
        ("filter=7", "filter", "list of conditions"),
        ("filter=[7]", "filter[0]", "is an object"),
        ('filter=[{"or":7}]', "filter[0]", "takes a list"),
        ('filter=[{"property":"id","operator":"="}]', "filter[0]", "no 'value'"),
        ('filter=[{"property":"id","operator":"=","value":1,"not":1}]', "filter[0]", "no 'not'"),
        ("filter=" + one("colour", "eq", "x"), "colour", "no property 'colour'"),
        ("filter=" + one("secret", "eq", "x"), "secret", "cannot be filtered by 'secret'"),
        ("filter=" + one("id", "~", 1), "id", "'~' is not an operator"),
        ("filter=" + one("mos", "like", "4"), "mos", "cannot be compared by 'like'"),
        ("filter=" + one("labels", "gt", "a"), "labels", "cannot be compared by 'gt'"),
        ("filter=" + one("id", "in", 1), "id", "takes a list"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(query: str, field: str, part: str) -> None:
    ((found, message),) = errors_of(quote(query, safe="=&²"))
    assert found == field
    assert part in message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = errors_of("page=0&sort=x&filter=" + quote(one("colour", "eq", 1)))
    assert [field for field, _ in wrong] == ["page", "sort", "colour"]


def test_a_filter_is_bounded() -> None:
    many = [{"property": "id", "operator": "=", "value": 1}] * 300
    deep: object = []
    for _ in range(20):
        deep = [{"or": deep}]
    for filter_ in (many, deep):
        ((field, message),) = errors_of("filter=" + quote(msgspec.json.encode(filter_).decode()))
        assert field.startswith("filter")
        assert "more than 200" in message or "deeper than 8" in message


def test_fields_are_named_with_brackets_percent_encoded_or_not() -> None:
    plain = read("include=users&fields[users]=id,first_name")
    assert plain == read("include=users&fields%5Busers%5D=id%2Cfirst_name")
    assert plain.include == ("users",)
    assert plain.fields == {"users": ("id", "first_name")}
    assert read("fields=id,duration").fields == {"cdrs": ("id", "duration")}


def test_groups_are_sorted_by_their_value_their_count_or_a_sum() -> None:
    assert read("group_by=dst_id").sort == Sort("dst_id")
    assert read("group_by=dst_id&sort=duration&dir=desc").sort == Sort("duration", True)
    assert read("group_by=dst_id&sort=count").sort == Sort("count")


def test_ids_come_with_commas() -> None:
    assert read_ids("98,160,98") == (98, 160)
    for wrong in ("", "98,", "a", "-1", "9" * 30, ",".join("1" * 1_500)):
        with pytest.raises(Invalid):
            read_ids(wrong)


@given(st.text(max_size=200))
def test_any_text_as_a_filter_is_read_or_refused(text: str) -> None:
    refused: list[dict[str, object]] = []
    try:
        read_query(CDRS, [("filter", text), ("fields", text), ("sort", text), ("page", text)])
    except Invalid as error:
        refused = error.errors or [{}]
    assert all(entry.get("message") and "field" in entry for entry in refused)


@given(st.text("aAß%_\\", max_size=6), st.text("aAß%_\\", max_size=6))
def test_a_pattern_without_wildcards_finds_its_text_anywhere(pattern: str, around: str) -> None:
    literal = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    found = matcher(normal(literal)).fullmatch(fold(around + pattern + around))
    assert found is not None
    assert normal(normal(literal)) == normal(literal)
