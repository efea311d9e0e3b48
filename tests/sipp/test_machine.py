"""Calls of a scenario in virtual time: a caller and an answerer, both of SIPp's text, joined by a wire."""

from __future__ import annotations

import heapq
import random
import re
from collections.abc import Callable

import pytest

from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sipp.capture import Capture
from callwright.sipp.injection import read_injection
from callwright.sipp.machine import Ended, Logged, Machine, Outgoing, Pace
from callwright.sipp.reading import read_scenario
from callwright.sipp.words import Setting

CALLER, ANSWERER = Address("127.0.0.1", 5061), Address("127.0.0.1", 5060)
MEDIA, THEIRS = Address("127.0.0.1", 6000), Address("127.0.0.1", 7000)

REQUEST = """\
    {method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:me@[local_ip]:[local_port]>;tag=[pid]T[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
    Call-ID: [call_id]
    CSeq: {number} {method}
    Contact: <sip:me@[local_ip]:[local_port]>
    Max-Forwards: 70
"""
SDP = """\
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=u 1 1 IN IP[local_ip_type] [local_ip]
    s=-
    c=IN IP[media_ip_type] [media_ip]
    t=0 0
    m=audio [media_port] RTP/AVP 0
"""
EMPTY = "    Content-Length: 0\n"
RESPONSE = """\
    SIP/2.0 {status}
    [last_Via:]
    [last_From:]
    [last_To:]{tag}
    [last_Call-ID:]
    [last_CSeq:]
    Contact: <sip:[local_ip]:[local_port]>
"""


def send(text: str, attributes: str = "") -> str:
    return f"<send {attributes}><![CDATA[\n\n{text}\n]]></send>"


def request(method: str, number: int, body: str = EMPTY, attributes: str = "") -> str:
    return send(REQUEST.format(method=method, number=number) + body, attributes)


def response(
    status: str, body: str = EMPTY, attributes: str = "", tag: str = ";tag=[pid]U[call_number]"
) -> str:
    return send(RESPONSE.format(status=status, tag=tag) + body, attributes)


UAC = (
    request("INVITE", 1, SDP, "retrans='500'")
    + "<recv response='100' optional='true'/><recv response='180' optional='true'/>"
    + "<recv response='200' rtd='true'/>"
    + request("ACK", 1)
    + "<pause milliseconds='1000'/>"
    + request("BYE", 2, EMPTY, "retrans='500'")
    + "<recv response='200'/>"
)
UAS = (
    "<recv request='INVITE'/>"
    + response("180 Ringing")
    + response("200 OK", SDP, "retrans='500'")
    + "<recv request='ACK'/><recv request='BYE'/>"
    + response("200 OK", tag="")
)


def machine(steps: str, *, calls: int = 1, rate: float = 10.0, **wishes: object) -> Machine:
    scenario = read_scenario(f"<scenario name='x'>{steps}</scenario>")
    here, there = (ANSWERER, None) if scenario.answers else (CALLER, ANSWERER)
    hop = None if there is None else PermittedHop(Transport.UDP, here, there)
    refused: Callable[[str], str] = wishes.pop("refused", lambda _: "")  # type: ignore[assignment]
    sounds = wishes.pop("sounds", {})
    setting = Setting(
        scenario=scenario,
        service="service",
        local=here,
        remote=there,
        media=THEIRS if scenario.answers else MEDIA,
        **wishes,  # type: ignore[arg-type]
    )
    return Machine(
        setting,
        Pace(lambda _: rate, calls),
        hop=hop,
        entropy=random.Random(1 if scenario.answers else 2).randbytes,
        refused=refused,
        media_refused=lambda address, peer: "" if address.host == "127.0.0.1" else "not there",
        sounds=sounds,  # type: ignore[arg-type]
        wall=lambda: 1_700_000_000.5,
    )


class Line:
    """Two machines, and what went between them. `fate(number, data)`: whether it arrives."""

    def __init__(
        self, caller: Machine, answerer: Machine, fate: Callable[[int, bytes], bool] | None = None
    ) -> None:
        self.sides = {CALLER: caller, ANSWERER: answerer}
        self.sent: list[tuple[float, Outgoing]] = []
        self.now = 0.0
        self.events: list[Ended | Logged] = []
        self._fate = fate or (lambda number, data: True)
        self._flying: list[tuple[float, int, Outgoing]] = []
        for side in self.sides.values():
            side.start(0.0)

    def run(self, seconds: float) -> Line:
        end = self.now + seconds
        while True:
            for side in self.sides.values():
                for out in side.transmissions():
                    self.sent.append((self.now, out))
                    if self._fate(len(self.sent), out.data):
                        heapq.heappush(self._flying, (self.now + 0.01, len(self.sent), out))
                self.events += side.events()
            moments = [wake for side in self.sides.values() if (wake := side.next_wake()) is not None]
            moments += [self._flying[0][0]] if self._flying else []
            if not moments or min(moments) > end:
                self.now = end
                return self
            self.now = max(self.now, min(moments))
            while self._flying and self._flying[0][0] <= self.now:
                out = heapq.heappop(self._flying)[2]
                receiver = self.sides.get(out.hop.remote)
                if receiver is not None:
                    receiver.receive(out.data, Hop(Transport.UDP, out.hop.remote, out.hop.local), self.now)
            for side in self.sides.values():
                wake = side.next_wake()
                if wake is not None and wake <= self.now:
                    side.wake(self.now)

    @property
    def texts(self) -> list[str]:
        return [out.data.decode("utf-8", "replace") for _, out in self.sent]

    @property
    def starts(self) -> list[str]:
        """Method, or status and method, of each message."""
        found = []
        for text in self.texts:
            first = text.split(" ")
            cseq = re.search(r"CSeq: \d+ (\w+)", text)
            found.append(first[0] if first[0] != "SIP/2.0" else f"{first[1]} {cseq.group(1) if cseq else ''}")
        return found


def test_a_call_goes_as_both_scenarios_say() -> None:
    line = Line(machine(UAC), machine(UAS, calls=1)).run(10.0)
    assert line.starts == ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]
    for side in line.sides.values():
        assert (side.counts.succeeded, side.counts.failed, side.done) == (1, 0, True)
        assert side.counts.resent == 0
    invite = line.texts[0]
    head, _, body = invite.partition("\r\n\r\n")
    assert f"Content-Length: {len(body):5d}" in head
    assert body.endswith("m=audio 6000 RTP/AVP 0\r\n")
    assert "INVITE sip:service@127.0.0.1:5060 SIP/2.0\r\n" in invite
    assert ";tag=" in re.search(r"To: (.*)", line.texts[3]).group(1)  # type: ignore[union-attr]
    times = line.sides[CALLER].counts.response_times["1"]
    assert times.count == 1
    assert 0.019 < (times.percentile(50) or 0) < 0.022
    assert line.sides[CALLER].counts.length.mean == pytest.approx(1.04, abs=0.01)


@pytest.mark.parametrize("lost", range(1, 7))
def test_any_message_may_be_lost_once(lost: int) -> None:
    line = Line(machine(UAC), machine(UAS), lambda number, data: number != lost).run(40.0)
    for side in line.sides.values():
        assert (side.counts.succeeded, side.counts.failed) == (1, 0), (lost, line.starts)


def test_what_is_never_answered_fails_and_is_canceled() -> None:
    line = Line(machine(UAC), machine(UAS), lambda number, data: False).run(60.0)
    counts = line.sides[CALLER].counts
    assert counts.failures == {"no answer": 1}
    assert line.starts == ["INVITE"] * 6 + ["CANCEL"]
    assert "sent 6 times" in line.events[0].call.sentence  # type: ignore[union-attr]


def test_an_unexpected_answer_fails_the_call_and_leaves_none_up() -> None:
    busy = "<recv request='INVITE'/>" + response("486 Busy Here") + "<recv request='ACK'/>"
    line = Line(machine(UAC), machine(busy)).run(10.0)
    assert line.starts == ["INVITE", "486 INVITE", "ACK"]
    assert line.sides[CALLER].counts.failures == {"unexpected": 1}
    assert line.sides[ANSWERER].counts.succeeded == 1
    ended = line.events[0] if isinstance(line.events[0], Ended) else line.events[1]
    assert isinstance(ended, Ended)


def test_a_call_that_is_stopped_is_ended_at_the_peer() -> None:
    line = Line(machine(UAC.replace("1000", "60000")), machine(UAS)).run(5.0)
    line.sides[CALLER].stop(line.now, gently=False)
    line.run(5.0)
    assert line.starts[-2:] == ["BYE", "200 BYE"]
    assert line.sides[CALLER].counts.canceled == 1
    assert line.sides[ANSWERER].counts.succeeded == 1


def test_a_refused_message_never_leaves() -> None:
    line = Line(machine(UAC, refused=lambda text: "112 is not called."), machine(UAS)).run(5.0)
    assert line.sent == []
    assert line.sides[CALLER].counts.failures == {"not permitted": 1}


def test_labels_variables_and_tests_lead_the_way() -> None:
    caller = (
        request("OPTIONS", 1)
        + "<recv response='200'><action>"
        + "<ereg regexp='u([0-9]+)' search_in='hdr' header='X-Who:' assign_to='1,2' check_it='true'/>"
        + "<test assign_to='big' variable='2' compare='greater_than' value='5'/>"
        + "<strcmp assign_to='same' variable='1' value='u7'/>"
        + "<log message='who is [$1], number [$2]'/></action></recv>"
        + "<nop next='end' test='nothing'/><nop next='on' test='big'/>"
        + request("INFO", 9)
        + "<label id='on'/>"
        + request("MESSAGE", 2)
        + "<recv response='200' ontimeout='end' timeout='300'/><label id='end'/>"
    )
    answerer = (
        "<recv request='OPTIONS'/>"
        + response("200 OK", "    X-Who: u7\n" + EMPTY)
        + "<recv request='MESSAGE'/>"
    )
    line = Line(machine(caller), machine(answerer)).run(5.0)
    assert line.starts[:3] == ["OPTIONS", "200 OPTIONS", "MESSAGE"]
    assert [event.line for event in line.events if isinstance(event, Logged)] == ["who is u7, number 7"]
    assert line.sides[CALLER].counts.succeeded == 1


def test_a_check_that_does_not_hold_fails_the_call() -> None:
    caller = (
        request("OPTIONS", 1)
        + "<recv response='200'><action><ereg regexp='X-Not' assign_to='1' check_it='true'/></action></recv>"
    )
    line = Line(machine(caller), machine("<recv request='OPTIONS'/>" + response("200 OK"))).run(5.0)
    assert line.sides[CALLER].counts.failures == {"no match": 1}


def test_a_circle_without_waiting_ends() -> None:
    line = Line(machine(request("OPTIONS", 1) + "<label id='a'/><nop next='a'/>"), machine(UAS)).run(1.0)
    assert line.sides[CALLER].counts.failures == {"endless": 1}


def test_credentials_answer_the_challenge_and_are_verified() -> None:
    from callwright.sip.digest import Credentials

    again = REQUEST.format(method="REGISTER", number=2) + "    [authentication]\n" + EMPTY
    caller = (
        request("REGISTER", 1) + "<recv response='401' auth='true'/>" + send(again) + "<recv response='200'/>"
    )
    answerer = (
        "<recv request='REGISTER'/>"
        + response(
            "401 Unauthorized", '    WWW-Authenticate: Digest realm="x", nonce="n", qop="auth"\n' + EMPTY
        )
        + "<recv request='REGISTER'><action>"
        + "<verifyauth assign_to='ok' username='u' password='p'/></action></recv>"
        + "<nop next='good' test='ok'/>"
        + response("403 Forbidden", tag="", attributes="next='end'")
        + "<label id='good'/>"
        + response("200 OK", tag="")
        + "<label id='end'/>"
    )
    line = Line(machine(caller, credentials=Credentials("u", "p")), machine(answerer)).run(5.0)
    assert line.starts == ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER"]
    wrong = Line(machine(caller, credentials=Credentials("u", "q")), machine(answerer)).run(5.0)
    assert wrong.starts[-1] == "403 REGISTER"
    assert wrong.sides[CALLER].counts.failures == {"unexpected": 1}


def test_credentials_in_an_injection_file_are_answered_with_and_never_sent() -> None:
    rows = read_injection("a.csv", "SEQUENTIAL\n1001;[authentication username=u password=p]\n")
    again = REQUEST.format(method="REGISTER", number=2) + "    X-Who: [field0]\n    [field1]\n" + EMPTY
    caller = (
        request("REGISTER", 1) + "<recv response='401' auth='true'/>" + send(again) + "<recv response='200'/>"
    )
    answerer = (
        "<recv request='REGISTER'/>"
        + response("401 Unauthorized", '    WWW-Authenticate: Digest realm="x", nonce="n"\n' + EMPTY)
        + "<recv request='REGISTER'><action><verifyauth assign_to='ok' username='u' password='p'/>"
        + "<test assign_to='no' variable='ok' compare='not_equal' value='1'/></action></recv>"
        + response("403 Forbidden", tag="", attributes="condexec='no'")
        + response("200 OK", tag="", attributes="condexec='no' condexec_inverse='true'")
    )
    line = Line(machine(caller, injections=(rows,)), machine(answerer)).run(5.0)
    assert line.starts[-1] == "200 REGISTER"
    assert "X-Who: 1001" in line.texts[2]
    assert not any("password" in text for text in line.texts)


def test_audio_of_a_capture_goes_where_the_answer_says() -> None:
    capture = Capture(tuple((index * 0.02, bytes([index])) for index in range(10)))
    playing = UAC.replace("<pause", "<nop><action><exec play_pcap_audio='a.pcap'/></action></nop><pause", 1)
    line = Line(machine(playing, sounds={"a.pcap": capture}), machine(UAS)).run(5.0)
    audio = [(at, out) for at, out in line.sent if out.hop.remote == THEIRS]
    assert [out.data for _, out in audio] == [bytes([index]) for index in range(10)]
    assert all(out.hop.local == MEDIA for _, out in audio)
    assert audio[-1][0] - audio[0][0] == pytest.approx(0.18, abs=0.001)
    elsewhere = UAS.replace("c=IN IP[media_ip_type] [media_ip]", "c=IN IP4 203.0.113.9")
    refused = Line(machine(playing, sounds={"a.pcap": capture}), machine(elsewhere)).run(5.0)
    assert not [out for _, out in refused.sent if out.hop.remote not in (CALLER, ANSWERER)]
    assert refused.sides[CALLER].counts.failures == {"no audio": 1}
    assert refused.sides[CALLER].counts.rtp_withheld == 10


def test_noise_hurts_nobody() -> None:
    side = machine(UAS)
    side.start(0.0)
    hop = Hop(Transport.UDP, ANSWERER, CALLER)
    for data in (
        b"",
        b"\r\n\r\n",
        b"\xff" * 2000,
        b"INVITE",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"ACK sip:x SIP/2.0\r\n\r\n",
    ):
        side.receive(data, hop, 0.0)
    assert side.counts.attempted == 0
    assert side.transmissions() == []


def test_calls_begin_at_their_rate_and_no_more_than_may_be_up() -> None:
    caller = machine(UAC, calls=20, rate=10.0)
    line = Line(caller, machine(UAS, calls=20)).run(1.05)
    assert caller.counts.attempted == 11, "one every 0.1 s, from the beginning on"
    line.run(20.0)
    assert (caller.counts.succeeded, caller.done) == (20, True)
