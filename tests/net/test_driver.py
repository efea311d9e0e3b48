from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from callwright.net.address import Unreachable
from callwright.net.certificate import read_certificate
from callwright.net.clock import SystemClock
from callwright.net.driver import BindFailed, Driver
from callwright.net.resolver import ResolutionFailed
from callwright.net.tap import Packet
from callwright.net.tls import TlsConfigurationError, TlsSettings
from callwright.sip.transport import Address, Hop, Transport
from tests.net.certificates import Authority
from tests.net.scripted import Event, Failed, Heard, Mailbox, ScriptedMachine

OUTSIDE = "203.0.113.77"  # TEST-NET-3: nobody is there


class Party:
    """A scripted machine on a driver, with what it was told and warned of."""

    def __init__(self, reply: Callable[[bytes], bytes | None] = lambda data: None, **options: Any) -> None:
        self.machine = ScriptedMachine(reply)
        self.mailbox = Mailbox()
        self.errors: list[BaseException] = []
        self.warnings: list[str] = []
        self.packets: list[Packet] = []
        self.batches: list[int] = []
        self.driver: Driver[Event] = Driver(
            self.machine,
            handler=options.pop("handler", self.mailbox),
            taps=[self._tap],
            on_error=self.errors.append,
            on_warning=self.warnings.append,
            **options,
        )

    def _tap(self, packets: Any) -> None:
        self.batches.append(len(packets))
        self.packets.extend(packets)

    def say(self, data: bytes, hop: Hop) -> None:
        self.machine.say(data, hop)
        self.driver.drain()


@pytest.fixture
async def party() -> AsyncIterator[Callable[..., Party]]:
    made: list[Party] = []

    def make(*arguments: Any, **options: Any) -> Party:
        made.append(Party(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        await one.driver.close()


def echo(data: bytes) -> bytes | None:
    return b"re: " + data if not data.startswith(b"re: ") else None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_request_gets_its_answer_over_the_same_flow(
    party: Callable[..., Party], host: str, transport: Transport
) -> None:
    server, client = party(echo), party()
    address = await server.driver.listen(transport, host)
    hop = client.driver.hop_for(host, address.port, transport)
    client.say(b"hello", hop)
    (heard,) = await server.mailbox.heard()
    assert heard.data == b"hello"
    assert heard.hop == Hop(transport, address, hop.local)
    (answer,) = await client.mailbox.heard()
    assert answer.data == b"re: hello"
    assert answer.hop == hop


async def test_a_wildcard_port_says_which_address_was_reached_and_answers_from_it(
    party: Callable[..., Party],
) -> None:
    server, client = party(echo), party()
    address = await server.driver.listen(Transport.UDP, "0.0.0.0")
    hop = client.driver.hop_for("127.0.0.5", address.port, Transport.UDP)
    client.say(b"hello", hop)
    (heard,) = await server.mailbox.heard()
    assert heard.hop.local == Address("127.0.0.5", address.port)
    (answer,) = await client.mailbox.heard()
    assert answer.hop.remote == Address("127.0.0.5", address.port)


async def test_a_driver_that_listens_everywhere_sends_from_that_port(party: Callable[..., Party]) -> None:
    one = party()
    for transport in (Transport.UDP, Transport.TCP):
        address = await one.driver.listen(transport, "0.0.0.0")
        assert one.driver.hop_for("127.0.0.1", 5060, transport).local == Address("127.0.0.1", address.port)


async def test_a_flood_is_read_in_batches_and_in_order(party: Callable[..., Party]) -> None:
    server = party()
    address = await server.driver.listen(Transport.UDP, "127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(200):
            sender.sendto(b"%d" % number, address)
    heard = await server.mailbox.heard(200)
    assert [int(h.data) for h in heard] == list(range(200))
    assert max(server.batches) == 64


@pytest.mark.parametrize("reports", [None, "connected"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_closed_udp_port_is_told_at_once(
    party: Callable[..., Party], host: str, reports: str | None
) -> None:
    client = party(error_reports=reports)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((host, 0))
        port = closed.getsockname()[1]
    hop = client.driver.hop_for(host, port, Transport.UDP)
    begun = asyncio.get_running_loop().time()
    client.say(b"hello", hop)
    failed = await client.mailbox.failure(1.0)
    assert asyncio.get_running_loop().time() - begun < 0.5
    assert failed.hop == hop
    assert failed.reason == f"connection refused: nothing listens on UDP port {port} of {host}"


@pytest.mark.parametrize("reports", [None, "connected"])
async def test_a_refusal_is_told_about_the_one_who_refused_and_nobody_else(
    party: Callable[..., Party], reports: str | None
) -> None:
    server, client = party(echo), party(error_reports=reports)
    address = await server.driver.listen(Transport.UDP, "127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        dead = client.driver.hop_for("127.0.0.1", closed.getsockname()[1], Transport.UDP)
    alive = client.driver.hop_for("127.0.0.1", address.port, Transport.UDP)
    for _ in range(5):
        client.machine.say(b"to the dead", dead)
        client.machine.say(b"to the living", alive)
    client.driver.drain()
    assert len(await client.mailbox.heard(5)) == 5
    assert (await client.mailbox.failure()).hop == dead
    failures = [e.hop for e in client.mailbox.events if isinstance(e, Failed)]
    assert set(failures) == {dead}


async def test_a_datagram_that_cannot_fit_is_a_transport_failure(party: Callable[..., Party]) -> None:
    client = party()
    hop = client.driver.hop_for("127.0.0.1", 5060, Transport.UDP)
    client.say(bytes(65_508), hop)
    failed = await client.mailbox.failure()
    assert failed.hop == hop
    assert "65,508 bytes" in failed.reason
    assert "use TCP" in failed.reason


async def test_64_kib_over_udp_arrive_whole_and_are_warned_of_once(party: Callable[..., Party]) -> None:
    server, client = party(), party()
    address = await server.driver.listen(Transport.UDP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.UDP)
    client.say(b"x" * 65_507, hop)
    client.say(b"x" * 65_507, hop)
    heard = await server.mailbox.heard(2)
    assert len(heard[0].data) == 65_507
    assert len(client.warnings) == 1
    assert "18.1.1" in client.warnings[0]


async def test_a_loopback_source_has_no_way_outside(party: Callable[..., Party]) -> None:
    client = party(bind="127.0.0.1")
    hop = client.driver.hop_for(OUTSIDE, 5060, Transport.UDP)
    client.say(b"hello", hop)
    failed = await client.mailbox.failure()
    assert failed.hop == hop
    assert OUTSIDE in failed.reason


async def test_a_source_of_the_wrong_family_is_refused_with_a_sentence(party: Callable[..., Party]) -> None:
    with pytest.raises(Unreachable, match="which is IPv6"):
        party(bind="::1").driver.hop_for("127.0.0.1", 5060, Transport.UDP)


async def test_an_exception_of_the_handler_does_not_stop_the_pump(party: Callable[..., Party]) -> None:
    mailbox = Mailbox()

    def stumble(event: Event) -> None:
        mailbox(event)
        raise RuntimeError("the handler stumbled")

    server, client = party(echo, handler=stumble), party()
    address = await server.driver.listen(Transport.UDP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.UDP)
    for text in (b"one", b"raise", b"two"):
        client.say(text, hop)
    answers = await client.mailbox.heard(2)
    assert [a.data for a in answers] == [b"re: one", b"re: two"]
    assert sorted(str(e) for e in server.errors) == [
        "the handler stumbled",
        "the handler stumbled",
        "the machine stumbled",
    ]


async def test_what_a_handler_says_is_sent_in_the_same_turn(party: Callable[..., Party]) -> None:
    answering: list[Party] = []

    def answer(event: Event) -> None:
        server = answering[0]
        assert isinstance(event, Heard)
        server.machine.say(b"from the handler", event.hop)
        server.driver.drain()

    server, client = party(handler=answer), party()
    answering.append(server)
    address = await server.driver.listen(Transport.UDP, "127.0.0.1")
    client.say(b"hello", client.driver.hop_for("127.0.0.1", address.port, Transport.UDP))
    (heard,) = await client.mailbox.heard()
    assert heard.data == b"from the handler"


async def test_a_machine_is_woken_at_its_time_and_again_when_it_moves_the_time_forward(
    party: Callable[..., Party],
) -> None:
    one = party()
    clock = SystemClock()
    one.machine.wake_at = clock.now() + 60.0
    one.driver.drain()
    one.machine.wake_at = due = clock.now() + 0.02
    one.driver.drain()
    (woken,) = await one.mailbox.woken(1, 1.0)
    assert 0 <= woken.now - due < 0.5
    one.machine.wake_at = clock.now() + 0.01
    one.driver.drain()
    assert len(await one.mailbox.woken(2, 1.0)) == 2


async def test_taps_see_what_passes_before_and_after_the_machine(party: Callable[..., Party]) -> None:
    server, client = party(echo), party()
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.TCP)
    client.say(b"hello", hop)
    await client.mailbox.heard()
    assert [(p.direction, p.data) for p in client.packets] == [("out", b"hello"), ("in", b"re: hello")]
    assert [(p.direction, p.data) for p in server.packets] == [("in", b"hello"), ("out", b"re: hello")]
    first = client.packets[0]
    assert (first.kind, first.transport, first.local, first.remote) == ("sip", "TCP", hop.local, hop.remote)


async def test_a_tcp_connection_comes_from_the_port_that_a_contact_names_which_listens_too(
    party: Callable[..., Party],
) -> None:
    server, client = party(), party()
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.TCP)
    client.say(b"hello", hop)
    (heard,) = await server.mailbox.heard()
    assert heard.hop.remote == hop.local
    third = party()
    third.say(b"to your contact", third.driver.hop_for(hop.local.host, hop.local.port, Transport.TCP))
    (heard,) = await client.mailbox.heard()
    assert heard.data == b"to your contact"


async def test_messages_said_while_connecting_arrive_in_order_on_one_connection(
    party: Callable[..., Party],
) -> None:
    server, client = party(), party()
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.TCP)
    for text in (b"one,", b"two,", b"three"):
        client.say(text, hop)
    heard = await server.mailbox.heard()
    async with asyncio.timeout(2):
        while b"".join(h.data for h in heard) != b"one,two,three":
            heard = await server.mailbox.heard(len(heard) + 1)
    assert len({h.hop for h in heard}) == 1


async def test_a_closed_tcp_port_is_told_once_for_all_that_waited(party: Callable[..., Party]) -> None:
    client = party()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    hop = client.driver.hop_for("127.0.0.1", port, Transport.TCP)
    client.say(b"one", hop)
    client.say(b"two", hop)
    failed = await client.mailbox.failure()
    assert failed.hop == hop
    assert failed.reason == f"connection refused: nothing listens on TCP port {port} of 127.0.0.1"
    assert len(client.mailbox.events) == 1


async def test_a_connection_that_the_far_end_closes_is_told_and_opened_anew(
    party: Callable[..., Party],
) -> None:
    server, client = party(), party()
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.TCP)
    client.say(b"hello", hop)
    await server.mailbox.heard()
    await server.driver.close()
    failed = await client.mailbox.failure()
    assert failed.hop == hop
    assert "closed by the far end" in failed.reason or "reset by the far end" in failed.reason
    again = party()
    await again.driver.listen(Transport.TCP, *address)
    client.say(b"again", hop)
    (heard,) = await again.mailbox.heard()
    assert heard.data == b"again"


async def test_a_silent_destination_times_out_with_a_sentence(party: Callable[..., Party]) -> None:
    client = party(connect_timeout=0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        name = full.getsockname()
        with socket.create_connection(name), socket.socket() as second:
            second.setblocking(False)
            assert second.connect_ex(name) in (0, errno.EINPROGRESS)
            client.say(b"hello", client.driver.hop_for(name[0], name[1], Transport.TCP))
            failed = await client.mailbox.failure()
    assert "timed out: no answer within 0.1 s" in failed.reason


async def test_an_idle_connection_is_closed_without_a_failure(party: Callable[..., Party]) -> None:
    server, client = party(), party(idle_timeout=0.05)
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    client.say(b"hello", client.driver.hop_for("127.0.0.1", address.port, Transport.TCP))
    assert "closed by the far end" in (await server.mailbox.failure()).reason
    assert client.mailbox.events == []


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_port_in_use_is_refused_with_its_number(
    party: Callable[..., Party], transport: Transport
) -> None:
    first, second = party(), party()
    address = await first.driver.listen(transport, "127.0.0.1")
    with pytest.raises(BindFailed, match=f"{transport} port 127.0.0.1:{address.port} is in use"):
        await second.driver.listen(transport, *address)


async def test_an_address_of_another_machine_cannot_be_listened_on(party: Callable[..., Party]) -> None:
    with pytest.raises(BindFailed, match="not an address of this machine"):
        await party().driver.listen(Transport.UDP, OUTSIDE, 5060)


async def test_closing_is_fast_and_sends_what_was_said_last(party: Callable[..., Party]) -> None:
    server, client = party(), party()
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    hop = client.driver.hop_for("127.0.0.1", address.port, Transport.TCP)
    client.say(b"hello", hop)
    await server.mailbox.heard()
    client.machine.say(b"bye", hop)
    begun = asyncio.get_running_loop().time()
    await client.driver.close()
    assert asyncio.get_running_loop().time() - begun < 0.3
    assert (await server.mailbox.heard(2))[1].data == b"bye"
    await client.driver.close()


async def test_locating_a_numeric_host_gives_the_source_by_route(party: Callable[..., Party]) -> None:
    (hop,) = await party().driver.locate("[::1]", None, Transport.TCP)
    assert (hop.transport, hop.remote, hop.local.host) == (Transport.TCP, Address("::1", 5060), "::1")
    assert hop.local.port > 0


async def test_locating_a_name_of_the_hosts_file_gives_hops_with_that_name(
    party: Callable[..., Party],
) -> None:
    hops = await party(bind="127.0.0.1").driver.locate("localhost", 5070)
    assert {hop.remote for hop in hops} == {Address("127.0.0.1", 5070)}
    assert hops[0].name == "localhost"


async def test_locating_what_has_no_route_fails_with_a_sentence(party: Callable[..., Party]) -> None:
    with pytest.raises(ResolutionFailed, match="cannot be reached from ::1"):
        await party(bind="::1").driver.locate("127.0.0.1")


# TLS


async def _tls_pair(
    party: Callable[..., Party], server: TlsSettings, client: TlsSettings, name: str = ""
) -> tuple[Party, Party, Hop]:
    far, near = party(echo, tls=server, connect_timeout=1.0), party(tls=client, connect_timeout=1.0)
    address = await far.driver.listen(Transport.TLS, "127.0.0.1")
    return far, near, near.driver.hop_for("127.0.0.1", address.port, Transport.TLS, name=name)


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ({"dns": ["pbx.example"]}, "pbx.example"),
        ({"dns": ["other.example"], "uris": ["sip:pbx.example"]}, "PBX.example"),
        ({"dns": ["*.voip.example"]}, "edge.voip.example"),
        ({"addresses": ["127.0.0.1"]}, ""),
    ],
)
async def test_tls_to_whom_the_certificate_speaks_for(
    party: Callable[..., Party], tmp_path: Path, names: dict[str, list[str]], name: str
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("server", **names)  # type: ignore[arg-type]
    far, near, hop = await _tls_pair(
        party, TlsSettings(cert=own.cert, key=own.key), TlsSettings(ca=authority.ca), name
    )
    near.say(b"hello", hop)
    (answer,) = await near.mailbox.heard()
    assert answer.data == b"re: hello"
    there = (await far.mailbox.heard())[0].hop
    assert there.transport is Transport.TLS
    assert [p.data for p in near.packets] == [b"hello", b"re: hello"]
    session = near.driver.tls_session(hop)
    assert session is not None
    assert (session.version, session.trusted, session.name) == ("TLSv1.3", True, name or "127.0.0.1")
    shown = read_certificate(session.certificate or b"")
    assert shown is not None
    assert set(shown.names) == {value for kind in names.values() for value in kind}
    assert 0 < shown.days_left(SystemClock().wall()) < 2
    seen = far.driver.tls_session(there)
    assert seen is not None
    assert (seen.trusted, seen.name, seen.certificate) == (False, "", None)


@pytest.mark.parametrize(
    ("issue", "trusted", "name", "sentence"),
    [
        ({"dns": ["pbx.example"], "expired": True}, True, "pbx.example", "has expired"),
        ({"dns": ["pbx.example"]}, False, "pbx.example", "unknown authority"),
        ({"dns": ["other.example"]}, True, "pbx.example", "is for other.example, not for pbx.example"),
        ({"uris": ["sip:other.example"], "dns": ["pbx.example"]}, True, "pbx.example", "not for pbx.example"),
        ({"dns": ["pbx.example"]}, True, "", "not for 127.0.0.1"),
    ],
)
async def test_tls_with_a_stranger_fails_with_a_sentence_and_tells_him_nothing(
    party: Callable[..., Party],
    tmp_path: Path,
    issue: dict[str, Any],
    trusted: bool,
    name: str,
    sentence: str,
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("server", **issue)
    client = TlsSettings(ca=authority.ca) if trusted else TlsSettings()
    far, near, hop = await _tls_pair(party, TlsSettings(cert=own.cert, key=own.key), client, name)
    near.say(b"secret", hop)
    failed = await near.mailbox.failure()
    assert failed.hop == hop
    assert failed.reason.startswith("TLS with ")
    assert sentence in failed.reason
    assert not any(p.data == b"secret" for p in far.packets)


async def test_insecure_accepts_anybody(party: Callable[..., Party], tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("server", dns=["pbx.example"], expired=True)
    _, near, hop = await _tls_pair(
        party, TlsSettings(cert=own.cert, key=own.key), TlsSettings(insecure=True), "elsewhere.example"
    )
    near.say(b"hello", hop)
    assert (await near.mailbox.heard())[0].data == b"re: hello"
    session = near.driver.tls_session(hop)
    assert session is not None
    assert not session.trusted
    shown = read_certificate(session.certificate or b"")
    assert shown is not None
    assert shown.days_left(SystemClock().wall()) < 0


def test_what_is_no_certificate_is_not_read() -> None:
    assert read_certificate(b"") is None
    assert read_certificate(b"\x30\x82\x00") is None


async def test_sni_replaces_the_name_that_was_typed(party: Callable[..., Party], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("server", dns=["pbx.example"])
    _, near, hop = await _tls_pair(
        party,
        TlsSettings(cert=own.cert, key=own.key),
        TlsSettings(ca=authority.ca, sni="pbx.example"),
        "typed.example",
    )
    near.say(b"hello", hop)
    assert (await near.mailbox.heard())[0].data == b"re: hello"


async def test_a_client_certificate_is_asked_for_and_its_absence_named(
    party: Callable[..., Party], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("server", addresses=["127.0.0.1"])
    mine = authority.issue("client", uris=["sip:client.example"])
    strict = TlsSettings(ca=authority.ca, cert=own.cert, key=own.key, require_client_certificate=True)
    _, near, hop = await _tls_pair(party, strict, TlsSettings(ca=authority.ca, cert=mine.cert, key=mine.key))
    near.say(b"hello", hop)
    assert (await near.mailbox.heard())[0].data == b"re: hello"
    _, bare, hop = await _tls_pair(party, strict, TlsSettings(ca=authority.ca))
    bare.say(b"hello", hop)
    assert "certificate" in (await bare.mailbox.failure()).reason


async def test_tls_to_a_port_that_speaks_plain_sip_says_so(party: Callable[..., Party]) -> None:
    server, client = party(lambda data: b"SIP/2.0 400 Bad Request\r\n\r\n"), party(tls=TlsSettings())
    address = await server.driver.listen(Transport.TCP, "127.0.0.1")
    client.say(b"hello", client.driver.hop_for("127.0.0.1", address.port, Transport.TLS))
    assert "does not speak TLS" in (await client.mailbox.failure()).reason


async def test_listening_for_tls_needs_a_certificate(party: Callable[..., Party], tmp_path: Path) -> None:
    with pytest.raises(TlsConfigurationError, match="--cert"):
        await party().driver.listen(Transport.TLS, "127.0.0.1")
    missing = TlsSettings(cert=tmp_path / "absent.pem")
    with pytest.raises(TlsConfigurationError, match=r"absent\.pem does not exist"):
        await party(tls=missing).driver.listen(Transport.TLS, "127.0.0.1")
