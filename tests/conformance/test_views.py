"""Saved lists on every database: each user's own, one of each name."""

from __future__ import annotations

from callwright.control.accounts.model import Role, User
from callwright.control.storage.stores import Stores
from callwright.control.views.model import View


async def test_a_view_is_its_users_own_and_replaced_by_one_of_the_same_name(stores: Stores) -> None:
    rows = [User(0, name, name, "", Role.VIEWER, "Normal", "UTC", 0.0, None, None) for name in ("ann", "ben")]
    ann, ben = [(await stores.accounts.add_user(row, "")).id for row in rows]
    for user, name, query in ((ann, "Mine", "a=1"), (ann, "Late", "b=2"), (ben, "Mine", "c=3")):
        await stores.views.put_view(View(0, user, "calls", name, query))
    await stores.views.put_view(View(0, ann, "calls", "Mine", "d=4"))
    first, second = await stores.views.views(ann, "calls")
    assert [(first.name, first.query), (second.name, second.query)] == [("Mine", "d=4"), ("Late", "b=2")]
    assert await stores.views.views(ann, "runs") == []
    assert not await stores.views.drop_view(ben, first.id)
    assert await stores.views.drop_view(ann, first.id)
    assert [one.name for one in await stores.views.views(ann, "calls")] == ["Late"]
    assert [one.query for one in await stores.views.views(ben, "calls")] == ["c=3"]
