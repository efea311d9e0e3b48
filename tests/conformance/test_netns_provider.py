"""What only the provider `netns` promises: an address of its own, a way to the platform, a bad network."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from callwright.autoscaler.provider import Machine, OutOfStock, Unusable
from callwright.autoscaler.providers.netns import Namespaces, NamespaceSettings, doors
from callwright.net.impairment import Impairments
from callwright.net.namespace import routed_addresses
from tests.conformance.test_provider import SBIN, order
from tests.kit.machines import SLEEPER
from tests.kit.networks import spare_network

#: Says by which address it came, to one listener on loopback and one at the gateway.
CALLER = """
import socket, sys, time
for port, host in ((int(sys.argv[1]), "127.0.0.1"), (int(sys.argv[2]), sys.argv[3])):
    with socket.create_connection((host, port), 10) as wire:
        wire.sendall(wire.getsockname()[0].encode())
time.sleep(600)
"""
#: Sends datagrams to the gateway, 2 ms apart, each with its number.
SENDER = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
    for number in range(int(sys.argv[3])):
        wire.sendto(number.to_bytes(2, "big"), (sys.argv[2], int(sys.argv[1])))
        time.sleep(0.002)
time.sleep(600)
"""


async def until(fits: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not fits():
            await asyncio.sleep(0.02)


def gateway(settings: NamespaceSettings) -> str:
    return settings.network.replace(".0/24", ".1")


async def test_a_server_has_an_address_of_its_own_and_reaches_loopback_by_a_door(tmp_path: Path) -> None:
    settings, said = spare_network(), list[tuple[str, str]]()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append((writer.get_extra_info("peername")[0], (await reader.read()).decode()))
        writer.close()

    async with (
        await asyncio.start_server(hear, "127.0.0.1", 0) as door,
        await asyncio.start_server(hear, "0.0.0.0", 0) as outside,
    ):
        ports = [listener.sockets[0].getsockname()[1] for listener in (door, outside)]
        command = (sys.executable, "-S", "-c", CALLER, *map(str, ports), gateway(settings))
        provider = Namespaces(
            tmp_path, settings, reach=[f"nats://127.0.0.1:{ports[0]}"], command=command, environment=SBIN
        )
        made = await provider.create(order("agent-a"))
        try:
            await until(lambda: len(said) == 2)
            assert made.address == settings.network.replace(".0/24", ".2")
            assert set(said) == {("127.0.0.1", "127.0.0.1"), (made.address, made.address)}
        finally:
            await provider.destroy(made)
    assert made.address not in routed_addresses()


async def test_two_servers_have_two_addresses_which_a_killed_one_keeps_until_it_is_destroyed(
    tmp_path: Path,
) -> None:
    settings = replace(spare_network(), network=spare_network().network.replace("/24", "/29"))
    provider = Namespaces(tmp_path, settings, command=SLEEPER, environment=SBIN)
    made = [await provider.create(order(f"agent-{n}")) for n in range(5)]
    assert len({one.address for one in made}) == 5
    with pytest.raises(OutOfStock, match=r"every address of .*/29 has a server"):
        await provider.create(order("agent-5"))
    os.kill(int(made[0].id), signal.SIGKILL)
    (killed,) = [one for one in await ended(provider) if one.ended]
    assert (killed.tag, killed.address) == ("agent-0", made[0].address)
    assert killed.ended == "its process was killed by SIGKILL"
    for one in await provider.list():
        await provider.destroy(one)
    await until(lambda: not routed_addresses() & {one.address for one in made})


async def ended(provider: Namespaces) -> list[Machine]:
    async with asyncio.timeout(10):
        while True:
            found = list(await provider.list())
            if any(one.ended for one in found):
                return found
            await asyncio.sleep(0.02)


async def test_an_impairment_loses_and_delays_every_packet_of_a_server(tmp_path: Path) -> None:
    settings = spare_network(Impairments(loss=0.3, delay=0.05))
    loop, came = asyncio.get_running_loop(), list[int]()

    class Hear(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            came.append(int.from_bytes(data, "big"))

    transport, _ = await loop.create_datagram_endpoint(Hear, local_addr=("0.0.0.0", 0))
    port = transport.get_extra_info("sockname")[1]
    command = (sys.executable, "-S", "-c", SENDER, str(port), gateway(settings), "300")
    provider = Namespaces(tmp_path, settings, command=command, environment=SBIN)
    made = await provider.create(order("agent-a"))
    try:
        await until(lambda: bool(came) and came[-1] > 280)
        assert 0.5 < len(came) / (came[-1] + 1) < 0.9
        assert came == sorted(came)
    finally:
        await provider.destroy(made)
        transport.close()


async def test_a_network_that_has_no_room_and_a_machine_that_lacks_ip_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="no room for a server"):
        NamespaceSettings(network="10.0.0.0/31")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unusable, match="install iproute2"):
        Namespaces(tmp_path)


def test_order_has_its_door_where_the_platform_is_on_loopback_and_none_elsewhere() -> None:
    assert doors(["http://127.0.0.1:8000", "nats://localhost", "tls://calls.example.com:4222", ""]) == (
        ("127.0.0.1", 8000),
        ("127.0.0.1", 4222),
    )
    assert doors(["http://10.0.0.1:8000", "nats://[::1]:5,nats://10.0.0.2:5"]) == (("::1", 5),)
