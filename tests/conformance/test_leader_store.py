"""Who leads, on every database: one at a time, by the database's clock."""

from __future__ import annotations

import asyncio

from callwright.control.storage.stores import Stores


async def test_a_lead_is_one_holder_s_until_it_ends_or_is_given_up(stores: Stores) -> None:
    leaders = stores.leaders
    assert await leaders.lead("keeper") is None
    first = await leaders.take_lead("keeper", "ann", 60.0)
    assert (first.holder, first.term) == ("ann", 1)
    assert 50.0 < first.left <= 60.5
    refused = await leaders.take_lead("keeper", "ben", 60.0)
    assert (refused.holder, refused.term) == ("ann", 1)
    assert (await leaders.take_lead("other", "ben", 60.0)).holder == "ben"
    renewed = await leaders.take_lead("keeper", "ann", 90.0)
    assert (renewed.holder, renewed.term) == ("ann", 1)
    assert renewed.left > 80.0
    await leaders.give_up_lead("keeper", "ben")  # who has none gives up nothing
    assert (await leaders.take_lead("keeper", "ben", 60.0)).holder == "ann"
    await leaders.give_up_lead("keeper", "ann")
    taken = await leaders.take_lead("keeper", "ben", 0.05)
    assert (taken.holder, taken.term) == ("ben", 2)
    await asyncio.sleep(0.1)
    over = await leaders.lead("keeper")
    assert over is not None
    assert over.left <= 0
    assert (await leaders.take_lead("keeper", "ann", 60.0)).term == 3


async def test_of_many_who_take_a_free_lead_at_once_one_has_it(stores: Stores) -> None:
    taken = await asyncio.gather(*(stores.leaders.take_lead("keeper", str(n), 60.0) for n in range(8)))
    assert len({(lead.holder, lead.term) for lead in taken}) == 1
