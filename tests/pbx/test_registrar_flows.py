"""Paths (RFC 3327), kept flows (RFC 5626) and GRUUs (RFC 5627) at the registrar."""

from __future__ import annotations

import pytest

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.registrar import ChangeKind, Registered, Registrar
from callwright.pbx.routing import Refuse, Ring, route
from callwright.sip.headers import Headers
from callwright.sip.message import Request
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import NameAddr, Uri
from tests.kit.wire import seeded_entropy

HERE = Address("192.0.2.1", 5060)
FLOW = Hop(Transport.TCP, HERE, Address("192.0.2.50", 5070))
URN = "urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
OTHER = "urn:uuid:00000000-7dec-41d0-a765-00a0c91e6bf6"


class Line:
    def __init__(self) -> None:
        accounts = PbxAccounts("pbx.test", [PbxAccount("1001", "s1"), PbxAccount("1002", "s2")])
        self.registrar = Registrar(accounts, entropy=seeded_entropy(3))
        self.accounts = accounts
        self.cseq = 0

    def register(
        self,
        *contacts: str,
        supported: str = "path, outbound, gruu",
        path: tuple[str, ...] = (),
        vias: int = 1,
        hop: Hop = FLOW,
        now: float = 0.0,
    ) -> Registered:
        self.cseq += 1
        headers = [("Via", f"SIP/2.0/TCP host{number};branch=z9hG4bK{number}") for number in range(vias)]
        headers += [("From", "<sip:1001@pbx.test>;tag=1"), ("To", "<sip:1001@pbx.test>")]
        headers += [("Call-ID", "c1"), ("CSeq", f"{self.cseq} REGISTER"), ("Supported", supported)]
        headers += [("Contact", contact) for contact in contacts]
        headers += [("Path", value) for value in path]
        request = Request("REGISTER", "sip:pbx.test", Headers(headers))
        return self.registrar.register(request, hop, authenticated_as="1001", now=now)


def contact(port: int = 5070, *, reg_id: object = 1, urn: str = URN, expires: int = 600) -> str:
    flow = "" if reg_id is None else f";reg-id={reg_id}"
    return f'<sip:1001@192.0.2.50:{port}>;+sip.instance="<{urn}>"{flow};expires={expires}'


def gruus(answer: Registered) -> list[NameAddr]:
    return [NameAddr.parse(value) for name, value in answer.headers if name == "Contact"]


def test_a_flow_of_a_device_takes_the_place_of_its_earlier_one() -> None:
    line = Line()
    answer = line.register(contact())
    assert ("Require", "outbound") in answer.headers
    assert ("Flow-Timer", "120") in answer.headers
    again = line.register(contact(5099))
    assert [change.kind for change in again.changes] == [ChangeKind.REFRESHED]
    assert [str(one.contact) for one in line.registrar.bindings("1001", 0)] == ["sip:1001@192.0.2.50:5099"]


def test_several_flows_of_a_device_stand_beside_each_other_and_one_of_them_rings() -> None:
    line = Line()
    line.register(contact(reg_id=1))
    line.register(contact(5071, reg_id=2), now=5)
    line.register(contact(5072, reg_id=1, urn=OTHER), now=6)
    assert len(line.registrar.bindings("1001", 7)) == 3
    ringing = [one.contact.port for one in line.registrar.reachable("1001", 7)]
    assert ringing == [5072, 5071]


def test_another_flow_rings_when_the_first_is_lost() -> None:
    line = Line()
    second = Hop(Transport.TCP, HERE, Address("192.0.2.50", 6000))
    line.register(contact(reg_id=1))
    line.register(contact(5071, reg_id=2), hop=second, now=5)
    line.registrar.flow_lost(second)
    assert [one.reg_id for one in line.registrar.reachable("1001", 6)] == [1]


@pytest.mark.parametrize("said", ["0", "x", "99999999999"])
def test_a_reg_id_that_is_no_number_is_400(said: str) -> None:
    assert Line().register(contact(reg_id=said)).status == 400


def test_two_flows_in_one_request_are_400_and_change_nothing() -> None:
    line = Line()
    assert line.register(contact(), contact(5071, reg_id=2)).status == 400
    assert line.registrar.bindings("1001", 0) == ()


def test_a_proxy_in_between_that_knows_no_flows_is_439() -> None:
    line = Line()
    assert line.register(contact(), vias=2).status == 439
    assert line.register(contact(), vias=2, path=("<sip:edge.test;lr>",)).status == 439
    good = line.register(contact(), vias=2, path=("<sip:inner.test;lr>", "<sip:token@edge.test;lr;ob>"))
    assert good.status == 200
    assert [value for name, value in good.headers if name == "Path"] == [
        "<sip:inner.test;lr>",
        "<sip:token@edge.test;lr;ob>",
    ]


def test_without_the_option_tag_there_is_no_flow() -> None:
    line = Line()
    answer = line.register(contact(), supported="path")
    assert ("Require", "outbound") not in answer.headers
    assert line.registrar.bindings("1001", 0)[0].reg_id is None
    assert "gruu" not in str(answer.headers)


@pytest.mark.parametrize("path", [("<tel:5>",), ("not <closed",), ("<sip:a.test;lr>",) * 17])
def test_a_path_that_leads_nowhere_is_400(path: tuple[str, ...]) -> None:
    line = Line()
    assert line.register(contact(), path=path).status == 400
    assert line.registrar.bindings("1001", 0) == ()


def test_a_binding_with_a_path_is_not_behind_a_nat() -> None:
    line = Line()
    line.register("<sip:1001@10.0.0.5>;expires=600", path=("<sip:edge.test;lr>",))
    binding = line.registrar.bindings("1001", 0)[0]
    assert not binding.behind_nat
    assert binding.next_hop == FLOW


def test_a_gruu_reaches_its_device_alone() -> None:
    line = Line()
    line.register(contact())
    answer = line.register(contact(5072, urn=OTHER))
    public = {one.parameter("pub-gruu") for one in gruus(answer)}
    assert public == {f"sip:1001@pbx.test;gr={URN}", f"sip:1001@pbx.test;gr={OTHER}"}
    found = route(Uri.parse(f"sip:1001@pbx.test;gr={OTHER}"), line.accounts, line.registrar, 1)
    assert isinstance(found, Ring)
    assert [one.contact.port for group in found.groups for one in group] == [5072]


def test_a_temporary_gruu_hides_the_account_and_lasts_as_long_as_the_device() -> None:
    line = Line()
    temporary = gruus(line.register(contact()))[0].parameter("temp-gruu") or ""
    assert "1001" not in temporary
    newer = gruus(line.register(contact()))[0].parameter("temp-gruu") or ""
    assert newer != temporary
    for gruu in (temporary, newer):
        found = route(Uri.parse(gruu), line.accounts, line.registrar, 1)
        assert isinstance(found, Ring)
    line.register(contact(expires=0))
    gone = route(Uri.parse(newer), line.accounts, line.registrar, 1)
    assert isinstance(gone, Refuse)
    assert gone.status == 404


def test_temporary_gruus_are_bounded() -> None:
    line = Line()
    made = [gruus(line.register(contact()))[0].parameter("temp-gruu") or "" for _ in range(20)]
    valid = [one for one in made if line.registrar.device(Uri.parse(one)) is not None]
    assert valid == made[-8:]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"sip:1002@pbx.test;gr={URN}", 480),
        ("sip:nobody@pbx.test;gr=urn:x:y", 404),
        ("sip:tgruu.00@pbx.test;gr", 404),
    ],
)
def test_a_gruu_that_leads_to_nobody_is_refused(target: str, status: int) -> None:
    line = Line()
    line.register(contact())
    found = route(Uri.parse(target), line.accounts, line.registrar, 1)
    assert isinstance(found, Refuse)
    assert found.status == status
