"""Nobody gets a packet who is not permitted: Callwright in one network namespace, the world in another.

In the world a permitted peer tries every way to lead us to a stranger; what reaches the stranger is counted
on the interface. Names come from a DNS server of the world.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from tests.acceptance import world
from tests.acceptance.world import INSIDE, LINK, PEER, SERVICE, SHARED, STRANGER
from tests.interop.peers import PeerProcess

HERE = "198.51.100.10"
OFFICE_HERE, OFFICE = "10.77.0.10", "10.77.0.1"
FORBIDDEN = (STRANGER, INSIDE, SHARED, LINK)
PERMIT = ("--allow", "permitted.test", "--allow", PEER)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


class Side:
    """A `world.py` in a namespace."""

    def __init__(self, namespace: str, device: str) -> None:
        script = str(Path(world.__file__))
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, script, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._out.readline() == "ready\n"

    @property
    def _out(self) -> TextIO:
        return cast(TextIO, self._process.stdout)

    def ask(self, question: str) -> dict[str, Any]:
        stdin = cast(TextIO, self._process.stdin)
        stdin.write(f"{question}\n")
        stdin.flush()
        found = json.loads(self._out.readline())
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        cast(TextIO, self._process.stdin).close()
        self._process.wait(10)
        self._out.close()


class Net:
    """Both namespaces; Callwright runs in the inner one."""

    def __init__(self, inner: str, outer: str) -> None:
        self._inner, self._outer = inner, outer
        self.outside, self.loopback = Side(outer, "cwout"), Side(inner, "lo")

    def new(self) -> None:
        self.outside.ask("new")
        self.loopback.ask("new")

    def start(self, folder: Path, *arguments: str, outside: bool = False) -> PeerProcess:
        namespace = self._outer if outside else self._inner
        return PeerProcess(
            ["ip", "netns", "exec", namespace, sys.executable, *arguments], folder=folder, name="callwright"
        )

    def callwright(self, folder: Path, *arguments: str) -> PeerProcess:
        """To its end."""
        with self.start(folder, *arguments) as running:
            running.wait(60)
        return running

    def requests(self) -> list[str]:
        """`METHOD user port` of all that reached the peer."""
        return cast(list[str], self.outside.ask("look")["requests"])

    def strangers(self) -> dict[str, int]:
        """Packets that came to anybody who is not permitted, and to loopback of the inside."""
        counted: dict[str, int] = self.outside.ask("look")["packets"]
        found = {to: n for to, n in counted.items() if to.rpartition(":")[0] in FORBIDDEN}
        found |= {to: n for to, n in counted.items() if to == f"{PEER}:{SERVICE}"}
        nearby: dict[str, int] = self.loopback.ask("look")["packets"]
        return found | {to: n for to, n in nearby.items() if to.startswith("127.")}

    def close(self) -> None:
        self.outside.close()
        self.loopback.close()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another run of these tests has its own in there
        folder.rmdir()


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Net]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()
    except OSError as error:
        pytest.skip(f"packets cannot be counted here: {error}")
    inner, outer = f"cwin{os.getpid()}", f"cwout{os.getpid()}"
    resolver = Path("/etc/netns") / inner
    existed = resolver.parent.exists()
    with contextlib.ExitStack() as stack:
        for name in (inner, outer):
            _run("ip", "netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        resolver.mkdir(parents=True)
        if not existed:
            stack.callback(_remove_if_empty, resolver.parent)
        stack.callback(shutil.rmtree, resolver)
        (resolver / "resolv.conf").write_text(f"nameserver {PEER}\noptions timeout:1 attempts:1\n")
        _run(
            "ip", "-n", inner, "link", "add", "cwin", "type", "veth", "peer", "name", "cwout", "netns", outer
        )
        addresses = ((inner, "cwin", (HERE, OFFICE_HERE)), (outer, "cwout", (PEER, OFFICE)))
        for name, device, ours in addresses:
            for address in ours:
                _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", name, "link", "set", device, "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", inner, "route", "add", "default", "via", PEER)
        for address in FORBIDDEN:
            _run("ip", "-n", outer, "addr", "add", f"{address}/32", "dev", "cwout")
        net = Net(inner, outer)
        stack.callback(net.close)
        yield net


@pytest.fixture
def net(namespaces: Net) -> Net:
    namespaces.new()
    return namespaces


def command(*arguments: str) -> tuple[str, ...]:
    return ("-m", "callwright", *arguments)


def ended(net: Net, user: str, port: int = 5060) -> bool:
    """The call to that user was acknowledged and hung up at the peer, within a second or so."""
    wanted = {f"{method} {user} {port}" for method in ("ACK", "BYE")}
    for _ in range(20):
        if wanted <= set(net.requests()):
            return True
        time.sleep(0.05)
    return False


BARRED = {  # those that need no DNS to be refused: `run` does not begin
    f"sip:x@permitted.test;maddr={STRANGER}": "alice",
    f"sip:x@permitted.test;transport=tcp;maddr={STRANGER}": "alice",
}
REFUSED = {  # the destinations of calls that must fail by policy, with the party that calls
    "sip:x@permitted.test;maddr=stranger.test": "alice",
    "sip:x@stranger.test": "alice",
    "sip:x@stranger.test;maddr=permitted.test": "alice",
    "sip:x@shared.test": "alice",
    "sip:x@link.test": "alice",
    "sip:x@stranger.test:5060": "carol",
    "sip:moved-stranger@permitted.test": "alice",
    "sip:moved-maddr@permitted.test": "alice",
    "sip:moved-112@permitted.test": "carol",
    "sip:moved-stranger@permitted.test:5060": "carol",
}
LED = ("contact-name", "contact-localhost", "contact-loopback", "contact-number", "contact-maddr",
       "contact-maddr-name", "contact-shared", "contact-link", "route-name", "route-maddr",
       *world.REFERS)  # fmt: skip


def document(refused: Mapping[str, str]) -> str:
    calls = [(party, uri, "no") for uri, party in refused.items()]
    calls += [("alice", f"sip:{user}@permitted.test", "no") for user in LED]
    calls += [("alice", f"sip:{user}@permitted.test", "yes") for user in world.MEDIA]
    actions = [
        f'    - call: {{from: {party}, dial_destination: "{uri}", max_duration: 0.3 s, follow: yes, '
        f"media: {media}, record: no, min_mos: 1, min_heard_pct: 0}}"
        for party, uri, media in calls
    ]
    others = [
        '    - options: {from: alice, to: "sip:permitted.test;maddr=stranger.test"}',
        '    - options: {from: alice, to: "sip:x@permitted.test;maddr=stranger.test"}',
        "    - options: {from: alice, to: stranger.test}",
        '    - message: {from: alice, to: "sip:x@permitted.test;maddr=stranger.test", text: hello}',
        '    - message: {from: carol, to: "sip:x@stranger.test", text: hello}',
        "    - register: {party: dave, registrar: stranger.test, password: x}",
    ]
    steps = "\n".join([*actions, *others]).replace("    - ", "  - - ", 1)
    return (
        "name: strangers\ntarget: permitted.test\nparties:\n"
        "  alice: {domain: permitted.test}\n"
        "  carol: {domain: permitted.test, proxy: permitted.test}\n"
        "  dave: {domain: permitted.test}\n"
        f"steps:\n{steps}\n"
    )


HOSTED = """
import asyncio, json, sys
from callwright.agent.runner import Runner
from callwright.cli.remedies import with_allow
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules, parse_allow
from callwright.scenario.document import load

rules = Rules(targets=tuple(parse_allow(text) for text in sys.argv[2:]), embedded=False)
scenario = load(open(sys.argv[1]).read(), environment={})

async def main():
    return await Runner(scenario, permission=Permission(Purpose.RUN, rules, with_allow)).run()

print(json.dumps(asyncio.run(main()).to_json()))
"""


@pytest.mark.parametrize("strangers_order", [False, True], ids=["run", "agent"])
def test_a_run_sends_nothing_to_a_stranger(net: Net, tmp_path: Path, strangers_order: bool) -> None:
    path = tmp_path / "strangers.yaml"
    refused = {**REFUSED, **BARRED} if strangers_order else REFUSED
    path.write_text(document(refused))
    if strangers_order:  # as an agent of a platform: even a permitted name leads nowhere near
        names = ("permitted.test", PEER, "inside.test", "shared.test", "link.test")
        done = net.callwright(tmp_path, "-c", HOSTED, str(path), *names)
    else:
        done = net.callwright(tmp_path, *command("run", str(path), *PERMIT, "--json"))
        assert done.process.returncode == 2, done.log
    told = done.document()
    assert net.strangers() == {}
    by_destination = {call["destination"]: call for call in told["calls"]}
    for uri in refused:
        assert by_destination[uri]["failure"] == "policy", (uri, by_destination[uri]["reason"])
    for user in LED:
        call = by_destination[f"sip:{user}@permitted.test"]
        assert call["failure"] is None, (user, call["reason"])
        assert ended(net, user), (user, net.requests())
    for user in world.REFERS:
        assert f"603 {user}" in net.requests()
    for user in world.MEDIA:
        assert by_destination[f"sip:{user}@permitted.test"]["failure"] == "policy"
        assert ended(net, user)
    failures = [each["failure"] for each in told["requests"]]
    assert failures == ["policy"] * 5
    assert [each["failure"] for each in told["registrations"]] == ["policy"]
    assert not [request for request in net.requests() if " 112 " in request]
    warnings = " ".join(told["warnings"])
    assert "--allow stranger.test if you may test it" in warnings
    remarks = by_destination["sip:contact-name@permitted.test"]["remarks"]
    assert "Add --allow stranger.test" in remarks[0]


@pytest.mark.parametrize("uri", BARRED)
def test_a_run_that_names_a_stranger_by_address_does_not_begin(net: Net, tmp_path: Path, uri: str) -> None:
    path = tmp_path / "barred.yaml"
    path.write_text(document({uri: "alice"}))
    done = net.callwright(tmp_path, *command("run", str(path), *PERMIT, "--json"))
    assert done.process.returncode == 2, done.log
    assert f"The maddr of permitted.test sends requests to {STRANGER}." in done.document()["reason"]
    assert net.requests() == []


def test_what_dns_says_at_the_call_counts(net: Net, tmp_path: Path) -> None:
    """The name led to the peer a moment before, and was permitted."""
    path = tmp_path / "changes.yaml"
    path.write_text(
        "name: changes\ntarget: changes.test\nparties: {alice: }\nsteps:\n"
        "  - - options: {from: alice, to: changes.test}\n"
        '  - - call: {from: alice, dial_destination: "sip:x@changes.test", max_duration: 0.2 s, media: no}\n'
    )
    done = net.callwright(tmp_path, *command("run", str(path), "--allow", PEER, "--json"))
    assert net.strangers() == {}
    told = done.document()
    assert [request["failure"] for request in told["requests"]] == [None]
    assert [call["failure"] for call in told["calls"]] == ["policy"]


def test_a_permitted_name_in_a_contact_is_followed(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "followed.yaml"
    path.write_text(
        "name: followed\ntarget: permitted.test\nparties: {alice: }\nsteps:\n"
        '  - - call: {from: alice, dial_destination: "sip:contact-permitted@permitted.test", '
        "max_duration: 0.2 s, media: no}\n"
        '    - call: {from: alice, dial_destination: "sip:contact-name@permitted.test", '
        "max_duration: 0.2 s, media: no}\n"
    )
    done = net.callwright(
        tmp_path,
        *command("run", str(path), "--allow", "permitted.test", "--allow", "stranger.test", "--json"),
    )
    assert ended(net, "contact-permitted", 5070), done.log
    assert net.strangers().get(f"{STRANGER}:5060", 0) >= 2  # nobody listens there, and it was permitted
    assert done.document()["warnings"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("call", f"sip:x@permitted.test;maddr={STRANGER}"), 2),
        (("call", "sip:112@permitted.test", "--proxy", "permitted.test"), 2),
        (("call", "sip:moved-112@permitted.test", "--follow", "--proxy", "permitted.test"), 2),
        (("call", "sip:moved-maddr@permitted.test", "--follow"), 2),
        (("options", f"sip:permitted.test;maddr={STRANGER}"), 2),
        (("register", f"sip:x@permitted.test;maddr={STRANGER}", "--password", "x"), 2),
        (("call", "sip:contact-localhost@permitted.test"), 0),
        (("call", "sip:contact-shared@permitted.test"), 0),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_command_reaches_who_was_typed(
    net: Net, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    if arguments[0] == "call":
        arguments = (*arguments, "--no-media", "--for", "0.1")
    done = net.callwright(tmp_path, *command(*arguments, "--json"))
    assert done.process.returncode == code, done.log
    assert net.strangers() == {}, done.log
    assert not [request for request in net.requests() if " 112 " in request]
    if code == 0:
        user = arguments[1].partition("@")[0].removeprefix("sip:")
        assert ended(net, user), (net.requests(), done.log)
        assert "wants requests at" in done.document()["remarks"][0]


def test_a_typed_call_follows_its_callee_to_a_public_address(net: Net, tmp_path: Path) -> None:
    net.callwright(
        tmp_path, *command("call", "sip:contact-name@permitted.test", "--no-media", "--for", "0.1", "--json")
    )
    assert net.strangers()[f"{STRANGER}:5060"] >= 2  # ACK and BYE


def test_a_load_sends_nothing_to_a_stranger(net: Net, tmp_path: Path) -> None:
    users = [*(user for user in LED if user.startswith(("contact", "route"))), *world.MEDIA]
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("number\n" + "\n".join(users) + "\n")
    done = net.callwright(
        tmp_path,
        *command("load", "sip:{number}@permitted.test", "--accounts", str(accounts), *PERMIT),
        *("--calls", str(len(users)), "--rate", "50", "--hold", "0.3", "--media", "ports", "--json"),
    )
    assert net.strangers() == {}, done.log
    for user in users:
        assert ended(net, user), (user, net.requests(), done.log)


def far_end(net: Net, folder: Path, *arguments: str) -> PeerProcess:
    """Callwright in the world, which says that it is at an address which is not its own."""
    return net.start(folder, *command(*arguments), outside=True)


def test_who_is_called_hangs_up_where_the_call_came_from(net: Net, tmp_path: Path) -> None:
    near = ("answer", "--listen", f"{HERE}:5080", "--for", "0.2", "--calls", "1", "--no-media", "--json")
    with net.start(tmp_path, *command(*near)) as answer:
        answer.wait_for("listening on")
        far = (
            "call",
            f"sip:x@{HERE}:5080",
            "--advertise",
            STRANGER,
            "--bind",
            PEER,
            "--no-media",
            "--for",
            "20",
        )
        with far_end(net, tmp_path, *far, "--json") as caller:
            answer.wait(20)
            caller.wait(20)
    assert caller.document()["ended_by"] == "remote"
    assert net.strangers() == {}


@pytest.mark.parametrize("said", [STRANGER, "127.0.0.1"])
def test_a_load_answers_who_calls_and_sends_nothing_elsewhere(net: Net, tmp_path: Path, said: str) -> None:
    """Via, Contact and SDP of the caller say that it is somewhere else; the side that answers hangs up."""
    near = (
        "load",
        "--answer",
        "--listen",
        f"{HERE}:5080",
        "--calls",
        "1",
        "--hold",
        "0.3",
        "--media",
        "ports",
    )
    with net.start(tmp_path, *command(*near, "--json")) as answer:
        answer.wait_for("answering at")
        far = ("call", f"sip:x@{HERE}:5080", "--advertise", said, "--bind", PEER, "--for", "20", "--json")
        with far_end(net, tmp_path, *far) as caller:
            caller.wait(30)
            answer.wait(30)
    assert caller.document()["ended_by"] == "remote"
    assert answer.document()["answered"] == 1
    assert net.strangers() == {}


def test_the_pbx_reaches_its_phones_and_no_stranger(net: Net, tmp_path: Path) -> None:
    """The caller says that it is at a name, the callee that it is at an address; the callee hangs up."""
    accounts = ("--account", "1001:secret1", "--account", "1002:secret2")
    callee = ("--user", "1002", "--password", "secret2", "--advertise", STRANGER, "--no-media", "--json")
    caller = (
        "--user",
        "1001",
        "--password",
        "secret1",
        "--advertise",
        "stranger.test",
        "--no-media",
        "--json",
    )
    with net.start(tmp_path, *command("pbx", "--listen", f"{OFFICE_HERE}:5060", *accounts)) as pbx:
        pbx.wait_for("listening on")
        waits = ("answer", "--listen", f"{OFFICE}:5082", "--register", f"sip:{OFFICE_HERE}", "--calls", "1")
        with far_end(net, tmp_path, *waits, *callee, "--for", "0.2") as called:
            called.wait_for("registered")
            far = ("call", f"sip:1002@{OFFICE_HERE}", "--for", "20", *caller)
            with far_end(net, tmp_path, *far) as calls:
                calls.wait(20)
                called.wait(20)
    assert calls.document()["ended_by"] == "remote"
    assert net.strangers() == {}
