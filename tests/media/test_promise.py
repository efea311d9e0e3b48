"""Which agreements promise audio: hold in all its forms, and streams that were never promised."""

from __future__ import annotations

import pytest

from callwright.media.promise import Promise
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.negotiation import LocalMedia, Negotiated, conclude, offer

BODY = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\n{direction}"
)


def agreed(
    direction: str = "", *, host: str = "192.0.2.1", port: int = 4000, ours: str = "sendrecv"
) -> Negotiated:
    """What our offer and that answer come to."""
    local = LocalMedia("192.0.2.9", 5000, (audio_format("PCMU"),), direction=ours)
    line = f"a={direction}\r\n" if direction else ""
    body = BODY.format(host=host, port=port, direction=line)
    return conclude(offer(local, 1), SessionDescription.parse(body.encode()))


def test_audio_is_due_both_ways_and_from_who_sends_alone_from_the_start() -> None:
    assert Promise().due(agreed())
    assert Promise().due(agreed("sendrecv"))
    assert Promise().due(agreed("sendonly"))


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_audio_that_was_never_promised_is_not_due(direction: str) -> None:
    assert not Promise().due(agreed(direction))


@pytest.mark.parametrize(
    "held",
    [
        agreed("sendonly"),
        agreed("inactive"),
        agreed(host="0.0.0.0"),
        agreed("sendonly", host="0.0.0.0"),
        agreed("recvonly", ours="sendonly"),  # we hold
        agreed("inactive", ours="sendonly"),
    ],
)
def test_nothing_is_due_on_hold_and_all_is_due_after_it(held: Negotiated) -> None:
    promise = Promise()
    assert promise.due(agreed())
    assert not promise.due(held)
    assert promise.due(agreed())


def test_a_call_that_begins_on_hold_is_due_once_it_is_taken_up() -> None:
    promise = Promise()
    assert not promise.due(agreed(host="0.0.0.0"))
    assert promise.due(agreed())
    assert not promise.due(agreed("sendonly"))
