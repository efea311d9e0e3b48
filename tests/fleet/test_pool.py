"""Pools: values that they may not have are refused by the name of the field."""

from __future__ import annotations

import pytest

from callwright.fleet.pool import Pool, PoolError


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": "Berlin West"}),
        ("name", {"name": "-x"}),
        ("name", {"name": "x\n"}),
        ("minimum", {"minimum": 3, "maximum": 2}),
        ("minimum", {"minimum": -1}),
        ("capacity", {"capacity": 0}),
        ("buffer", {"buffer": -5}),
        ("idle_seconds", {"idle_seconds": float("nan")}),
        ("drain_seconds", {"drain_seconds": -1.0}),
        ("max_created_per_hour", {"max_created_per_hour": -1}),
        ("sizes", {"sizes": ()}),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, values: dict[str, object]) -> None:
    with pytest.raises(PoolError) as refused:
        Pool(**{"name": "p", **values})  # type: ignore[arg-type]
    assert refused.value.field == field


def test_the_defaults_make_a_pool() -> None:
    assert Pool("berlin-1").provider == "process"
