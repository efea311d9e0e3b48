"""One suite, every provider: what the workers rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from callwright.autoscaler.provider import Machine, Order, Provider, Unusable
from callwright.autoscaler.providers.libcloud import Clouds, CloudSettings
from callwright.autoscaler.providers.netns import Namespaces
from callwright.autoscaler.providers.process import Processes
from callwright.autoscaler.providers.ssh import Hosts, SshSettings
from tests.kit.hosts import some_hosts
from tests.kit.machines import SLEEPER, Cloud, MemoryProvider
from tests.kit.networks import spare_network

Make = Callable[[], Provider]
SBIN = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}  # where ip is


def order(name: str) -> Order:
    return Order(name, "default", "http://127.0.0.1:1", "cwe_secret", capacity=3, labels={"site": "x"})


@pytest.fixture(scope="module")
def ec2() -> Iterator[str]:
    """A server that imitates EC2, on loopback; its URL."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def cloud_settings(address: str) -> CloudSettings:
    host, _, port = address.partition(":")
    arguments = {"key": "AKIA", "secret": "s", "secure": False, "host": host, "port": int(port)}
    return CloudSettings(
        "ec2",
        arguments | {"region": "eu-central-1", "signature_version": "4"},
        image="ami-12c6146b",
        size="t3.small",
        namespace="http://ec2.amazonaws.com/doc/2016-11-15",  # as moto writes it
    )


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshSettings]:
    """Hosts, each a real sshd on loopback with a home of its own."""
    with some_hosts(tmp_path_factory.mktemp("sshd"), 4) as settings:
        yield settings


@pytest.fixture(params=["memory", "process", "netns", "ec2", "ssh"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a provider of one installation, as each start of a platform does."""
    cloud = Cloud()
    address = request.getfixturevalue("ec2") if request.param == "ec2" else ""
    network = spare_network() if request.param == "netns" else None

    def made() -> Provider:
        if request.param == "memory":
            return MemoryProvider(cloud)
        if request.param == "ssh":
            return Hosts(request.getfixturevalue("hosts"), "lab1", program=lambda _: "exec sleep 300")
        if request.param == "ec2":
            return Clouds(cloud_settings(address), "lab1")
        if network is not None:
            return Namespaces(tmp_path / "fleet", network, command=SLEEPER, environment=SBIN)
        return Processes(tmp_path / "fleet", command=SLEEPER, environment={})

    yield made
    last = made()
    for machine in await last.list():
        await last.destroy(machine)


async def tags(provider: Provider) -> list[str]:
    return sorted(machine.tag for machine in await provider.list())


async def test_a_created_machine_is_listed_with_its_tag_and_id(make: Make) -> None:
    provider = make()
    made = await provider.create(order("agent-a"))
    (listed,) = await provider.list()
    assert (listed.tag, listed.id, listed.ended) == ("agent-a", made.id, "")
    assert made.id


async def test_nothing_is_listed_before_anything_was_created(make: Make) -> None:
    assert list(await make().list()) == []


async def test_creating_twice_with_one_tag_makes_one_machine(make: Make) -> None:
    provider = make()
    first = await provider.create(order("agent-a"))
    again = await provider.create(order("agent-a"))
    assert again.id == first.id
    assert await tags(provider) == ["agent-a"]


async def test_machines_outlive_the_provider_object_that_made_them(make: Make) -> None:
    made = await make().create(order("agent-a"))
    next_start = make()
    (found,) = await next_start.list()
    assert (found.tag, found.id) == ("agent-a", made.id)
    assert (await next_start.create(order("agent-a"))).id == made.id
    await next_start.destroy(found)
    assert await tags(next_start) == []


async def test_a_destroyed_machine_is_not_listed(make: Make) -> None:
    provider = make()
    made = await provider.create(order("agent-a"))
    await provider.create(order("agent-b"))
    await provider.destroy(made)
    assert await tags(provider) == ["agent-b"]


async def test_destroying_what_is_not_there_is_no_error(make: Make) -> None:
    provider = make()
    made = await provider.create(order("agent-a"))
    await provider.destroy(made)
    await provider.destroy(made)
    await provider.destroy(Machine("agent-never", ""))


async def test_a_machine_is_destroyed_by_its_tag_alone(make: Make) -> None:
    provider = make()
    await provider.create(order("agent-a"))
    await provider.destroy(Machine("agent-a", ""))
    assert await tags(provider) == []


async def test_a_tag_may_be_used_again_after_its_machine_is_gone(make: Make) -> None:
    provider = make()
    first = await provider.create(order("agent-a"))
    await provider.destroy(first)
    await provider.create(order("agent-a"))
    assert await tags(provider) == ["agent-a"]


async def test_several_machines_are_made_at_once(make: Make) -> None:
    provider = make()
    names = [f"agent-{number}" for number in range(4)]
    made = await asyncio.gather(*(provider.create(order(name)) for name in names))
    assert len({machine.id for machine in made}) == 4
    assert await tags(provider) == names
    await asyncio.gather(*(provider.destroy(machine) for machine in made))
    assert await tags(provider) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", "A B", ".hidden", "-flag", "x" * 64])
async def test_a_name_that_is_no_tag_is_refused(make: Make, name: str) -> None:
    with pytest.raises(Unusable, match="cannot be the tag"):
        await make().create(order(name))
