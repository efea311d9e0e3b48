"""The probes over loopback, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.net import clock
from callwright.net.clock import SystemClock
from callwright.net.exchange import Arrival, NoRawSockets, ReflectingSocket, icmp_socket
from callwright.net.tls import TlsSettings
from callwright.outcome.terms import Blame, Verdict
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules
from callwright.probe.path import Steps
from callwright.probe.prober import Prober
from callwright.probe.stamp import Reflector
from callwright.probe.train import Shape
from callwright.sip.transport import Address
from tests.net.certificates import Authority
from tests.probe.test_options import answered

QUICK = Shape(packets=5, spacing=0.02, wait=0.5)
HERE = Permission(Purpose.RUN, Rules())


def may_ping() -> bool:
    try:
        icmp_socket(socket.AF_INET).close()
    except NoRawSockets:
        return False
    return True


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not may_ping(), reason="this process may not send ICMP")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_ping_measures_loopback(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 here")
    found = await Prober(HERE).ping(host, QUICK)
    assert (found.sent, found.received, found.duplicated, found.address) == (5, 5, 0, host)
    assert found.rtt_ms is not None
    assert 0 < found.rtt_ms < 1000


@contextlib.asynccontextmanager
async def reflecting(host: str = "127.0.0.1") -> AsyncIterator[int]:
    time = SystemClock()

    def take(batch: list[Arrival]) -> None:
        for arrival in batch:
            reflector.receive(arrival.data, arrival.source, arrival.now, arrival.wall, arrival.ttl)
        for answer in reflector.transmissions(time.wall()):
            opened.send(answer.data, Address(*answer.remote))

    opened = ReflectingSocket(host, 0, clock=time, on_batch=take)
    reflector = Reflector(opened.local.port)
    try:
        yield opened.local.port
    finally:
        opened.close()


async def test_stamp_measures_each_direction_over_loopback() -> None:
    async with reflecting() as port:
        found = await Prober(HERE).udp("127.0.0.1", port, QUICK)
    assert found.out is not None
    assert found.back is not None
    assert found.one_way_ms is not None
    assert (found.received, found.out.received, found.back.received) == (5, 5, 5)
    assert found.rtt_ms is not None
    # T2 is the kernel's time of arrival, T1 was read just before the packet left.
    assert 0 <= (found.one_way_ms.out or 0) < 1000


async def test_a_port_where_nothing_listens_is_told_as_such() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    found = await Prober(HERE).udp("127.0.0.1", port, Shape(packets=2, spacing=0.02, wait=0.2))
    assert (found.verdict, found.blame) == (Verdict.FAILED, Blame.TARGET)
    assert found.reason == f"Connection refused: nothing listens on UDP port {port} of 127.0.0.1."


async def test_nothing_is_sent_where_the_policy_forbids_it() -> None:
    for work in (
        Prober(HERE).ping("198.51.100.7", QUICK),
        Prober(HERE).udp("198.51.100.7", 862, QUICK),
        Prober(HERE).path("198.51.100.7", Steps()),
        Prober(HERE).options("sip:198.51.100.7", QUICK),
        Prober(HERE).options("sip:127.0.0.1;maddr=198.51.100.7", QUICK),
    ):
        found = await work
        assert (found.failure, found.sent) == ("policy", None)
        assert "not permitted" in found.reason


class _Answering(asyncio.DatagramProtocol, asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        self.transport.sendto(answered(data), source)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        for one in data.split(b"\r\n\r\n")[:-1]:
            self.transport.write(answered(one + b"\r\n\r\n"))  # type: ignore[attr-defined]


async def test_options_over_udp() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Answering, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    found = await Prober(HERE).options(f"sip:127.0.0.1:{port}", QUICK)
    transport.close()
    assert (found.received, found.sip_code, found.user_agent) == (5, 200, "Unit")


@contextlib.asynccontextmanager
async def serving(tls: TlsSettings | None = None) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(
        _Answering, "127.0.0.1", 0, ssl=tls.server_context() if tls else None
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_options_over_tcp() -> None:
    async with serving() as port:
        found = await Prober(HERE).options(f"sip:127.0.0.1:{port};transport=tcp", QUICK)
    assert (found.received, found.sip_code) == (5, 200)
    assert found.setup_ms is not None


async def test_options_over_tls_tell_the_last_day_of_the_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("pbx", addresses=["127.0.0.1"])
    async with serving(TlsSettings(cert=cert, key=key)) as port:
        uri = f"sip:127.0.0.1:{port};transport=tls"
        trusted = await Prober(HERE, tls=TlsSettings(ca=authority.ca)).options(uri, QUICK)
        stranger = await Prober(HERE).options(uri, QUICK)
    assert trusted.received == 5
    assert trusted.verdict in (Verdict.PASSED, Verdict.INVALID)  # a busy machine spoils five quick packets
    assert trusted.certificate is not None
    assert trusted.certificate.problem is None
    assert trusted.certificate.days_left == pytest.approx(1.0, abs=0.1)
    if trusted.verdict is Verdict.PASSED:
        assert trusted.valid_for(0.5) is trusted
        assert trusted.valid_for(14).reason == "Its certificate ends in 1.0 days, sooner than 14."
    assert (stranger.verdict, stranger.failure, stranger.blame) == (Verdict.FAILED, "tls", Blame.TARGET)
    assert stranger.certificate is not None
    assert "unknown authority" in (stranger.certificate.problem or "")


async def test_a_tcp_port_where_nothing_listens_is_told_as_such() -> None:
    found = await Prober(HERE).options("sip:127.0.0.1:9;transport=tcp", QUICK)
    assert (found.verdict, found.failure) == (Verdict.FAILED, "unreachable")
    assert "nothing listens on TCP port 9" in found.reason


@pytest.mark.skipif(sys.platform != "linux", reason="the hops of a way are told on Linux alone")
async def test_the_path_to_loopback_is_one_hop() -> None:
    found = await Prober(HERE).path("127.0.0.1", Steps(hops=3))
    assert [(hop.ttl, hop.address, hop.received) for hop in found.hops] == [(1, "127.0.0.1", 3)]
    assert found.verdict is Verdict.PASSED


async def test_a_train_that_is_stopped_tells_what_it_has_so_far() -> None:
    stop = asyncio.Event()
    async with reflecting() as port:
        asyncio.get_running_loop().call_later(0.3, stop.set)
        found = await Prober(HERE, stop=stop).udp("127.0.0.1", port, Shape(packets=1000, spacing=0.05))
    assert found.sent is not None
    assert 1 < found.sent < 1000
    assert found.received


def test_a_machine_that_gives_noicmp_socket_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(NoRawSockets, match=r"ping_group_range.*CAP_NET_RAW"):
        icmp_socket(socket.AF_INET)


def test_a_clock_that_timesyncd_keeps_is_known_though_the_kernel_may_not_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_TIMESYNC", str(tmp_path / "synchronized"))
    monkeypatch.setattr(sys, "platform", "elsewhere")
    assert not clock.synchronised()
    (tmp_path / "synchronized").touch()
    assert clock.synchronised()
