"""Call detail records on every database: each leg once, open calls until they are over, and every list."""

from __future__ import annotations

from typing import Any

import msgspec

from callwright.control.cdrs.model import CDRS, Cdr
from callwright.control.collections.model import Every, Query
from callwright.control.collections.reading import read_condition
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW


def a_record(live_id: str, **more: Any) -> Cdr:
    facts: dict[str, Any] = {"call_id": "x", "type": "O", "calldate": NOW, "clid": "", "src": "1", "dst": "2"}
    facts |= {"src_name": "", "dst_name": "", "duration": 3, "billsec": 2, "disposition": "ANSWERED"}
    facts |= {"destination": "2", "t_cause": 16, "info": ""}
    return Cdr(live_id=live_id, leg=0, **facts | more)


async def test_a_leg_is_kept_once_and_its_call_is_open_until_then(stores: Stores) -> None:
    await stores.cdrs.keep([], {"one": "{}", "two": "{}"}, [], NOW)
    await stores.cdrs.note_alive(NOW + 5)
    assert await stores.cdrs.open_calls() == [("{}", NOW + 5)] * 2
    for _ in range(2):
        legs = [a_record("one", user_id=7, labels=("a",)), a_record("one", type="I")]
        await stores.cdrs.keep([legs[0], msgspec.structs.replace(legs[1], leg=1)], {}, ["one"], NOW)
    assert await stores.cdrs.open_calls() == [("{}", NOW + 5)]
    found = await stores.cdrs.cdrs(Query())
    assert found.total == 2
    (own,) = (await stores.cdrs.cdrs(Query(), only=7)).rows
    assert (own["labels"], own["metadata"], own["user_id"]) == (["a"], {}, 7)
    number = int(str(own["id"]))
    assert await stores.cdrs.change_cdr(number, {"labels": ["b"], "metadata": {"n": 1}})
    (own,) = (await stores.cdrs.cdrs(Query(), only=7)).rows
    assert (own["labels"], own["metadata"]) == (["b"], {"n": 1})
    assert await stores.cdrs.delete_cdr(number)
    assert not await stores.cdrs.delete_cdr(number)


async def test_every_property_is_a_column_that_can_be_asked_for(stores: Stores) -> None:
    await stores.cdrs.keep([a_record("one")], {}, [], NOW)
    for name in CDRS.orderable:
        found = await stores.cdrs.cdrs(Query(group_by=name))
        assert (found.total, found.rows[0]["count"], found.rows[0]["duration"]) == (1, 1, 3), name
    for name in CDRS.filterable:
        where = read_condition(CDRS, f'[{{"property": "{name}", "operator": "ne", "value": 1}}]')
        await stores.cdrs.cdrs(Query(where))


async def test_records_are_counted_by_day_and_value(stores: Stores) -> None:
    day = NOW // 86_400 * 86_400
    made = ((0.0, "ANSWERED", 7), (86_399.9, "ANSWERED", 7), (86_400.0, "BUSY", 7), (86_401.0, "BUSY", 8))
    await stores.cdrs.keep(
        [
            a_record(str(n), calldate=day + at, disposition=word, user_id=user)
            for n, (at, word, user) in enumerate(made)
        ],
        {},
        [],
        NOW,
    )
    first = int(day // 86_400)
    days = await stores.cdrs.days(Every(), "disposition")
    assert days == [(first, "ANSWERED", 2), (first + 1, "BUSY", 2)]
    assert await stores.cdrs.days(Every(), "disposition", only=8) == [(first + 1, "BUSY", 1)]
    where = read_condition(CDRS, '[{"property": "disposition", "operator": "=", "value": "ANSWERED"}]')
    assert await stores.cdrs.days(where, "type") == [(first, "O", 2)]
