from __future__ import annotations

from callwright.net.clock import ManualClock
from callwright.net.records import NoRecords
from callwright.outcome.terms import Verdict
from callwright.probe.names import compared, expected, fingerprint, look_up
from callwright.probe.result import ProbeResult, State


async def asked(*answers: str) -> ProbeResult:
    clock = ManualClock()

    async def lookup(name: str) -> tuple[str, ...]:
        clock.advance(0.030)
        return answers

    return await look_up("example.com", clock, lookup)


async def test_records_are_told_with_how_long_they_took() -> None:
    found = await asked("A 192.0.2.1", "SRV _sip._udp 10 60 5060 a.example.com.")
    assert (found.state, found.verdict, found.reason) == (State.DONE, Verdict.PASSED, "2 records in 30 ms.")
    assert found.answers == ("A 192.0.2.1", "SRV _sip._udp 10 60 5060 a.example.com.")


async def test_the_fingerprint_tells_a_change_and_no_other_order() -> None:
    assert fingerprint(("A 192.0.2.1", "A 192.0.2.2")) == fingerprint(("A 192.0.2.2", "A 192.0.2.1"))
    assert fingerprint(("A 192.0.2.1",)) != fingerprint(("A 192.0.2.3",))


async def test_a_name_without_address_or_service_failed() -> None:
    found = await asked()
    assert (found.state, found.verdict) == (State.FAILED, Verdict.FAILED)
    assert "neither an address nor a SIP service" in found.reason


async def test_a_name_that_does_not_exist_failed_with_the_reason() -> None:
    async def lookup(name: str) -> tuple[str, ...]:
        raise NoRecords(f"The name {name} does not exist.")

    found = await look_up("no.example.com", ManualClock(), lookup)
    assert (found.verdict, found.reason) == (Verdict.FAILED, "The name no.example.com does not exist.")


async def test_a_change_of_records_is_told_and_is_no_failure() -> None:
    found = compared(await asked("A 192.0.2.2", "A 192.0.2.3"), ("A 192.0.2.1", "A 192.0.2.2"))
    assert (found.verdict, found.changed) == (Verdict.PASSED, True)
    assert found.reason == "The records changed (new: A 192.0.2.3; gone: A 192.0.2.1)."
    assert compared(await asked("A 192.0.2.2"), ("A 192.0.2.2",)).changed is False


async def test_records_that_are_not_those_expected_fail() -> None:
    found = await asked("A 192.0.2.2")
    assert expected(found, found.fingerprint) is found
    assert expected(found, "0" * 16).verdict is Verdict.FAILED
