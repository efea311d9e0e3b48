"""Who on a phone is told of what its endpoint tells."""

from __future__ import annotations

from callwright.phone.line import PhoneLine
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.events import Event, Notified, SubscribeEnded
from callwright.sip.message import Request
from callwright.sip.notice import SubscriptionState
from tests.kit.virtual_time import LoopClock
from tests.kit.wire import seeded_entropy


class Over:
    """A subscription that its last NOTIFY has ended before anybody was told."""

    over = True


def test_the_last_notify_and_the_end_of_a_subscription_are_both_told() -> None:
    line = PhoneLine(
        Endpoint(EndpointConfig(), seeded_entropy(1)), LoopClock(), lambda: None, "alice", seeded_entropy(2)
    )
    told: list[type[Event]] = []
    subscriber = Over()
    line.expect_subscription(subscriber, lambda event: told.append(type(event)))
    request = Request("NOTIFY", "sip:alice@192.0.2.1")
    state = SubscriptionState("terminated", reason="timeout")
    assert line.dispatch(Notified(1.0, subscriber, state, request))  # type: ignore[arg-type]
    assert line.dispatch(SubscribeEnded(1.0, subscriber, "timeout"))  # type: ignore[arg-type]
    assert line.dispatch(SubscribeEnded(1.0, subscriber, "timeout"))  # type: ignore[arg-type]
    assert told == [Notified, SubscribeEnded]
