"""Rules, watches and incidents, on every database."""

from __future__ import annotations

import msgspec

from callwright.alerting.cause import Cause, CauseKind
from callwright.alerting.watch import Track, Watch
from callwright.alerting.windows import Once, Weekly
from callwright.control.alerts.model import Alert, Child, Entry, Incident
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW


async def an_alert(stores: Stores, project: str = "p") -> Alert:
    owner = await stores.projects.project(project) or await stores.projects.add_project(project, "", NOW)
    row = Alert(
        id=0,
        project_id=owner.id,
        name="It sounds bad",
        condition="mos < 3.9 for 3m",
        recovery="",
        reminder=3_600.0,
        windows=(Once(1.0, 2.0), Weekly(("sat",), 1_320, 360, "Europe/Vienna")),
        snoozed_until=None,
        created_at=NOW,
        deleted_at=None,
    )
    return await stores.alerts.add_alert(row)


async def test_an_alert_is_kept_as_it_is_and_seen_in_its_project_alone(stores: Stores) -> None:
    one, other = await an_alert(stores), await an_alert(stores, "q")
    assert await stores.alerts.alert(one.id) == one
    assert await stores.alerts.alerts(None) == [one, other]
    assert await stores.alerts.alerts([other.project_id]) == [other]
    changed = msgspec.structs.replace(one, windows=(), reminder=None, deleted_at=NOW)
    assert await stores.alerts.replace_alert(changed) == changed == await stores.alerts.alert(one.id)
    assert await stores.alerts.ids_of(one.project_id) == set()
    assert await stores.alerts.ids_of(other.project_id) == {other.id}


async def test_a_watch_is_what_was_written_last(stores: Stores) -> None:
    watch = Watch(NOW, {7: Track(NOW, NOW, NOW - 60, None, 3.1)}, NOW, NOW)
    await stores.alerts.put_watch(1, 2, Watch(NOW))
    await stores.alerts.put_watch(1, 2, watch)
    assert await stores.alerts.watches() == {(1, 2): watch}
    await stores.alerts.remove_watch(1, 2)
    assert await stores.alerts.watches() == {}


async def test_incidents_are_newest_first_and_the_open_ones_are_found(stores: Stores) -> None:
    project = (await an_alert(stores)).project_id
    row = Incident(
        id=0,
        project_id=project,
        cause=Cause(CauseKind.SERVER, server=3),
        started_at=NOW,
        ended_at=None,
        acknowledged_at=None,
        acknowledged_by="",
        children=(Child(1, 2, NOW),),
        story=(Entry(NOW, "fired", 1, 2, (3, 4)),),
    )
    first, second = [await stores.alerts.add_incident(row) for _ in range(2)]
    assert await stores.alerts.incidents(None) == [second, first]
    ended = msgspec.structs.replace(first, ended_at=NOW + 1, acknowledged_at=NOW, acknowledged_by="ana")
    assert await stores.alerts.replace_incident(ended) == ended == await stores.alerts.incident(first.id)
    assert await stores.alerts.incidents([project], open_only=True) == [second]
    assert await stores.alerts.incidents([]) == []
    assert await stores.alerts.incidents(None, limit=1) == [second]
