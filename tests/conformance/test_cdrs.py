"""Call detail records on every database: each leg once, open calls until they are over, and every list."""

from __future__ import annotations

from typing import Any

import msgspec

from callwright.control.accounts.model import Role, SecondFactor, User
from callwright.control.cdrs.model import CDRS, Cdr, CdrNote
from callwright.control.cdrs.rates import Rate
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


async def test_records_of_other_systems_are_added_once_and_read_on_by_their_ids(stores: Stores) -> None:
    many = [a_record(f"asterisk:{n}", user_id=n % 2) for n in range(5)]
    assert await stores.cdrs.add_cdrs(many) == 5
    assert await stores.cdrs.add_cdrs([*many, a_record("asterisk:5", user_id=1)]) == 1
    busy = read_condition(CDRS, '[{"property": "live_id", "operator": "ne", "value": "asterisk:1"}]')
    seen: list[object] = []
    after = 0
    while rows := await stores.cdrs.cdrs_after(busy, after, 2):
        seen += [row["live_id"] for row in rows]
        after = int(str(rows[-1]["id"]))
    assert seen == [f"asterisk:{n}" for n in (0, 2, 3, 4, 5)]
    assert [row["live_id"] for row in await stores.cdrs.cdrs_after(Every(), 0, 9, only=1)] == [
        f"asterisk:{n}" for n in (1, 3, 5)
    ]


async def test_notes_go_with_their_record_and_are_counted(stores: Stores) -> None:
    await stores.cdrs.add_cdrs([a_record("one"), a_record("two")])
    number = int(str((await stores.cdrs.cdrs(Query())).rows[0]["id"]))
    notes = [await stores.cdrs.add_cdr_note(CdrNote(0, number, text, "ana", NOW)) for text in "ab"]
    assert await stores.cdrs.cdr_notes(number) == notes
    assert not await stores.cdrs.delete_cdr_note(number + 1, notes[0].id)
    assert await stores.cdrs.delete_cdr_note(number, notes[0].id)
    first, second = (await stores.cdrs.cdrs(Query())).rows
    assert (first["nb_notes"], second["nb_notes"]) == (1, 0)
    assert await stores.cdrs.delete_cdr(number)
    assert await stores.cdrs.cdr_notes(number) == []


async def test_the_table_of_rates_is_replaced_whole(stores: Stores) -> None:
    assert (await stores.cdrs.rates(), await stores.cdrs.rates_loaded_at()) == ([], None)
    rates = [Rate("43", "Austria", 0.06, 0.0, 60, 60), Rate("43664", "", 0.12)]
    for loaded in (rates, rates[:1]):
        await stores.cdrs.replace_rates(loaded, NOW)
        assert (await stores.cdrs.rates(), await stores.cdrs.rates_loaded_at()) == (loaded, NOW)
    await stores.cdrs.replace_rates([], NOW)
    assert await stores.cdrs.rates_loaded_at() is None


async def test_a_second_factor_is_confirmed_once_and_each_of_its_codes_is_used_once(stores: Stores) -> None:
    accounts = stores.accounts
    row = User(0, "ana", "", "", Role.ADMIN, "Normal", "UTC", NOW, None, None)
    ana = (await accounts.add_user(row, "")).id
    for _ in range(2):  # the second is in place of the first
        await accounts.put_second_factor(SecondFactor(ana, "sealed", NOW))
    assert await accounts.users_with_second_factor() == []
    assert [await accounts.confirm_second_factor(ana, NOW) for _ in range(2)] == [True, False]
    assert await accounts.users_with_second_factor() == [ana]
    assert [await accounts.use_code(ana, step) for step in (7, 7, 6, 8)] == [True, False, False, True]
    assert [await accounts.note_wrong_code(ana, seen, NOW) for seen in (0, 0, 1)] == [True, False, True]
    await accounts.forget_wrong_codes(ana)
    found = await accounts.second_factor(ana)
    assert found == SecondFactor(ana, "sealed", NOW, NOW, 8, 0, None)
    await accounts.put_recovery_codes(ana, ["x", "y"])
    assert [await accounts.use_recovery_code(ana, code, NOW) for code in "xxz"] == [True, False, False]
    assert await accounts.recovery_codes_left(ana) == 1
    assert [await accounts.drop_second_factor(ana) for _ in range(2)] == [True, False]
    assert await accounts.recovery_codes_left(ana) == 0


async def test_the_oldest_records_are_dropped_first_with_their_notes(stores: Stores) -> None:
    await stores.cdrs.add_cdrs([a_record(str(age), calldate=NOW - age) for age in (10, 40, 30, 20)])
    rows = {str(row["live_id"]): int(str(row["id"])) for row in (await stores.cdrs.cdrs(Query())).rows}
    for name in rows:
        await stores.cdrs.add_cdr_note(CdrNote(0, rows[name], "x", "ana", NOW))
    for left in (["10", "30", "20"], ["10", "20"], ["10", "20"]):
        await stores.cdrs.drop_cdrs_before(NOW - 20, 1)
        assert [row["live_id"] for row in (await stores.cdrs.cdrs(Query())).rows] == left
    assert [bool(await stores.cdrs.cdr_notes(rows[name])) for name in ("10", "20", "30", "40")] == [
        *(True, True),
        *(False, False),
    ]
