"""Status pages, on every database."""

from __future__ import annotations

import msgspec

from callwright.control.status_pages.model import StatusPage
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW


async def a_page(stores: Stores, project: str = "p") -> StatusPage:
    owner = await stores.projects.project(project) or await stores.projects.add_project(project, "", NOW)
    row = StatusPage(
        id=0,
        project_id=owner.id,
        name="Trunks",
        endpoint_ids=(3, 1),
        addresses=True,
        serial=1,
        created_by="ana",
        created_at=NOW,
        deleted_at=None,
    )
    return await stores.status_pages.add_page(row)


async def test_a_status_page_is_kept_as_it_is_and_seen_in_its_project_alone(stores: Stores) -> None:
    one, other = await a_page(stores), await a_page(stores, "q")
    assert await stores.status_pages.page(one.id) == one
    assert await stores.status_pages.pages(None) == [one, other]
    assert await stores.status_pages.pages([other.project_id]) == [other]
    changed = msgspec.structs.replace(one, serial=2, addresses=False, endpoint_ids=())
    assert (
        await stores.status_pages.replace_page(changed) == changed == await stores.status_pages.page(one.id)
    )
    gone = msgspec.structs.replace(changed, deleted_at=NOW)
    assert await stores.status_pages.replace_page(gone) == gone
    assert await stores.status_pages.pages(None) == [other]
    assert await stores.status_pages.replace_page(msgspec.structs.replace(one, id=4711)) is None
