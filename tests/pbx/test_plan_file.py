"""The plan of a PBX as a file: what it says, what it cannot say, and the way back."""

from __future__ import annotations

import pytest

from callwright.pbx.accounts import Forwarding, PbxAccount
from callwright.pbx.explain import explain
from callwright.pbx.plan import (
    ConferenceRoom,
    EchoTest,
    Hunt,
    InboundNumber,
    Menu,
    MessageCenter,
    OutboundRoute,
    ParkingSlot,
    PbxPlan,
    Pickup,
    Queue,
    RingGroup,
    Trunk,
)
from callwright.pbx.plan_file import PlanError, read_plan, write_plan

TEXT = """
users:
  1001: {password: no, display_name: Alice Adams, forwarding: {no_answer: 1002, after: 15}}
  1002: other secret
  carol: {password: x, extension: 0013, do_not_disturb: yes, mailbox: yes, direct: yes, greeting: [mine.wav]}
groups:
  600: {name: Sales, members: [1001, 1002], hunt: in_order, seconds: 12, otherwise: 0013}
menus:
  500: {prompts: [welcome.wav], keys: {1: 600, 2: "voicemail:carol"}, tries: 2, otherwise: 1001, direct: yes}
queues:
  700: {members: [1001], name: Help, longest: 120, most: 9, music: [tone], otherwise: 500}
conferences:
  800: {name: Monday, pin: 0042, most: 5}
parking: {701: {seconds: 60}, 702: }
pickups: {"*8": }
echoes: {"*43": {}}
message_centers: {"*97": }
music: [music]
trunks:
  carrier:
    {uri: "sip:carrier.example;transport=tcp", username: me, password: s, register: yes,
     direct: yes, sources: [192.0.2.9]}
  other: {uri: "sip:other.example", caller: 431000}
outbound:
  abroad:
    {prefix: 00, strip: 2, prepend: +, shortest: 6, longest: 20, trunks: [carrier, other], users: [1001]}
inbound: {+431234: 500, 431235: {to: 1001, trunk: other}}
"""
PLAN = PbxPlan(
    (
        PbxAccount("1001", "no", "Alice Adams", forwarding=Forwarding(no_answer="1002", after=15)),
        PbxAccount("1002", "other secret"),
        PbxAccount(
            "carol",
            "x",
            extension="0013",
            do_not_disturb=True,
            mailbox=True,
            direct=True,
            greeting=("mine.wav",),
        ),
    ),
    (RingGroup("600", ("1001", "1002"), "Sales", Hunt.IN_ORDER, 12, "0013"),),
    menus=(
        Menu(
            "500",
            (("1", "600"), ("2", "voicemail:carol")),
            ("welcome.wav",),
            tries=2,
            otherwise="1001",
            direct=True,
        ),
    ),
    queues=(Queue("700", ("1001",), "Help", longest=120, most=9, music=("tone",), otherwise="500"),),
    conferences=(ConferenceRoom("800", "Monday", "0042", 5),),
    parking=(ParkingSlot("701", 60), ParkingSlot("702")),
    pickups=(Pickup("*8"),),
    echoes=(EchoTest("*43"),),
    message_centers=(MessageCenter("*97"),),
    music=("music",),
    trunks=(
        Trunk(
            "carrier",
            "sip:carrier.example;transport=tcp",
            "me",
            "s",
            register=True,
            sources=("192.0.2.9",),
            direct=True,
        ),
        Trunk("other", "sip:other.example", caller="431000"),
    ),
    outbound=(OutboundRoute("abroad", ("carrier", "other"), "00", 2, "+", 6, 20, ("1001",)),),
    inbound=(InboundNumber("+431234", "500"), InboundNumber("431235", "1001", "other")),
)


def test_file_is_read_with_numbers_and_words_as_they_are_written() -> None:
    assert read_plan(TEXT) == PLAN
    assert PLAN.problems() == []


def test_plan_that_is_written_is_read_back_the_same() -> None:
    assert read_plan(write_plan(PLAN)) == PLAN
    assert read_plan(write_plan(PbxPlan())) == PbxPlan()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- 1", "the file: a mapping"),
        ("users: [1001]", "users: a mapping"),
        ("users: {1001: {display_name: A}}", "users 1001: password is missing"),
        ("users: {1001: {password: a, colour: red}}", "users 1001: 'colour' is not known"),
        ("users: {1001: {password: a, do_not_disturb: maybe}}", "do_not_disturb is yes or no, not 'maybe'"),
        ("users: {1001: {password: a, forwarding: {after: soon}}}", "after is a number of seconds"),
        ("users: {1001: {password: a, forwarding: {after: 0}}}", "users 1001: Forwarding without an answer"),
        ("users: {1001: {password: a, forwarding: {to: 1}}}", "users 1001, forwarding: 'to' is not known"),
        ("groups: {600: {members: []}}", "groups 600: members is a list"),
        ("groups: {600: {members: [1], hunt: random}}", "hunt is one of all, in_order, not 'random'"),
        ("groups: {600: {members: [1], seconds: 9999}}", "groups 600: The group 600 rings for 1 to 600 s"),
        ("users: {600: a}\ngroups: {600: {members: [600]}}", "The number '600' belongs to two"),
        ("users: {a: {password: x, extension: b}, b: y}", "The number 'b' belongs to two"),
        ("menus: {500: {}}", "menus 500, keys is a mapping"),
        ("menus: {500: {keys: {x: 1}}}", "has a key 'x'"),
        ("menus: {500: {keys: {1: 2}, tries: many}}", "tries is a number, not 'many'"),
        ("menus: {500: {keys: {1: 2}, tries: 99}}", "1 to 10 tries"),
        ("conferences: {800: {most: 1}}", "2 to 100 places"),
        ("queues: {700: {members: [1], longest: 0}}", "for 1 s to 4 h"),
        ("queues: {700: {members: [1], most: 0}}", "1 to 1000 places"),
        ("echoes: {900: {loud: yes}}", "echoes 900: 'loud' is not known"),
        ("trunks: {a: {uri: nowhere}}", "trunks a: The trunk a has no SIP URI"),
        ("trunks: {a: {uri: 'sip:a.example', register: yes}}", "registers, and has no username"),
        ("inbound: {1: {trunk: a}}", "inbound 1: to is missing"),
        ("menues: {}", "the file: 'menues' is not known"),
        ("users: [", "line 1"),
    ],
)
def test_mistake_in_a_file_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(PlanError) as raised:
        read_plan(text)
    assert sentence in str(raised.value)


def test_numbers_and_users_that_do_not_exist_are_named() -> None:
    plan = read_plan(
        "users: {1001: {password: a, forwarding: {busy: 99}}}\n"
        "groups: {600: {members: [1001, 77], otherwise: 88}}"
    )
    assert plan.problems() == [
        "account 1001, forwarding: '99' is not a number of this PBX.",
        "group 600: '88' is not a number of this PBX.",
        "group 600: no account '77'.",
    ]


def test_trunks_that_do_not_exist_are_named_and_numbers_outside_exist() -> None:
    plan = read_plan(
        "users: {1: {password: a, forwarding: {busy: 0049}}}\n"
        "outbound: {all: {prefix: 00, trunks: [b]}}\n"
        "inbound: {9: {to: 1, trunk: c}, 8: 77}"
    )
    assert plan.problems() == [
        "inbound number 8: '77' is not a number of this PBX.",
        "outbound route all: no trunk 'b'.",
        "inbound number 9: no trunk 'c'.",
    ]


def test_way_of_a_number_is_explained_rule_by_rule() -> None:
    assert explain(PLAN, "600") == [
        "600: group Sales, rings 1001, 1002 in order, 12 s each",
        "  if nobody answers:",
        "    0013: account carol, do not disturb: busy",
        "      if busy, declined or do not disturb:",
        "        voicemail: the caller leaves a message",
        "      if there is no answer within 20 s:",
        "        voicemail: the caller leaves a message",
        "      if no phone is reachable:",
        "        voicemail: the caller leaves a message",
    ]
    assert explain(PLAN, "1001") == [
        "1001: account 1001 (Alice Adams), rings all its phones at once",
        "  if there is no answer within 15 s:",
        "    1002: account 1002, rings all its phones at once",
    ]
    assert explain(PLAN, "500")[:5] == [
        "500: menu, answers and waits for a key",
        "  if key 1:",
        "    600: group Sales, rings 1001, 1002 in order, 12 s each",
        "      if nobody answers:",
        "        0013: account carol, do not disturb: busy",
    ]
    for number, words in {
        "700": "queue Help, answers with music until one of 1001 is free",
        "800": "conference Monday, at most 5 participants, asks for its PIN",
        "*43": "echo, answers and sends back what it hears",
        "*97": "message center, answers and plays the messages of whoever calls",
        "701": "parking slot, connects with the call that waits here; 404 when none does",
        "*8600": "pick-up, followed by the number that rings",
    }.items():
        assert explain(PLAN, number)[0] == f"{number}: {words}"
    assert explain(PLAN, "0049123", "1001") == [
        "0049123: outbound route abroad, +49123 by carrier, then other"
    ]
    assert explain(PLAN, "0049123")[0].endswith("no account and no service has this number")
    assert explain(PLAN, "4711") == ["4711: 404 Not Found, no account and no service has this number"]


def test_circle_of_forwardings_is_explained_without_end() -> None:
    plan = read_plan(
        "users: {1: {password: a, forwarding: {always: 2}}, 2: {password: a, forwarding: {always: 1}}}"
    )
    assert len(explain(plan, "1")) < 20
