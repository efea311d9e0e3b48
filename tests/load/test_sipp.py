"""What a scenario of SIPp may say to whom, and where: loads of it, on loopback and in words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from callwright.load.plan import make_plan
from callwright.load.preparation import CannotLoad
from callwright.load.sipp import SippLoad, SippResult, SippWishes, raw_audio, sounds_of, told
from callwright.policy.destination import Rules
from callwright.sip.digest import Credentials
from callwright.sip.transport import Address
from callwright.sipp.call import Said
from callwright.sipp.capture import CaptureError
from callwright.sipp.reading import read_scenario

ASK = """<scenario name="ask"><send><![CDATA[
  OPTIONS {target} SIP/2.0
  Via: SIP/2.0/UDP {via}:[local_port];branch=[branch]
  From: <sip:me@[local_ip]>;tag=[pid]
  To: <sip:x@[remote_ip]>
  Call-ID: [call_id]
  CSeq: 1 OPTIONS
  Contact: <sip:me@{contact}>
  {more}
  Content-Length: 0
]]></send><recv response="200" timeout="2000" rtd="true"/></scenario>"""
TELL = """<scenario name="tell"><recv request="OPTIONS"/><send><![CDATA[
  SIP/2.0 200 OK
  [last_Via:]
  [last_From:]
  [last_To:];tag=1
  [last_Call-ID:]
  [last_CSeq:]
  Content-Length: 0
]]></send></scenario>"""


def load(text: str, **wishes: object) -> SippLoad:
    given = {"plan": make_plan(calls=3, rate=100.0), "rules": Rules(), "rtp_ports": (36000, 40000)} | wishes
    return SippLoad(
        SippWishes(scenario=read_scenario(text), **given),  # type: ignore[arg-type]
        worded=lambda remedy: f"--allow {remedy.place}",
        version="1",
    )


async def both(**said: str) -> tuple[SippResult, SippResult]:
    """Whom it asks, and who answers."""
    words = {"target": "sip:x@[remote_ip]:[remote_port]", "via": "[local_ip]", "contact": "[local_ip]"}
    words["more"] = "Subject: none"
    answering = load(TELL, listen=Address("127.0.0.1", 0), calls=3, plan=make_plan(rate=1.0, calls=3))
    ready, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(answering.run(stop, on_ready=lambda _: ready.set()))
    await ready.wait()
    assert answering.local is not None
    asking = load(ASK.format(**(words | said)), remote=answering.local, uri="sip:x@127.0.0.1")
    result = await asking.run(asyncio.Event())
    if result.machine.counts.failed:
        stop.set()
    return result, await running


async def test_calls_go_over_loopback_and_are_counted_on_both_sides() -> None:
    result, answered = await both()
    assert (result.machine.counts.succeeded, answered.machine.counts.succeeded) == (3, 3)
    wishes = SippWishes(scenario=result.machine.setting.scenario, plan=make_plan(calls=3), rules=Rules())
    document = told(result, wishes, version="1", started_at=0.0)
    assert (document["verdict"], document["attempted"], document["failed"]) == ("passed", 3, 0)
    assert document["response_times_ms"]["1"]["count"] == 3
    assert [step["done"] for step in document["steps"]] == [3, 3]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"target": "sip:112@[remote_ip]:[remote_port]"}, "112"),
        ({"target": "sip:x@203.0.113.7"}, "203.0.113.7"),
        ({"target": "sip:x@[remote_ip];maddr=203.0.113.7"}, "203.0.113.7"),
        ({"target": "sip:x@carrier.example"}, "carrier.example"),
        ({"target": "nobody"}, "cannot be read"),
        ({"via": "203.0.113.7"}, "203.0.113.7"),
        ({"contact": "203.0.113.7"}, "203.0.113.7"),
        ({"more": "Route: <sip:203.0.113.7;lr>"}, "203.0.113.7"),
        ({"more": "m: <sip:x@203.0.113.7>"}, "203.0.113.7"),
        ({"more": "Refer-To: <sip:x@203.0.113.7>"}, "203.0.113.7"),
        ({"more": "r: <sip:x@203.0.113.7>"}, "203.0.113.7"),
        ({"more": "Refer-To: <sip:112@127.0.0.1>"}, "112"),
    ],
)
async def test_a_message_that_leads_to_a_stranger_never_leaves(said: dict[str, str], why: str) -> None:
    result, answered = await both(**said)
    assert result.machine.counts.failures == {"not permitted": 3}
    assert why in result.failed[0].sentence
    assert answered.machine.counts.received == 0


async def test_no_secret_is_in_what_a_load_leaves() -> None:
    more = 'Authorization: Digest username="u", response="0123456789abcdef", realm="r"'
    result, _ = await both(target="sip:x@203.0.113.7")
    call = result.failed[0]
    call.said.append(Said(0.0, True, f"OPTIONS sip:x@y SIP/2.0\r\n{more}\r\nX-Said: hush-hush\r\n\r\n"))
    wishes = SippWishes(
        scenario=result.machine.setting.scenario,
        plan=make_plan(calls=3),
        rules=Rules(),
        credentials=Credentials("u", "hush-hush"),
    )
    text = json.dumps(told(result, wishes, version="1", started_at=0.0))
    assert "OPTIONS sip:x@y" in text
    assert "0123456789abcdef" not in text
    assert "hush-hush" not in text


def test_audio_of_a_scenario_is_read_or_refused_with_its_line(tmp_path: Path) -> None:
    nop = "<nop><action><exec rtp_stream='a.raw,2,8'/></action></nop>"
    playing = f"<scenario><recv request='INVITE'/>\n{nop}</scenario>"
    with pytest.raises(CannotLoad, match=r"line 2: the audio a\.raw,2,8 cannot be read"):
        sounds_of(read_scenario(playing), tmp_path)
    (tmp_path / "a.raw").write_bytes(bytes(400))
    packets = sounds_of(read_scenario(playing), tmp_path)["a.raw,2,8"].packets
    assert [(round(at, 2), len(data), data[1] & 0x7F) for at, data in packets] == [
        (0.0, 172, 8),
        (0.02, 172, 8),
        (0.04, 172, 8),
        (0.06, 172, 8),
    ]
    with pytest.raises(CaptureError):
        raw_audio(bytes(10), 1, 0)
