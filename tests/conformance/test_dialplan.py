"""The dial plan, on every database."""

from __future__ import annotations

import msgspec
import pytest

from callwright.control.dialplan.model import Item
from callwright.control.errors import Conflict
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW


async def test_two_things_never_have_one_number(stores: Stores) -> None:
    queue = Item(0, "queues", "ext:600", {"name": "Łoś", "users": [1, 2]}, None, NOW, NOW)
    first = await stores.dialplan.add_item(queue)
    assert first == msgspec.structs.replace(queue, id=first.id)
    with pytest.raises(Conflict):
        await stores.dialplan.add_item(msgspec.structs.replace(queue, kind="ivrs"))
    second = await stores.dialplan.add_item(msgspec.structs.replace(queue, kind="ivrs", key="ext:601"))
    with pytest.raises(Conflict):
        await stores.dialplan.replace_item(msgspec.structs.replace(second, key="ext:600"))
    after = msgspec.structs.replace(first, key="ext:602", settings={}, sealed="x", updated_at=NOW + 1)
    await stores.dialplan.replace_item(after)
    assert await stores.dialplan.item(first.id) == after
    assert await stores.dialplan.items() == [after, second]
    assert await stores.dialplan.items("ivrs") == [second]
    assert [await stores.dialplan.has_extension(ext) for ext in ("600", "601", "602")] == [False, True, True]
    assert await stores.dialplan.remove_item(first.id)
    assert not await stores.dialplan.remove_item(first.id)
    assert await stores.dialplan.item(first.id) is None
