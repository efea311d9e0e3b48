"""From a call of a test document to the engine: its plan, messages and thresholds; and back to run.json."""

from __future__ import annotations

import re
from typing import Any

import pytest

from callwright.generator.names import COUNTERS
from callwright.load.accounts import parse_accounts
from callwright.load.action import plan_of, series_of, thresholds_of, wishes_of_accept, wishes_of_call
from callwright.load.document import Flow
from callwright.load.messages import Wording, caller_messages
from callwright.load.plan import Plan, Stage
from callwright.load.preparation import CannotLoad, Wishes, capped_configs, dialled, locate, loop_configs
from callwright.load.statistics import Snapshot, second_of
from callwright.load.verdict import judge
from callwright.policy.destination import Rules, Target, parse_allow
from callwright.scenario.actions import Accept, Call
from callwright.scenario.document import load
from callwright.scenario.load_condition import LoadCondition
from callwright.scenario.scenario import Scenario
from callwright.sip.transport import Address


def scenario(parameters: str, *conditions: str, party: str = "") -> Scenario:
    written = "".join(f"  - {condition}\n" for condition in conditions)
    return load(
        "name: many\ntarget: 192.0.2.1\n"
        f"parties: {{alice: {{user: 4101, password: secret{party}}}, bob: }}\nsteps:\n"
        "  - - accept: {party: bob, reject: 486, load: yes}\n"
        f"  - - call: {{from: alice, to: '{{number}}', load: yes, {parameters}}}\n"
        + (f"conditions:\n{written}" if written else "")
    )


def call_of(document: Scenario) -> Call:
    (found,) = [action for action in document.actions() if isinstance(action, Call)]
    return found


def judged_by(document: Scenario, **counts: int) -> tuple[str, str | None, str]:
    conditions = [c for c in document.conditions if isinstance(c, LoadCondition)]
    total = Snapshot([counts.get(name, 0) for name in COUNTERS])
    judgement = judge(total, total, fail_if=thresholds_of(call_of(document), conditions), seconds=3)
    return judgement.verdict, judgement.blame, judgement.reason


@pytest.mark.parametrize(
    ("parameters", "plan"),
    [
        ("call_rate: 50, max_total_calls: 900, concurrent: 7", Plan((Stage(50, 50),), 900, 7)),
        ("ramp: 5:20:4", Plan((Stage(5, 20, 4), Stage(20, 20)), 50)),
        ("ramp: 20:0:4", Plan((Stage(20, 0, 4),), 40)),
    ],
)
def test_the_plan_is_that_of_the_call(parameters: str, plan: Plan) -> None:
    assert plan_of(call_of(scenario(parameters))) == plan


def test_each_call_says_what_the_document_says() -> None:
    document = scenario(
        "max_duration: 3 s, ring_timeout: 20 s, cancel_after: 2 s, codecs: [PCMA], headers: {X-A: b}, "
        'caller_id: \'"Desk \\"1\\"" <4999>\'',
        party=", proxy: 192.0.2.9",
    )
    call, account = call_of(document), document.account("alice")
    wishes = wishes_of_call(
        call, account, document.uri(call.dial_destination, account), rules=Rules(), accounts=None
    )
    assert (wishes.hold, wishes.ring_for, wishes.flow.cancel_after) == (3.0, 20.0, 2.0)
    assert (wishes.codec, wishes.media, wishes.headers) == ("PCMA", "ports", (("X-A", "b"),))
    assert (wishes.from_, wishes.proxy) == ("sip:4999@192.0.2.1", "192.0.2.9")
    assert wishes.accounts is not None
    assert wishes.accounts.rows == ((b"4101", b"secret"),)


def test_columns_of_the_accounts_stand_in_the_document() -> None:
    document = scenario("media: no")
    call, account = call_of(document), document.account("alice")
    accounts = parse_accounts("username,password,number\n1001,a,0043\n")
    uri = document.uri(call.dial_destination, account)
    wishes = wishes_of_call(call, account, uri, rules=Rules(), accounts=accounts)
    assert wishes.uri == "sip:{number}@192.0.2.1"
    assert wishes.from_ == "sip:{username}@192.0.2.1"


def test_every_number_that_a_column_dials_is_asked_about() -> None:
    accounts = parse_accounts("username,number\n1001,4711\n1002,112\n")
    assert dialled("sip:{number}@127.0.0.1", accounts) == ["4711", "112"]
    assert dialled("sip:x@127.0.0.1", accounts) == ["x"]
    with pytest.raises(CannotLoad, match="112 is an emergency number"):
        locate("sip:{number}@127.0.0.1", dialled("sip:{number}@127.0.0.1", accounts), Rules())


ACCOUNTS = parse_accounts(
    "username,number,server,odd\n1001,4711,127.0.0.1,1\n1002,4712,203.0.113.9,112@x\n1003,4713,127.0.0.1,1\n"
)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"uri": "sip:x@127.0.0.1;maddr=203.0.113.9"}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:x@203.0.113.9;maddr=127.0.0.1"}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:x@203.0.113.9", "proxy": "127.0.0.1"}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:x@none.invalid", "proxy": "127.0.0.1"}, "none.invalid is not permitted by name"),
        ({"uri": "sip:112@localhost", "proxy": "127.0.0.1"}, "112 is an emergency number"),
        ({"uri": "sip:{number}@{server}"}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:{number}@{server}", "proxy": "127.0.0.1"}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:{odd}@127.0.0.1"}, "a load needs a SIP URI"),
        ({"uri": "sip:127.0.0.1", "flow": Flow(to="sip:x@203.0.113.9")}, "203.0.113.9 is not permitted"),
        ({"uri": "sip:127.0.0.1", "flow": Flow(to="sip:112@127.0.0.1")}, "112 is an emergency number"),
        ({"uri": "sip:127.0.0.1", "flow": Flow(to="sip:{number}@{server}")}, "203.0.113.9 is not permitted"),
    ],
)
def test_no_part_of_a_load_leads_to_a_stranger(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(CannotLoad, match=re.escape(told)):
        loop_configs(Wishes(**settings, accounts=ACCOUNTS))


def test_a_load_goes_to_one_address() -> None:
    both = Rules(targets=(parse_allow("203.0.113.9"),))
    with pytest.raises(CannotLoad, match="lead to 2 addresses"):
        loop_configs(Wishes(uri="sip:{number}@{server}", accounts=ACCOUNTS, rules=both))
    wishes = Wishes(uri="sip:{number}@{server}", accounts=ACCOUNTS, rules=both, proxy="127.0.0.1:5070")
    (config,), remote = loop_configs(wishes)
    assert remote == config.remote == Address("127.0.0.1", 5070)


def test_the_caps_of_proxy_and_target_hold_for_a_load() -> None:
    home, way = Target(host="203.0.113.9", rate=1), Target(network="127.0.0.1/32", rate=2)
    wishes = Wishes(uri="sip:x@203.0.113.9", proxy="127.0.0.1", rules=Rules(targets=(home, way)))
    _, _, targets = capped_configs(wishes)
    assert set(targets) == {home, way}


def test_our_own_pbx_is_permitted_to_a_load_with_its_port_alone() -> None:
    hosted = Rules(own=(("127.0.0.1", 5070),), embedded=False)
    (config,), _ = loop_configs(Wishes(uri="sip:x@127.0.0.1:5070", rules=hosted))
    assert (config.networks, config.own, config.near) == ((), (Address("127.0.0.1", 5070),), False)


def test_a_display_name_is_quoted() -> None:
    words = Wording(local="127.0.0.1:5060", salt=1, caller="sip:a@b", display_name='Desk "1"')
    text = b"".join(part for _, part in caller_messages(words)["invite"] if isinstance(part, bytes))
    assert b'From: "Desk \\"1\\"" <sip:a@b>;tag=cw' in text


def test_an_accept_answers_as_it_says() -> None:
    (accept,) = [a for a in scenario("media: no").actions() if isinstance(a, Accept)]
    wishes = wishes_of_accept(accept, scenario("media: no").account("bob"), "127.0.0.1", rules=Rules())
    assert (wishes.reject, wishes.silent, wishes.contact_user) == (486, True, "bob")
    assert [threshold.metric for threshold in thresholds_of(accept, ())] == ["attempted"]


def test_one_failed_call_fails_a_load_without_conditions() -> None:
    verdict, blame, reason = judged_by(scenario("media: no"), attempted=10, answered=9, timeout=1)
    assert (verdict, blame, reason) == ("failed", "target", "1 of 10 calls failed (timeout: 1)")


def test_a_condition_on_failures_takes_its_place() -> None:
    document = scenario("media: no", "caller.failed <= 10 %")
    assert judged_by(document, attempted=10, answered=9, timeout=1)[0] == "passed"
    verdict, _, reason = judged_by(document, attempted=10, answered=8, timeout=2)
    assert (verdict, reason) == (
        "failed",
        "2 of 10 calls failed (timeout: 2), where at most 10 % was asked for",
    )


def test_what_was_not_measured_does_not_hold() -> None:
    document = scenario("media: no", "caller.pdd_p95 < 1 s")
    verdict, blame, _ = judged_by(document, attempted=1, answered=1)
    assert (verdict, blame) == ("failed", "test")


def test_long_series_are_put_together() -> None:
    delta = Snapshot([2 if name in ("attempted", "answered") else 0 for name in COUNTERS])
    seconds = [
        second_of(delta, at=n + 1.0, span=1.0, target_rate=2.0, cpu=1.0 if n == 3 else 0.1, latest_ms=0.0)
        for n in range(10)
    ]
    series = series_of(seconds, points=5)
    assert series["at"] == (2.0, 4.0, 6.0, 8.0, 10.0)
    assert series["attempted"] == (4, 4, 4, 4, 4)
    assert [bool(why) for why in series["limited"]] == [False, True, False, False, False]
