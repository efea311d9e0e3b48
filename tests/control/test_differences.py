from __future__ import annotations

import dataclasses

import pytest

from callwright.control.runs.differences import Difference, Seen, differences
from callwright.evidence.ladder import Ladder, build_ladder
from callwright.evidence.naming import call_names
from callwright.evidence.report import render_report
from callwright.net.tap import Packet
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict
from tests.evidence.sample import STARTED, packets, run


def ladder(changed: list[Packet]) -> Ladder:
    return build_ladder(changed, origin=STARTED, call_names=call_names(run()))


def changed(old: str, new: str, *, first: str = "") -> list[Packet]:
    """The sample's packets with a text replaced in those messages whose start line begins with `first`."""
    return [
        p._replace(data=p.data.replace(old.encode(), new.encode()))
        if p.kind == "sip" and p.data.startswith(first.encode())
        else p
        for p in packets()
    ]


def found(before: list[Packet], after: list[Packet], outcome: RunOutcome | None = None) -> list[Difference]:
    outcome = outcome or run()
    return differences(Seen(run(), ladder(before)), Seen(outcome, ladder(after)))


def texts(differences_: list[Difference]) -> list[str]:
    return [f"{d.sign} {d.text}" for d in differences_]


def test_a_run_does_not_differ_from_itself() -> None:
    (only,) = found(packets(), packets())
    assert only.sign == "="
    assert "messages" in only.text
    assert "headers" in only.text


def test_tags_branches_and_ports_are_no_differences() -> None:
    other = changed("tag=c1a9", "tag=zzzz")
    other = [p._replace(data=p.data.replace(b"branch=z9hG4bK-", b"branch=z9hG4bK-x")) for p in other]
    assert [d.sign for d in found(packets(), other)] == ["="]


def test_a_header_that_was_added_is_named_with_its_value_and_its_message_once() -> None:
    later = changed(
        "Content-Length", "Session-Expires: 1800;refresher=uas\r\nContent-Length", first="SIP/2.0 200"
    )
    said = [d for d in found(packets(), later) if "Session-Expires" in d.text]
    assert len(said) == 1
    assert said[0].text == "Header added: Session-Expires: 1800;refresher=uas"
    assert said[0].detail.startswith("Message ")
    (gone, *_) = [d for d in found(later, packets()) if "Session-Expires" in d.text]
    assert gone.text == "Header gone: Session-Expires: 1800;refresher=uas"
    assert gone.word == "removed"


def test_a_codec_that_was_dropped_from_an_offer() -> None:
    with_codec = changed("a=ptime:20", "a=ptime:20", first="INVITE")
    without = changed("RTP/AVP 8 0 9 101", "RTP/AVP 8 0 101", first="INVITE")
    said = texts(found(with_codec, without))
    assert any(t.startswith("− G.722 dropped from the offer to ") for t in said), said


def test_a_message_that_only_the_later_run_has_is_told_with_its_moment() -> None:
    earlier = [p for p in packets() if p.wall < STARTED + 6.6 or p.wall > STARTED + 6.7]
    said = found(earlier, packets())
    added = [d for d in said if d.sign == "+" and "re-INVITE" in d.text]
    assert added
    assert added[0].cause
    assert "after the answer" in added[0].text
    moved = [d for d in said if "10.0.0.12" in d.text]
    assert moved
    assert moved[0].cause
    assert said.index(added[0]) < len(said) - 1
    assert said[-1].sign == "="


def test_a_later_ringing_is_given_in_milliseconds() -> None:
    slow = [
        p._replace(wall=p.wall + 0.18, now=p.now + 0.18) if p.data.startswith(b"SIP/2.0 180") else p
        for p in packets()
    ]
    said = found(packets(), slow)
    assert "~ 180 Ringing came 180 ms later" in texts(said)
    (ringing,) = [d for d in said if "180 Ringing" in d.text]
    assert "after the INVITE; it was" in ringing.detail
    assert "~ 180 Ringing came 180 ms sooner" in texts(found(slow, packets()))


def test_another_product_is_told_once() -> None:
    said = texts(found(changed("ExamplePBX 4.3.0", "ExamplePBX 4.2.1"), packets()))
    assert [t for t in said if "4.2.1" in t] == [
        "~ Software of PBX: ExamplePBX 4.2.1 became ExamplePBX 4.3.0"
    ]


def test_quality_that_fell_and_a_parameter_that_changed() -> None:
    before = run()
    call = before.calls[0]
    worse = dataclasses.replace(
        call,
        received=dataclasses.replace(call.received, mos=2.6, loss_pct=5.8),
        sip_code=486,
        sip_reason="Busy Here",
    )
    after = dataclasses.replace(
        before, calls=(worse, *before.calls[1:]), parameters={"step.1.0.play": "tone"}
    )
    said = differences(Seen(before, test_version=3), Seen(after, test_version=4))
    joined = " | ".join(texts(said))
    assert "heard MOS 2.60, Bad" in joined
    assert "5.8 % of the packets" in joined
    assert "ended with 486 Busy Here, not 200" in joined
    assert "The test itself changed: version 3 became 4" in joined
    assert "step.1.0.play is tone" in joined


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"ptime": "30"}, "+ ptime is 30"),
        ({"ptime": "30"}, {}, "− ptime is not given"),
        ({"ptime": "30"}, {"ptime": "20"}, "~ ptime: 30 became 20"),
    ],
)
def test_what_our_own_test_changed_is_a_likely_cause_and_ours(
    before: dict[str, str], after: dict[str, str], told: str
) -> None:
    outcome = dataclasses.replace(run(), verdict=Verdict.FAILED)
    one, two = (Seen(dataclasses.replace(outcome, parameters=given)) for given in (before, after))
    difference = next(d for d in differences(one, two) if "ptime" in d.text)
    assert f"{difference.sign} {difference.text}" == told
    assert (difference.cause, difference.ours) == (True, True)


@pytest.mark.parametrize(("now", "told"), [("syd-1", []), ("fra-1", ["The agent is fra-1, not syd-1"])])
def test_another_agent_is_a_difference_and_the_same_one_is_none(now: str, told: list[str]) -> None:
    differences_ = differences(Seen(run(), agent="syd-1"), Seen(run(), agent=now))
    assert [d.text for d in differences_ if "The agent" in d.text] == told
    assert any("agent" in d.text for d in differences_ if d.sign == "=") is not bool(told)


def test_silence_is_a_difference_however_well_its_packets_came() -> None:
    before = run()
    call = before.calls[0]
    well = dataclasses.replace(call.received, packets=200, mos=4.37, silence_pct=30.0)
    mute = dataclasses.replace(well, silence_pct=100.0)
    then = dataclasses.replace(before, calls=(dataclasses.replace(call, received=well),))
    now = dataclasses.replace(before, calls=(dataclasses.replace(call, received=mute),))
    (told,) = [d for d in differences(Seen(then), Seen(now)) if "silence" in d.text]
    assert told.cause
    assert told.detail == "It was MOS 4.37, Excellent."
    assert not [d for d in differences(Seen(now), Seen(now)) if "silence" in d.text]


def test_the_differences_stand_in_the_report_of_one_file_and_lead_to_their_messages() -> None:
    said = found(packets(), changed("ExamplePBX 4.3.0", "ExamplePBX 4.4.0"))
    page = render_report(run(), ladder(packets()), differences=said, beside="Of 22 Nov 2026")
    body = page[page.index("<main") :]
    assert "Changed since the last passing run" in body
    assert said[0].text in body
    assert "Of 22 Nov 2026" in body
    assert "Changed since the last passing run" not in render_report(run(), ladder(packets()))


def test_a_refusal_instead_of_an_answer_is_told_once_and_not_what_follows_from_it() -> None:
    """After a refusal there is no BYE, no audio and another kind of ACK: nobody needs to be told."""

    def refused(p: Packet) -> Packet | None:
        if p.kind != "sip":
            return None
        text = p.data.decode()
        if text.startswith("BYE") or "BYE\r\n" in text.partition("Call-ID")[2].split("\r\n\r\n")[0]:
            return None
        if p.wall > STARTED + 3:
            return None
        if text.startswith("SIP/2.0 200 OK") and "INVITE" in text:
            head = text.split("\r\n\r\n")[0].replace("200 OK", "486 Busy Here", 1)
            head = head.replace("Content-Type: application/sdp\r\n", "")
            return p._replace(data=(head + "\r\n\r\n").encode())
        return p

    later = [q for p in packets() if (q := refused(p)) is not None]
    failed = dataclasses.replace(
        run(), calls=tuple(dataclasses.replace(c, states=(), sip_code=486) for c in run().calls)
    )
    said = texts(found(packets(), later, failed))
    assert any("with 486 Busy Here, not 200 OK" in t for t in said)
    assert not any("BYE" in t or "rated" in t or "ended with" in t or "Header" in t for t in said), said


def test_no_cause_is_marked_when_the_later_run_passed() -> None:
    passed = dataclasses.replace(run(), verdict=Verdict.PASSED)
    earlier = [p for p in packets() if p.wall < STARTED + 6.6 or p.wall > STARTED + 6.7]
    assert not any(d.cause for d in found(earlier, packets(), passed))


@pytest.mark.parametrize("nothing", [[], packets()[:1]])
def test_a_run_without_messages_is_compared_all_the_same(nothing: list[Packet]) -> None:
    assert found(packets(), nothing)[-1].sign == "="
