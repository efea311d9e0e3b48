from __future__ import annotations

import pytest

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.registrar import ChangeKind, Registered, Registrar
from callwright.sip.headers import Headers
from callwright.sip.message import Request
from callwright.sip.transport import Address, Hop, Transport

HERE = Address("192.0.2.1", 5060)
FLOW = Hop(Transport.UDP, HERE, Address("192.0.2.50", 5070))
PHONE = "<sip:1001@192.0.2.50:5070>"


def accounts() -> PbxAccounts:
    return PbxAccounts(
        "pbx.test",
        [PbxAccount("1001", "s1"), PbxAccount("1002", "s2"), PbxAccount("a b", "s3")],
        also=["192.0.2.1"],
        ports=[5060],
    )


class Line:
    """A phone that registers, and a registrar that hears it."""

    def __init__(self, registrar: Registrar | None = None) -> None:
        self.registrar = registrar or Registrar(accounts())
        self.cseq = 0

    def register(
        self,
        *contacts: str,
        now: float = 0.0,
        to: str = "<sip:1001@pbx.test>",
        sender: str = "<sip:1001@pbx.test>",
        cseq: int | None = None,
        call_id: str = "c1",
        expires: object = None,
        hop: Hop = FLOW,
        authenticated_as: str = "1001",
    ) -> Registered:
        self.cseq = cseq if cseq is not None else self.cseq + 1
        headers = Headers(
            [
                ("From", f"{sender};tag=1"),
                ("To", to),
                ("Call-ID", call_id),
                ("CSeq", f"{self.cseq} REGISTER"),
                ("User-Agent", "phone/1"),
                *(("Contact", contact) for contact in contacts),
                *([] if expires is None else [("Expires", str(expires))]),
            ]
        )
        request = Request("REGISTER", "sip:pbx.test", headers)
        return self.registrar.register(request, hop, authenticated_as=authenticated_as, now=now)

    def contacts(self, now: float = 0.0, user: str = "1001") -> list[str]:
        return [str(binding.contact) for binding in self.registrar.bindings(user, now)]


def kinds(result: Registered) -> list[ChangeKind]:
    return [change.kind for change in result.changes]


def test_a_contact_is_bound_and_told_its_time() -> None:
    line = Line()
    result = line.register(PHONE, expires=120)
    assert (result.status, result.headers) == (200, (("Contact", f"{PHONE};expires=120"),))
    assert kinds(result) == [ChangeKind.ADDED]
    binding = line.registrar.bindings("1001", 0)[0]
    assert (binding.user, binding.hop, binding.user_agent) == ("1001", FLOW, "phone/1")


def test_a_register_without_contact_only_asks() -> None:
    line = Line()
    assert line.register().headers == ()
    line.register(PHONE, expires=120)
    result = line.register(now=20.5)
    assert result.headers == (("Contact", f"{PHONE};expires=100"),)
    assert result.changes == ()


def test_a_binding_ends_at_its_time_and_not_before() -> None:
    line = Line()
    line.register(PHONE, expires=120)
    assert line.registrar.next_wake() == 120
    assert line.registrar.wake(119.9) == ()
    assert line.contacts(119.9) == ["sip:1001@192.0.2.50:5070"]
    assert line.contacts(120.0) == []
    assert [change.kind for change in line.registrar.wake(120.0)] == [ChangeKind.EXPIRED]
    assert line.registrar.next_wake() is None


def test_a_refresh_moves_the_end() -> None:
    line = Line()
    line.register(PHONE, expires=120)
    assert kinds(line.register(PHONE, expires=120, now=60)) == [ChangeKind.REFRESHED]
    assert line.contacts(179) != []
    assert line.registrar.bindings("1001", 61)[0].since == 0


@pytest.mark.parametrize(
    ("contact", "header", "granted"),
    [
        (f"{PHONE};expires=90", 300, 90),
        (PHONE, 300, 300),
        (PHONE, None, 3600),
        (f"{PHONE};expires=4294967295", None, 3600),
        (f"{PHONE};expires=soon", 300, 300),
        (f"{PHONE};expires=99999999999999999999", None, 3600),
        (PHONE, "soon", 3600),
    ],
)
def test_the_time_asked_for_is_granted_up_to_our_most(contact: str, header: object, granted: int) -> None:
    assert Line().register(contact, expires=header).headers[0][1] == f"{PHONE};expires={granted}"


def test_too_short_a_time_is_423_with_the_least() -> None:
    line = Line()
    result = line.register(PHONE, expires=59)
    assert (result.status, result.headers) == (423, (("Min-Expires", "60"),))
    assert line.contacts() == []


def test_zero_removes_one_contact() -> None:
    line = Line()
    line.register(PHONE, "<sip:1001@192.0.2.51>")
    result = line.register(f"{PHONE};expires=0")
    assert kinds(result) == [ChangeKind.REMOVED]
    assert line.contacts() == ["sip:1001@192.0.2.51"]
    assert line.register("<sip:1001@192.0.2.99>;expires=0").status == 200


def test_a_star_removes_all() -> None:
    line = Line()
    line.register(PHONE, "<sip:1001@192.0.2.51>")
    result = line.register("*", expires=0)
    assert (result.status, result.headers) == (200, ())
    assert kinds(result) == [ChangeKind.REMOVED] * 2
    assert line.contacts() == []


@pytest.mark.parametrize(("contacts", "expires"), [(["*"], None), (["*"], 60), (["*", PHONE], 0)])
def test_a_star_stands_alone_and_with_zero(contacts: list[str], expires: int | None) -> None:
    line = Line()
    line.register(PHONE)
    assert line.register(*contacts, expires=expires).status == 400
    assert line.contacts() != []


@pytest.mark.parametrize("cseq", [5, 4])
@pytest.mark.parametrize(
    ("contacts", "expires"), [([PHONE], None), ([f"{PHONE};expires=0"], None), (["*"], 0)]
)
def test_within_a_call_id_nothing_older_counts(contacts: list[str], expires: int | None, cseq: int) -> None:
    line = Line()
    line.register(PHONE, cseq=5, expires=100)
    assert line.register(*contacts, cseq=cseq, expires=expires, now=1).status == 500
    assert line.registrar.bindings("1001", 1)[0].expires_at == 100
    assert line.register(*contacts, cseq=1, call_id="after a restart", expires=expires).status == 200


def test_an_update_is_made_whole_or_not_at_all() -> None:
    line = Line()
    line.register(PHONE, cseq=5)
    assert line.register("<sip:1001@192.0.2.51>", PHONE, cseq=5).status == 500
    assert line.register("<sip:1001@192.0.2.51>", f"{PHONE};expires=3", cseq=6).status == 423
    assert line.contacts() == ["sip:1001@192.0.2.50:5070"]


def test_contacts_are_compared_as_uris() -> None:
    line = Line()
    line.register("<sip:%31001@PHONE.test;transport=udp>")
    line.register("<sip:1001@phone.TEST;transport=UDP>")
    assert len(line.contacts()) == 1
    line.register("<sip:1001@phone.test:5060;transport=udp>")
    assert len(line.contacts()) == 2


def test_a_device_that_comes_back_elsewhere_replaces_itself() -> None:
    line = Line()
    instance = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
    line.register(f"{PHONE};{instance}")
    result = line.register(f"<sip:1001@192.0.2.50:6000>;{instance}", call_id="new")
    assert kinds(result) == [ChangeKind.REFRESHED]
    assert line.contacts() == ["sip:1001@192.0.2.50:6000"]
    assert instance in result.headers[0][1]


def test_there_is_a_most_of_contacts() -> None:
    line = Line(Registrar(accounts(), max_bindings=2))
    assert line.register("<sip:a@192.0.2.5>", "<sip:b@192.0.2.5>").status == 200
    assert line.register("<sip:c@192.0.2.5>").status == 403
    assert line.register("<sip:c@192.0.2.5>", "<sip:d@192.0.2.5>", "<sip:e@192.0.2.5>").status == 403
    assert len(line.contacts()) == 2


def test_contacts_are_ordered_by_q() -> None:
    line = Line()
    result = line.register(
        "<sip:low@192.0.2.5>;q=0.1",
        "<sip:none@192.0.2.5>",
        "<sip:mid@192.0.2.5>;q=0.55",
        "<sip:odd@192.0.2.5>;q=7",
    )
    assert [text.partition("@")[0] for text in line.contacts()] == [
        "sip:none",
        "sip:odd",
        "sip:mid",
        "sip:low",
    ]
    assert result.headers[2][1] == "<sip:mid@192.0.2.5>;q=0.55;expires=3600"


@pytest.mark.parametrize("contact", ["<tel:+431>", "<mailto:a@b.test>", "<sip:1001@>", "nonsense"])
def test_a_contact_that_cannot_be_called_is_refused(contact: str) -> None:
    assert Line().register(contact).status == 400


def test_the_address_belongs_to_the_credentials_and_not_to_the_from() -> None:
    line = Line()
    assert line.register(PHONE, authenticated_as="1002").status == 403
    assert line.register(PHONE, sender="<sip:1002@pbx.test>").status == 200
    assert line.register(PHONE, to="<sip:1002@pbx.test>", sender="<sip:1001@pbx.test>").status == 403
    assert line.contacts(user="1002") == []


@pytest.mark.parametrize(
    ("to", "user", "status"),
    [
        ("<sip:1001@PBX.test.>", "1001", 200),
        ("<sip:1001@192.0.2.1:5060;transport=udp>", "1001", 200),
        ("<sip:%31001@pbx.test>", "1001", 200),
        ("<sip:a%20b@pbx.test>", "a b", 200),
        ("<sip:1003@pbx.test>", "1003", 404),
        ("<sip:pbx.test>", "1001", 404),
        ("<sip:1001@elsewhere.test>", "1001", 404),
        ("<sip:1001@192.0.2.1:5090>", "1001", 404),
    ],
)
def test_only_addresses_of_ours_are_registered(to: str, user: str, status: int) -> None:
    assert Line().register(PHONE, to=to, authenticated_as=user).status == status


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        ("<sip:1001@192.0.2.50:5070>", ("192.0.2.50", 5070)),
        ("<sip:1001@192.0.2.50:7000>", ("192.0.2.50", 7000)),
        ("<sip:1001@192.0.2.50>", ("192.0.2.50", 5060)),
        ("<sip:1001@192.168.7.7:7000>", ("192.0.2.50", 5070)),
        ("<sip:1001@phone.lan>", ("192.0.2.50", 5070)),
        ("<sip:1001@192.0.2.50:7000;transport=tcp>", ("192.0.2.50", 5070)),
    ],
)
def test_behind_a_nat_the_flow_is_the_way_back(contact: str, expected: tuple[str, int]) -> None:
    line = Line()
    line.register(contact)
    assert line.registrar.bindings("1001", 0)[0].next_hop.remote == expected


def test_a_lost_connection_takes_its_bindings_along() -> None:
    line = Line()
    tcp = Hop(Transport.TCP, HERE, Address("192.0.2.50", 40000))
    line.register("<sip:1001@192.0.2.50:5060;transport=tcp>", hop=tcp)
    line.register(PHONE)
    assert line.registrar.flow_lost(FLOW) == ()
    assert [change.kind for change in line.registrar.flow_lost(tcp)] == [ChangeKind.LOST]
    assert line.contacts() == ["sip:1001@192.0.2.50:5070"]


def test_expiries_have_to_rise() -> None:
    with pytest.raises(ValueError, match="rise"):
        Registrar(accounts(), min_expires=100, max_expires=50)


def test_an_account_is_there_once_and_keeps_its_secret() -> None:
    with pytest.raises(ValueError, match="twice"):
        PbxAccounts("pbx.test", [PbxAccount("1", "a"), PbxAccount("1", "b")])
    assert "hush" not in repr(PbxAccount("1", "hush"))
