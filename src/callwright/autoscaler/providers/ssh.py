"""Machines that are there already, reached by OpenSSH: one server on each host.

A host is taken by a symbolic link, `~/.callwright/<installation>/slot`, which names the server: it is made in
one step, before anything else, so two platforms never take the same host, and a request whose answer was lost
is found again. The agent holds a lock of flock(1) for as long as it lives, whatever becomes of this platform,
of the connection or of the host; only a process that holds it is ever signalled.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from callwright.autoscaler.installation import PACKAGE, script
from callwright.autoscaler.provider import Machine, Order, OutOfStock, ProviderError, Unusable, checked_tag

__all__ = ["Hosts", "SshSettings"]

_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9._-]{0,63})@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::(?P<port>\d{1,5}))?\Z"
)
_ASK_SECONDS = 60.0  # that one question to one host may take
_MOST_SAID = 65_536


@dataclass(frozen=True, slots=True)
class SshSettings:
    """A table `[providers.NAME]` with `driver = "ssh"`. ``hosts``: `user@host:port`, tried in order;
    ``identity``: the file of the private key, ``known_hosts``: that of the hosts' keys, "": those of the user
    who runs the platform; a host whose key is not known is not used. ``package``: what pip installs there."""

    hosts: tuple[str, ...]
    driver: str = "ssh"
    identity: str = ""
    known_hosts: str = ""
    package: str = PACKAGE
    connect_seconds: int = 10

    def __post_init__(self) -> None:
        if self.driver != "ssh":
            raise ValueError(f"{self.driver!r} is not the driver ssh")
        if not self.hosts:
            raise ValueError("hosts names none")
        wrong = next((host for host in self.hosts if not _HOST.match(host)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is not user@host:port")


class Hosts:
    """``installation``: tells the servers of this platform from those of others. ``program``: of sh, which
    becomes the agent.

    A host that is away keeps what it had when it was heard last, and takes nothing new; the others go on.
    """

    def __init__(
        self, settings: SshSettings, installation: str, *, program: Callable[[Order], str] | None = None
    ) -> None:
        self._settings = settings
        self._room = f"$HOME/.callwright/{checked_tag(installation)}"
        self._program = program or (lambda order: script(order, package=settings.package, root="."))
        self._known: dict[str, Machine] = {}  # by host, as it was told last; or what nobody could end there

    # -- the three verbs

    async def create(self, order: Order) -> Machine:
        name = checked_tag(order.name)
        for machine in await self.list():
            if machine.tag == name:
                if not machine.ended:
                    return machine
                await self.destroy(machine)
        text = _create(self._room, name, self._program(order), order)
        away = ""
        for host in self._settings.hosts:
            try:
                said = await self._ask(host, text)
            except Unusable:
                raise
            except ProviderError as error:
                away = away or str(error)
                continue
            word, _, rest = said.partition(" ")
            if word == "begun":
                self._known[host] = Machine(name, f"{host}/{rest}", _address(host))
                return self._known[host]
            if word != "taken":
                raise ProviderError(f"{host}: {said or 'it said nothing'}")
        if away:
            raise ProviderError(f"no host that answers is free; {away}")
        count = len(self._settings.hosts)
        raise OutOfStock("the host has a server" if count == 1 else f"all {count} hosts have a server")

    async def destroy(self, machine: Machine) -> None:
        name = checked_tag(machine.tag)
        named = machine.id.rpartition("/")[0]
        hosts = [named] if named in self._settings.hosts else self._settings.hosts
        failures = []
        for host, said in zip(hosts, await self._each(hosts, _destroy(self._room, name)), strict=True):
            if isinstance(said, ProviderError):
                there = self._known.get(host)
                if len(hosts) == 1 or (there is not None and there.tag == name):
                    self._known[host] = Machine(name, machine.id, _address(host))
                    failures.append(said)
            elif said and said != "gone":
                failures.append(ProviderError(said))
            else:
                self._known.pop(host, None)
        if failures:
            raise failures[0]

    async def list(self) -> Sequence[Machine]:
        hosts = self._settings.hosts
        answers = await self._each(hosts, _look(self._room))
        away = [said for said in answers if isinstance(said, ProviderError)]
        if len(away) == len(hosts):
            raise away[0]
        found = []
        for host, said in zip(hosts, answers, strict=True):
            if isinstance(said, ProviderError):
                found += [self._known[host]] if host in self._known else []
                continue
            self._known.pop(host, None)
            if not said:
                continue
            tag, _, rest = said.partition(" ")
            pid, _, words = rest.partition(" ")
            ended = ""
            if pid == "-":
                ended = "its process has ended" + (f"; its last words: {words}" if words else "")
            self._known[host] = Machine(tag, f"{host}/{pid}", _address(host), ended)
            found.append(self._known[host])
        return found

    async def close(self, patience: float) -> None:
        """Servers on other hosts outlive the platform."""

    # -- one host

    async def _each(self, hosts: Sequence[str], text: str) -> Sequence[str | ProviderError]:
        """What each said, or why it said nothing. Raises Unusable."""

        async def ask(host: str) -> str | ProviderError:
            try:
                return await self._ask(host, text)
            except Unusable:
                raise
            except ProviderError as error:
                return error

        return await asyncio.gather(*(ask(host) for host in hosts))

    async def _ask(self, host: str, text: str) -> str:
        """Run a program of sh there, which comes over stdin: command lines can be read by others. What it
        said, its last line. Raises ProviderError."""
        match = _HOST.match(host)
        assert match is not None
        settings = self._settings
        options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "LogLevel=ERROR", "ClearAllForwardings=yes"]
        options += [f"ConnectTimeout={settings.connect_seconds}", "ServerAliveInterval=10"]
        if settings.known_hosts:
            options.append(f"UserKnownHostsFile={settings.known_hosts}")
        command = ["ssh", "-T", *(word for option in options for word in ("-o", option))]
        if settings.identity:
            command += ["-i", settings.identity, "-o", "IdentitiesOnly=yes"]
        if match["port"]:
            command += ["-p", match["port"]]
        if match["user"]:
            command += ["-l", match["user"]]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--",
                match["host"].strip("[]"),
                "sh -s",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError:
            raise Unusable("ssh is missing: install OpenSSH's client") from None
        except OSError as error:
            raise ProviderError(f"ssh could not be started: {error.strerror or error}") from None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                out, err = await process.communicate(text.encode())
        except TimeoutError:
            raise ProviderError(f"{host} does not answer within {_ASK_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = _last(out)
        if process.returncode != 0:
            why = _last(err) or said or f"ssh ended with exit code {process.returncode}"
            raise ProviderError(f"{host}: {why}")
        return said


def _create(room: str, name: str, program: str, order: Order) -> str:
    """Says `begun PID`, or `taken NAME`. What an earlier server left is removed before the agent begins."""
    agent = shlex.quote(program)
    return f"""\
set -eu
umask 077
room="{room}"
mkdir -p "$room"
cd "$room"
if ! ln -sn {name} slot 2>/dev/null; then
    there=$(readlink slot)
    [ "$there" = {name} ] || {{ echo "taken $there"; exit 0; }}
fi
for tool in flock setsid python3; do
    command -v $tool >/dev/null || {{ rm -f slot; echo "$tool is missing there"; exit 0; }}
done
rm -rf var etc agent.log pid
mkdir -p etc/callwright var/lib/callwright
cat > etc/callwright/enrolment <<'ENROLMENT'
{order.token}
ENROLMENT
cat > etc/callwright/ca.pem <<'AUTHORITY'
{order.ca}
AUTHORITY
printf %s {agent} > agent.sh
setsid flock -n -E 75 held sh ./agent.sh < /dev/null > agent.log 2>&1 &
echo $! > pid
sleep 0.2
echo "begun $(cat pid)"
"""


def _look(room: str) -> str:
    """Says `NAME PID`, or `NAME - last words`, or nothing."""
    return f"""\
room="{room}"
cd "$room" 2>/dev/null || exit 0
[ -L slot ] || exit 0
if [ -e held ] && ! flock -n held true; then
    echo "$(readlink slot) $(cat pid)"
else
    echo "$(readlink slot) - $(tail -n 1 agent.log 2>/dev/null | cut -c 1-300)"
fi
"""


def _destroy(room: str, name: str) -> str:
    """Says `gone`, or nothing where it never was. The name goes last: a removal that was cut off is found."""
    return f"""\
room="{room}"
cd "$room" 2>/dev/null || exit 0
[ "$(readlink slot 2>/dev/null)" = {name} ] || exit 0
for signal in TERM KILL; do
    waited=0
    while [ -e held ] && ! flock -n held true; do
        [ $waited = 0 ] && kill -s $signal -- "-$(cat pid)" 2>/dev/null
        waited=$((waited + 1))
        [ $waited -gt 80 ] && break
        sleep 0.1
    done
done
if [ -e held ] && ! flock -n held true; then
    echo "process $(cat pid) does not end, not even by SIGKILL"
    exit 0
fi
rm -rf var etc agent.log agent.sh pid held
rm -f slot
echo gone
"""


def _last(data: bytes) -> str:
    lines = data[-_MOST_SAID:].decode("utf-8", "replace").strip().splitlines()
    return "".join(c if c.isprintable() else " " for c in lines[-1])[:500] if lines else ""


def _address(host: str) -> str:
    match = _HOST.match(host)
    return match["host"].strip("[]") if match is not None else ""
