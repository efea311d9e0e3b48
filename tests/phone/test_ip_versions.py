"""Calls over one IP version, and descriptions of two."""

from __future__ import annotations

import pytest

from callwright.cli.softphone import family_of_flags
from callwright.host.operator import Refused
from callwright.net.resolver import ResolutionFailed, ServiceRecord
from callwright.outcome.judgement import judge_call
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.negotiation import LocalMedia, answer


class Names:
    """A host with an address of each version, the newer first."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts or ("::1", "127.0.0.1")

    async def addresses(self, host: str) -> list[str]:
        return list(self.hosts)

    async def services(self, name: str) -> list[ServiceRecord]:
        return []


@pytest.mark.parametrize(("family", "host"), [(4, "127.0.0.1"), (6, "::1")])
async def test_a_call_takes_the_version_that_was_asked_for(family: int, host: str) -> None:
    async with Phone(PhoneConfig()) as callee, Phone(PhoneConfig(family=family), names=Names()) as caller:
        place = await callee.listen(host, 0)
        callee.on_call = lambda received: AnswerPlan(MediaPlan(enabled=False))
        plan = CallPlan(f"sip:x@both.test:{place.port}", MediaPlan(enabled=False), talk_for=0.0)
        outcome = await caller.call(plan).finished
    assert judge_call(outcome)[0] == "passed", outcome.reason
    assert outcome.peer == f"udp:{place}"


async def test_a_host_without_that_version_is_named() -> None:
    async with Phone(PhoneConfig(family=6), names=Names("127.0.0.1")) as caller:
        with pytest.raises(ResolutionFailed, match="--ipv6 leaves those out"):
            await caller.driver.locate("four.test", 5060)
        outcome = await caller.call(CallPlan("sip:x@127.0.0.1")).finished
    assert "--ipv6 leaves those out" in str(outcome.failure_detail)


def test_flags_that_leave_nothing_are_refused() -> None:
    assert family_of_flags(False, False, "::1") is None
    assert family_of_flags(True, False, None) == 4
    assert family_of_flags(False, True, "::1") == 6
    for wrong in ((True, True, None), (True, False, "::1"), (False, True, "192.0.2.1")):
        with pytest.raises(Refused):
            family_of_flags(*wrong)


@pytest.mark.parametrize("host", ["media.example.com", "fe80::1%eth0", "2001:db8::1"])
def test_an_address_of_a_description_is_kept_as_it_was_written(host: str) -> None:
    offered = SessionDescription.parse(
        f"v=0\r\no=- 1 1 IN IP6 {host}\r\ns=-\r\nc=IN IP6 {host}\r\nt=0 0\r\n".encode()
        + b"m=audio 4000 RTP/AVP 0\r\n"
    )
    _, negotiated = answer(offered, LocalMedia("2001:db8::2", 5000, (audio_format("PCMU"),)), 1)
    assert (negotiated.remote_host, negotiated.remote_port) == (host, 4000)


def test_of_two_lines_for_two_versions_ours_is_taken() -> None:
    offered = SessionDescription.parse(
        b"v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n"
        b"m=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n"
    )
    ours, negotiated = answer(offered, LocalMedia("192.0.2.2", 6000, (audio_format("PCMU"),)), 1)
    assert (negotiated.remote_host, negotiated.remote_port) == ("192.0.2.1", 5000)
    assert [media.port for media in ours.media] == [0, 6000]
