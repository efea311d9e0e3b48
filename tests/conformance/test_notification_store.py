"""Channels and the outbox of their messages, on every database."""

from __future__ import annotations

import msgspec

from callwright.control.accounts.model import User
from callwright.control.notifications.model import Channel, Message, State
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW

LATEST = NOW + 1_800


async def a_channel(stores: Stores, project: str = "p", **more: object) -> Channel:
    owner = await stores.projects.project(project) or await stores.projects.add_project(project, "", NOW)
    row = Channel(
        id=0,
        project_id=owner.id,
        user_id=None,
        handle="h",
        name="ops",
        kind="webhook",
        url="https://hooks.example.com/",
        service="",
        sealed="v1:x",
        events=("run.failed", "incident.opened"),
        tests=("mine",),
        after=3,
        active=1,
        created_at=NOW,
        updated_at=NOW,
    )
    return await stores.notifications.add_channel(msgspec.structs.replace(row, **more))


async def a_message(stores: Stores, channel: Channel, uid: str, **more: object) -> Message:
    row = Message(0, channel.id, uid, "run.failed", NOW, "{}", State.WAITING, 0, NOW, None, None, "")
    await stores.notifications.add_messages([msgspec.structs.replace(row, **more)])
    found = await stores.notifications.messages([channel.id], limit=1)
    return found[0]


async def test_a_channel_is_kept_as_it_is_and_seen_in_its_project_alone(stores: Stores) -> None:
    store = stores.notifications
    one, other = await a_channel(stores), await a_channel(stores, "q", active=0)
    assert one.project_id is not None
    assert other.project_id is not None
    assert await store.channel(one.id) == one
    assert await store.channels(None) == [one, other]
    assert await store.channels([other.project_id]) == [other]
    assert await store.listening(one.project_id) == [one]
    assert await store.listening(other.project_id) == []
    changed = msgspec.structs.replace(one, name="night", events=("run.error",), active=0)
    assert await store.replace_channel(changed) == changed == await store.channel(one.id)
    await a_message(stores, one, "a")
    assert await store.remove_channel(one.id)
    assert await store.channel(one.id) is None
    assert await store.messages([one.id]) == []
    assert not await store.remove_channel(one.id)


async def test_a_webhook_of_a_user_has_the_role_of_its_owner_and_goes_with_them(stores: Stores) -> None:
    user = await stores.accounts.add_user(
        User(0, "ana", "Ana", "", "admin", "Normal", "UTC", 0.0, None, None), ""
    )
    mine = await a_channel(stores, project_id=None, user_id=user.id)
    await a_channel(stores)
    store = stores.notifications
    assert await store.channels_of_users() == await store.channels_of_users(user.id) == [mine]
    assert await store.channels_of_users(user.id + 1) == []
    assert await store.listening_to_calls() == [(mine, "admin")]


async def test_the_oldest_open_message_of_each_active_channel_is_due(stores: Stores) -> None:
    store = stores.notifications
    one, other, paused = [await a_channel(stores, active=active) for active in (1, 1, 0)]
    first = await a_message(stores, one, "a", next_at=NOW + 60)
    await a_message(stores, one, "b")
    await a_message(stores, other, "a")
    await a_message(stores, paused, "a")
    assert await store.due(NOW, LATEST) == [other.id]
    assert await store.due(NOW + 60, LATEST) == [one.id, other.id]
    assert await store.due(NOW - 86_400, NOW - 86_400 + 1_800) == [one.id, other.id], "a clock set back"
    assert await store.head(one.id) == first
    done = msgspec.structs.replace(first, state=State.DELIVERED, attempts=1, tried_at=NOW, status=204)
    assert await store.settle(first, done)
    assert not await store.settle(first, done), "somebody else was faster"
    assert await store.message(first.id) == done
    head = await store.head(one.id)
    assert head is not None
    assert head.uid == "b"
    await store.hasten(one.id, NOW - 1)
    assert (await store.due(NOW - 1, LATEST)) == [one.id]
    assert await store.open_counts() == {one.id: 1, other.id: 1, paused.id: 1}


async def test_the_same_message_is_written_once_to_a_channel(stores: Stores) -> None:
    one, other = await a_channel(stores), await a_channel(stores)
    for channel in (one, one, other):
        await a_message(stores, channel, "a")
    assert len(await stores.notifications.messages([one.id, other.id])) == 2


async def test_messages_are_newest_first_filtered_and_paged(stores: Stores) -> None:
    store, one = stores.notifications, await a_channel(stores)
    made = [await a_message(stores, one, uid, event=event) for uid, event in zip("abcd", "xyxy", strict=True)]
    assert [m.uid for m in await store.messages([one.id])] == list("dcba")
    assert [m.uid for m in await store.messages([one.id], event="x")] == list("ca")
    assert [m.uid for m in await store.messages([one.id], before=made[2].id, limit=1)] == ["b"]
    assert await store.messages([one.id], states=[State.GIVEN_UP]) == []
    assert await store.messages([]) == []


async def test_what_is_too_much_is_given_up_and_what_is_too_old_forgotten(stores: Stores) -> None:
    store, one = stores.notifications, await a_channel(stores)
    for uid in "abcd":
        await a_message(stores, one, uid)
    assert await store.give_up_beyond(one.id, 2, "too many") == 2
    assert await store.give_up_beyond(one.id, 2, "too many") == 0
    given_up = await store.messages([one.id], states=[State.GIVEN_UP])
    assert [(m.uid, m.reason) for m in given_up] == [("b", "too many"), ("a", "too many")]
    assert await store.forget_messages(NOW + 1) == 2
    assert [m.uid for m in await store.messages([one.id])] == ["d", "c"]
