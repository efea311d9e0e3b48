"""What is read of a scenario's XML, and what is refused by its name and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from callwright.sipp.capture import CaptureError, read_capture
from callwright.sipp.injection import InjectionError, read_injection
from callwright.sipp.reading import NotSipp, read_scenario
from callwright.sipp.scenario import Pause, Recv, Send
from callwright.sipp.search import Search, SearchError

SCENARIOS = Path(__file__).parents[1] / "interop" / "sipp"

SEND = "<send><![CDATA[\n  OPTIONS sip:x@[remote_ip] SIP/2.0\n  Call-ID: [call_id]\n]]></send>"


def problems(body: str) -> list[str]:
    with pytest.raises(NotSipp) as refused:
        read_scenario(f"<scenario>\n{body}\n</scenario>")
    return refused.value.problems


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.xml")), ids=lambda path: path.stem)
def test_scenarios_that_people_wrote_are_read(path: Path) -> None:
    text = path.read_text("latin-1").replace("@status@ @phrase@", "486 Busy Here")
    scenario = read_scenario(text)
    assert scenario.steps
    assert scenario.answers == path.stem.startswith("uas")


def test_steps_have_what_the_file_says() -> None:
    scenario = read_scenario(
        f"<scenario name='x'>{SEND}\n<recv response='200' optional='true' timeout='1500' rtd='true'/>"
        "<recv response='486' next='1'/><pause milliseconds='250'/><label id='1'/></scenario>"
    )
    send, first, second, pause, _ = scenario.steps
    assert isinstance(send, Send)
    assert (send.method, send.repeat, scenario.answers) == ("OPTIONS", 0.0, False)
    assert isinstance(first, Recv)
    assert (first.optional, first.wait, first.watches.ends) == (True, 1.5, ("1",))
    assert isinstance(second, Recv)
    assert (second.turn.to, scenario.labels) == ("1", {"1": 4})
    assert isinstance(pause, Pause)
    assert pause.a == 0.25


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<sendCmd/>", "line 2: <sendcmd> is not done here."),
        (
            f"{SEND}<nop>\n<action><exec command='rm -rf /'/></action></nop>",
            "command of <exec> is not done here",
        ),
        (f"{SEND}<recv response='200' request='BYE'/>", "either a request or a response"),
        (f"{SEND}<recv response='2xx'/>", "'2xx' is no status"),
        (f"{SEND}<recv response='200' next='nowhere'/>", "There is no label nowhere."),
        (f"{SEND}<label id='a'/><label id='a'/>", "The label a is there twice."),
        (f"{SEND}<pause milliseconds='soon'/>", "milliseconds is a number"),
        (f"{SEND}<pause distribution='gamma' k='1'/>", "'gamma' are not done here"),
        (f"{SEND}<recv response='200' colour='red'/>", "colour of <recv> is not done here."),
        ("<send><![CDATA[ hello ]]></send>", "A message begins with a request or a status line"),
        ("<send></send>", "It has no message."),
        ("<send><![CDATA[OPTIONS sip:[nobody] SIP/2.0]]></send>", "[nobody] is not a keyword"),
        (
            "<recv request='INVITE'><action><ereg regexp='(' assign_to='1'/></action></recv>",
            "regular expression",
        ),
        (
            "<recv request='INVITE'><action><ereg regexp='a' assign_to='1,2'/></action></recv>",
            "more variables",
        ),
        ("", "Nothing is sent or received."),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_line(body: str, said: str) -> None:
    found = problems(body)
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("line ") for problem in found)


def test_a_file_that_bombs_or_reads_others_is_refused() -> None:
    bomb = "<!DOCTYPE s [<!ENTITY a 'aaaa'>]><scenario>&a;</scenario>"
    with pytest.raises(NotSipp, match="The entity a is not read"):
        read_scenario(bomb)
    outside = "<!DOCTYPE s [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><scenario>&a;</scenario>"
    with pytest.raises(NotSipp, match="The entity a is not read"):
        read_scenario(outside)
    with pytest.raises(NotSipp, match="deeper"):
        read_scenario("<scenario>" + "<a>" * 50)
    with pytest.raises(NotSipp, match="line 1"):
        read_scenario("no xml at all")
    with pytest.raises(NotSipp, match="at most"):
        read_scenario(" " * (2 << 20))


def test_the_longest_match_counts_and_has_its_groups() -> None:
    assert Search("a|ab")("xab") == ["ab"], "leftmost and longest, as POSIX has it"
    assert Search("o=([[:alnum:]]*) ([0-9]+)")("v=0\r\no=me 17\r\n") == ["o=me 17", "me", "17"]
    assert Search("A.*", ignore_case=True)("x\na1\r\nb") == ["a1\r\nb"], "a dot is any character"
    assert Search("q")("xab") is None
    with pytest.raises(SearchError):
        Search("(")


def test_injection_files_are_taken_in_their_order() -> None:
    found = read_injection("a.csv", "SEQUENTIAL\n1001;secret\\;x\n# no line\n1002;b\n")
    assert [found.field(found.line_for(call, lambda _: 0), 0) for call in (1, 2, 3)] == [
        "1001",
        "1002",
        "1001",
    ]
    assert (found.field(0, 1), found.field(0, 7)) == ("secret;x", "")
    assert read_injection("a", "RANDOM\na\nb\n").line_for(5, lambda below: below - 1) == 1
    for wrong in ("", "1;2\n", "SEQUENTIAL\n", "SEQUENTIAL,PRINTF=3\na\n"):
        with pytest.raises(InjectionError, match="line"):
            read_injection("a", wrong)


def test_what_is_no_capture_is_refused() -> None:
    for wrong in (b"", b"RIFF" + bytes(40), b"\xd4\xc3\xb2\xa1" + bytes(20)):
        with pytest.raises(CaptureError):
            read_capture(wrong)
