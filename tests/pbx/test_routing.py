from __future__ import annotations

import pytest

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.registrar import Registrar
from callwright.pbx.routing import Refuse, Ring, Route, Strategy, route
from callwright.sip.headers import Headers
from callwright.sip.message import Request
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import Uri

FLOW = Hop(Transport.UDP, Address("192.0.2.1", 5060), Address("192.0.2.50", 5070))
ACCOUNTS = PbxAccounts(
    "pbx.test",
    [PbxAccount("1001", "s"), PbxAccount("1002", "s")],
    also=["192.0.2.1", "2001:db8::1"],
    ports=[5060],
)


def registrar(*contacts: str) -> Registrar:
    registrar = Registrar(ACCOUNTS)
    headers = Headers(
        [
            ("To", "<sip:1001@pbx.test>"),
            ("From", "<sip:1001@pbx.test>;tag=1"),
            ("Call-ID", "c"),
            ("CSeq", "1 REGISTER"),
            *(("Contact", contact) for contact in contacts),
        ]
    )
    request = Request("REGISTER", "sip:pbx.test", headers)
    assert registrar.register(request, FLOW, authenticated_as="1001", now=0).status == 200
    return registrar


def dial(target: str, *contacts: str, now: float = 0.0, strategy: Strategy = Strategy.ALL) -> Route:
    return route(Uri.parse(target), ACCOUNTS, registrar(*contacts), now, strategy=strategy)


def groups(ring: Route) -> list[list[str]]:
    assert isinstance(ring, Ring)
    return [[str(binding.contact) for binding in group] for group in ring.groups]


@pytest.mark.parametrize(
    "target",
    ["sip:1001@pbx.test", "sip:1001@192.0.2.1:5060;user=phone", "sip:1001@[2001:db8::1]", "tel:1001"],
)
def test_an_account_is_rung_where_it_registered(target: str) -> None:
    ring = dial(target, "<sip:1001@192.0.2.50:5070>")
    assert isinstance(ring, Ring)
    assert ring.account is not None
    assert ring.account.user == "1001"
    assert groups(ring) == [["sip:1001@192.0.2.50:5070"]]


CONTACTS = ("<sip:a@192.0.2.50>;q=0.2", "<sip:b@192.0.2.50>", "<sip:c@192.0.2.50>;q=0.2")


def test_all_contacts_ring_at_once() -> None:
    assert groups(dial("sip:1001@pbx.test", *CONTACTS)) == [
        ["sip:b@192.0.2.50", "sip:a@192.0.2.50", "sip:c@192.0.2.50"]
    ]


def test_contacts_ring_by_preference_where_wanted() -> None:
    assert groups(dial("sip:1001@pbx.test", *CONTACTS, strategy=Strategy.BY_Q)) == [
        ["sip:b@192.0.2.50"],
        ["sip:a@192.0.2.50", "sip:c@192.0.2.50"],
    ]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("sip:1003@pbx.test", 404),
        ("sip:pbx.test", 404),
        ("tel:+431234", 404),
        ("sip:1002@pbx.test", 480),
        ("sip:1001@carrier.example", 403),
        ("sip:1001@192.0.2.1:5090", 403),
        ("mailto:1001@pbx.test", 416),
    ],
)
def test_who_cannot_be_rung_is_told_why(target: str, status: int) -> None:
    refusal = dial(target, "<sip:1001@192.0.2.50>")
    assert isinstance(refusal, Refuse)
    assert refusal.status == status


def test_an_expired_contact_is_not_rung() -> None:
    refusal = dial("sip:1001@pbx.test", "<sip:1001@192.0.2.50>;expires=60", now=60)
    assert isinstance(refusal, Refuse)
    assert refusal.status == 480
