from __future__ import annotations

from callwright.control.web import guide
from callwright.control.web.guide import (
    DONE,
    NOW,
    TRYING,
    WAITING,
    WRONG,
    AccountForm,
    Guide,
    Permission,
    Tried,
)
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Failure, Verdict
from callwright.scenario import catalogue
from callwright.scenario.document import load

ACCOUNTS = (AccountForm("alice", "4101", "4101@pbx"), AccountForm("bob", "4102", "4102@pbx"))
AIMED = Guide(test="basic_call", host="pbx.example.com")
NEAR = Permission(False, "It is near.")
FAR = Permission(True, "It is far.")


def states(
    found: Guide,
    permission: Permission | None = NEAR,
    options: Tried | None = None,
    register: Tried | None = None,
) -> list[str]:
    steps = guide.path(found, permission=permission, options=options, register=register)
    return [step.state for step in steps]


def asked(verdict: Verdict = Verdict.PASSED, failure: Failure | None = None) -> Tried:
    request = RequestOutcome(verdict=verdict, reason="No such name.", sip_code=200, round_trip_ms=12.0)
    failed = RequestOutcome(verdict=verdict, reason="No such name.", failure=failure)
    return Tried("a", 1, 0.0, RunOutcome(verdict=verdict, requests=(failed if failure else request,)))


def registered(*codes: int) -> Tried:
    ones = tuple(
        RegistrationOutcome(
            verdict=Verdict.PASSED if code == 200 else Verdict.FAILED,
            reason=f"refused with {code}",
            sip_code=code,
            party=account.party,
            registered_ms=40.0,
        )
        for account, code in zip(ACCOUNTS, codes, strict=True)
    )
    verdict = Verdict.PASSED if set(codes) == {200} else Verdict.FAILED
    return Tried("b", 2, 0.0, RunOutcome(verdict=verdict, registrations=ones))


def test_one_step_is_open_and_those_after_it_wait() -> None:
    assert states(Guide(), None) == [NOW, WAITING, WAITING, WAITING]
    assert states(AIMED, options=Tried("a", 1, 0.0)) == [TRYING, WAITING, WAITING, WAITING]
    assert states(AIMED, options=asked()) == [DONE, NOW, WAITING, WAITING]
    known = AIMED.with_accounts(ACCOUNTS)
    assert states(known, options=asked(), register=registered(200, 200)) == [DONE, DONE, DONE, NOW]


def test_a_step_that_fails_stops_those_after_it_and_says_it_at_its_field() -> None:
    steps = guide.path(AIMED, permission=NEAR, options=asked(Verdict.FAILED, Failure.UNRESOLVED))
    assert [step.state for step in steps] == [WRONG, WAITING, WAITING, WAITING]
    assert steps[0].wrong == {"host": "DNS has no such name"}
    steps = guide.path(
        AIMED.with_accounts(ACCOUNTS), permission=NEAR, options=asked(), register=registered(200, 403)
    )
    assert [step.state for step in steps] == [DONE, WRONG, WAITING, WAITING]
    assert steps[1].wrong == {"password-bob": "Refused with 403"}
    assert "4101 registered in 40 ms." in steps[1].notes


def test_nothing_is_sent_to_a_host_before_it_is_permitted() -> None:
    assert states(AIMED, FAR) == [DONE, NOW, WAITING, WAITING]
    steps = guide.path(AIMED.with_accounts(ACCOUNTS), permission=FAR)
    assert [step.state for step in steps] == [DONE, DONE, NOW, WAITING]
    assert "Nothing was sent" in steps[0].said


def test_another_target_forgets_what_was_found_at_the_old_one() -> None:
    found = Guide(
        test="t", host="a", accounts=ACCOUNTS, options_run="1", register_run="2", call_run="3", began_at=5.0
    )
    assert found.with_target("t", "b", "udp") == Guide(test="t", host="b", began_at=5.0)
    assert found.with_target("t", "a", "udp") == found
    assert Guide.read(found.written()) == found
    assert Guide.read("{") == Guide()


def test_the_documents_that_it_leaves_can_be_read_whatever_the_host() -> None:
    for host in ("pbx.example.com", "192.0.2.10:5080", "[2001:db8::1]:5061"):
        accounts = [
            AccountForm(p, u, guide.credential_name(u, host))
            for p, u in (("alice", "41 01"), ("bob", "+43#1"))
        ]
        assert load(guide.options_document(host, "tcp")).target == host
        registering = load(guide.register_document(host, "udp", accounts))
        assert [a.party for a in registering.actions()] == ["alice", "bob"]
        text = guide.aimed(
            catalogue.text("basic_call"), f"basic_call_{guide.slug(host)}", host, "tls", accounts
        )
        aimed = load(text)
        assert (aimed.target, aimed.transport, aimed.title) == (host, "tls", f"Basic call at {host}")
        assert aimed.parties["bob"].credentials == guide.credential_name("+43#1", host)
        assert "# 1: Alice calls" in text


def test_a_host_is_told_from_its_port() -> None:
    assert [guide.host_of(p) for p in ("a.b:5080", "a.b", "[::1]:5060", "[::1]", "192.0.2.1:5")] == [
        "a.b",
        "a.b",
        "[::1]",
        "[::1]",
        "192.0.2.1",
    ]
