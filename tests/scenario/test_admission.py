"""The gate before DNS: every host that packets would go to, whatever names it."""

from __future__ import annotations

import pytest

from callwright.policy.destination import Rules, Target, parse_allow
from callwright.policy.remedy import Remedy, RemedyKind
from callwright.scenario.admission import Barred, admit
from callwright.scenario.document import load

RULES = Rules(targets=(parse_allow("permitted.test"), parse_allow("192.0.2.10")))


def barred(uri: str, *, account: str = "", rules: Rules = RULES, keys: str = "") -> Barred | None:
    test = load(
        "name: one\n"
        f"parties: {{alice: {{user: '1', domain: permitted.test{account}}}}}\n"
        f"steps: [[call: {{from: alice, dial_destination: '{uri}'{keys}}}]]\n"
    )
    return admit(test, rules).barred


@pytest.mark.parametrize(
    "uri",
    [
        "sip:x@8.8.8.8",
        "sip:x@permitted.test;maddr=8.8.8.8",
        "sip:x@permitted.test;maddr=%38.8.8.8",
        "sip:x@permitted.test;%6D%61ddr=%2538.8.8.8",
        "sip:x@permitted.test;maddr=[::ffff:8.8.8.8]",
        "sip:x@8.8.8.8;maddr=permitted.test",
        "sip:x@192.0.2.10;transport=tcp;MADDR=8.8.8.8",
    ],
)
def test_no_part_of_a_uri_leads_to_a_stranger(uri: str) -> None:
    found = barred(uri)
    assert found is not None
    assert found.address == "step.0.0"
    assert found.decision.remedy == Remedy(RemedyKind.PERMIT_PLACE, "8.8.8.8")


def test_a_refused_maddr_is_told_beside_the_host_that_was_read() -> None:
    found = barred("sip:x@permitted.test;maddr=8.8.8.8")
    assert found is not None
    assert found.decision.reason.startswith(
        "The maddr of permitted.test sends requests to 8.8.8.8. 8.8.8.8 is not permitted: "
    )


@pytest.mark.parametrize(
    "uri",
    [
        "sip:x@permitted.test",
        "sip:x@permitted.test;maddr=192.0.2.10",
        "sip:x@192.0.2.10;maddr=permitted.test",
        "sip:x@permitted.test;maddr=10.0.0.1",
        "sip:x@unknown.test",  # DNS has to answer first
    ],
)
def test_permitted_places_and_names_without_addresses_pass(uri: str) -> None:
    assert barred(uri) is None


def test_a_proxy_is_asked_about_as_the_destination_is() -> None:
    found = barred("sip:x@permitted.test", account=", proxy: 8.8.8.8")
    assert found is not None
    assert found.decision.remedy == Remedy(RemedyKind.PERMIT_PLACE, "8.8.8.8")


def test_a_number_that_hurts_is_refused_at_every_place_with_the_rule_that_would_permit_it() -> None:
    found = barred("112")
    assert found is not None
    assert found.decision.remedy == Remedy(RemedyKind.PERMIT_NUMBER, "permitted.test", "112")
    number = Target(host="permitted.test", number="112")
    assert barred("112", rules=Rules(targets=(*RULES.targets, number))) is None


def test_load_goes_to_no_private_range_that_is_not_named() -> None:
    assert barred("sip:x@10.0.0.1") is None
    assert barred("sip:x@10.0.0.1", keys=", load: yes") is not None


def test_each_place_tells_the_target_whose_caps_hold() -> None:
    capped = (Target(host="permitted.test", rate=1.0), Target(network="192.0.2.10/32", rate=2.0))
    test = load(
        "name: one\n"
        "parties: {alice: {user: '1', domain: permitted.test}}\n"
        "steps: [[call: {from: alice, dial_destination: 'sip:x@permitted.test;maddr=192.0.2.10'}]]\n"
    )
    admission = admit(test, Rules(targets=capped))
    assert set(admission.targets) == {("step.0.0", capped[0]), ("step.0.0", capped[1])}
