"""Datagrams read one by one and by recvmmsg are the same."""

from __future__ import annotations

import asyncio
import socket

import pytest

from callwright.net import udp
from callwright.net.udp import Datagram, UdpSocket
from callwright.sip.transport import Address


@pytest.fixture(params=["pure", "native"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.setattr(udp, "receive_from", None)
    elif getattr(udp, "receive_from", None) is None:
        pytest.skip("callwright.net._batch was not built")
    return str(request.param)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_burst_comes_in_batches_whole_and_in_order(reading: str, host: str) -> None:
    batches: list[list[Datagram]] = []
    done = asyncio.Event()

    def on_batch(batch: list[Datagram]) -> None:
        batches.append(batch)
        if sum(map(len, batches)) == 100:
            done.set()

    opened = UdpSocket(host, 0, on_batch=on_batch, on_refused=lambda *_: None)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        for number in range(100):
            sender.sendto(b"%d" % number * (number + 1), (host, opened.local.port))
        await asyncio.wait_for(done.wait(), 3.0)
        port = sender.getsockname()[1]
    opened.close()
    got = [datagram for batch in batches for datagram in batch]
    assert [datagram.data for datagram in got] == [b"%d" % number * (number + 1) for number in range(100)]
    assert {datagram.remote for datagram in got} == {Address(host, port)}
    assert {datagram.local for datagram in got} == {opened.local}
    assert max(map(len, batches)) <= udp.BATCH + 8


async def test_the_largest_datagram_is_whole_and_an_empty_one_is_one(reading: str) -> None:
    got: asyncio.Queue[Datagram] = asyncio.Queue()

    def on_batch(batch: list[Datagram]) -> None:
        for datagram in batch:
            got.put_nowait(datagram)

    opened = UdpSocket("127.0.0.1", 0, on_batch=on_batch, on_refused=lambda *_: None)
    largest = bytes(range(256)) * 256
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (largest[: udp.LARGEST_DATAGRAM], b"", b"x"):
            sender.sendto(data, opened.local)
            assert (await asyncio.wait_for(got.get(), 3.0)).data == data
    opened.close()


async def test_a_refused_datagram_is_told_and_the_socket_reads_on(reading: str) -> None:
    told: asyncio.Queue[Address] = asyncio.Queue()
    got: asyncio.Queue[Datagram] = asyncio.Queue()
    opened = UdpSocket(
        "127.0.0.1",
        0,
        on_batch=lambda batch: got.put_nowait(batch[0]),
        on_refused=lambda remote, _: told.put_nowait(remote),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        dead = Address(*closed.getsockname())
    opened.send(b"hello", dead, "")
    assert await asyncio.wait_for(told.get(), 3.0) == dead
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"there", opened.local)
    assert (await asyncio.wait_for(got.get(), 3.0)).data == b"there"
    opened.close()
