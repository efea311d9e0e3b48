"""What only the provider `ssh` promises: whose host it takes, what it leaves there, what it never does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from callwright.autoscaler.provider import Order, OutOfStock, ProviderError
from callwright.autoscaler.providers.ssh import Hosts, SshSettings
from tests.kit.hosts import some_hosts

ORDER = Order("agent-a", "default", "http://127.0.0.1:1", "cwe_secret", ca="PEM")
SLEEP = "exec sleep 300"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshSettings]:
    with some_hosts(tmp_path_factory.mktemp("sshd"), 2) as found:
        yield found


def room(settings: SshSettings, number: int, installation: str) -> Path:
    return Path(settings.identity).parent / f"home{number}" / ".callwright" / installation


async def test_a_third_server_finds_no_host_and_leaves_nothing(settings: SshSettings) -> None:
    provider = Hosts(settings, "full", program=lambda _: SLEEP)
    for name in ("agent-a", "agent-b"):
        await provider.create(replace(ORDER, name=name))
    with pytest.raises(OutOfStock, match="all 2 hosts have a server"):
        await provider.create(replace(ORDER, name="agent-c"))
    machines = await provider.list()
    assert sorted(machine.tag for machine in machines) == ["agent-a", "agent-b"]
    for machine in machines:
        await provider.destroy(machine)
    for number in (1, 2):
        left = sorted(entry.name for entry in room(settings, number, "full").iterdir())
        assert left == []


async def test_two_platforms_that_ask_at_once_take_different_hosts(settings: SshSettings) -> None:
    one, other = (Hosts(settings, "twice", program=lambda _: SLEEP) for _ in range(2))
    made = await asyncio.gather(
        one.create(replace(ORDER, name="agent-a")), other.create(replace(ORDER, name="agent-b"))
    )
    assert len({machine.id.rpartition("/")[0] for machine in made}) == 2
    for machine in made:
        await one.destroy(machine)


async def test_an_agent_that_ended_is_told_with_its_last_words_and_replaced(settings: SshSettings) -> None:
    provider = Hosts(settings, "ends", program=lambda _: "echo the token is used; exit 4")
    await provider.create(ORDER)
    async with asyncio.timeout(20):
        while not (listed := (await provider.list())[0]).ended:
            await asyncio.sleep(0.1)
    assert listed.ended == "its process has ended; its last words: the token is used"
    again = Hosts(settings, "ends", program=lambda _: SLEEP)
    made = await again.create(ORDER)
    assert [machine.id for machine in await again.list()] == [made.id]
    await again.destroy(made)


async def test_a_killed_agent_is_seen_and_another_process_of_its_number_is_left_alone(
    settings: SshSettings,
) -> None:
    provider = Hosts(settings, "kill", program=lambda _: SLEEP)
    made = await provider.create(ORDER)
    pid = int(made.id.rpartition("/")[2])
    os.killpg(pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while not (await provider.list())[0].ended:
            await asyncio.sleep(0.1)
    innocent = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    (room(settings, 1, "kill") / "pid").write_text(f"{innocent.pid}\n")
    await provider.destroy(made)
    assert innocent.returncode is None
    assert await provider.list() == []
    innocent.kill()
    await innocent.wait()


async def test_the_token_is_in_a_file_that_only_the_user_reads(settings: SshSettings) -> None:
    provider = Hosts(settings, "token", program=lambda _: SLEEP)
    made = await provider.create(ORDER)
    file = room(settings, 1, "token") / "etc" / "callwright" / "enrolment"
    assert file.read_text() == "cwe_secret\n"
    assert file.stat().st_mode & 0o077 == 0
    await provider.destroy(made)
    assert not file.exists()


async def test_a_host_with_another_key_is_not_used(settings: SshSettings, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")
    provider = Hosts(replace(settings, known_hosts=str(tmp_path / "known")), "key")
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1:\d+: .*[Hh]ost key verification failed"):
        await provider.list()


async def test_a_host_that_is_away_is_named(settings: SshSettings) -> None:
    provider = Hosts(replace(settings, hosts=("x@127.0.0.1:1",)), "away")
    with pytest.raises(ProviderError, match=r"x@127\.0\.0\.1:1: .*refused"):
        await provider.list()


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "u@h:port", "u@h;rm -rf /", "u@$HOME"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"hosts|is not"):
        SshSettings((host,) if host else ())


async def test_a_host_that_is_away_holds_up_no_other_and_keeps_what_it_had(tmp_path: Path) -> None:
    with some_hosts(tmp_path, 2) as settings:
        known = Path(settings.known_hosts)
        keys = known.read_text()
        provider = Hosts(settings, "away", program=lambda _: SLEEP)
        first = await provider.create(ORDER)
        known.write_text("".join(keys.splitlines(keepends=True)[1:]))  # the first is not believed any more
        assert [machine.id for machine in await provider.list()] == [first.id]
        second = await provider.create(replace(ORDER, name="agent-b"))
        assert second.id.rpartition("/")[0] == settings.hosts[1]
        with pytest.raises(ProviderError, match="no host that answers is free"):
            await provider.create(replace(ORDER, name="agent-c"))
        await provider.destroy(second)
        with pytest.raises(ProviderError):
            await provider.destroy(first)
        assert [machine.tag for machine in await provider.list()] == ["agent-a"]
        known.write_text("")
        with pytest.raises(ProviderError):
            await provider.list()
        known.write_text(keys)
        await provider.destroy(first)
        assert await provider.list() == []
