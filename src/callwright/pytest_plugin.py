"""The pytest plug-in: `*.callwright.yaml` documents as tests, and fixtures for tests in Python.

pytest loads it wherever Callwright is installed, so it imports nothing of Callwright before it is used. See
docs/python.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from callwright.outcome.run import RunOutcome
    from callwright.policy.remedy import Remedy
    from callwright.scenario.scenario import Scenario
    from callwright.scripting.phone import Phone
    from callwright.scripting.running import Finished

__all__ = ["CallwrightRun", "DocumentFile", "DocumentItem", "Pbx", "callwright_run", "pbx", "phone"]

SUFFIX = ".callwright.yaml"
_RUNS = pytest.StashKey[int]()
_START_SECONDS = 30.0  # for the reference PBX, on a machine that is busy with other tests


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("callwright", "real SIP calls (Callwright)")
    group.addoption(
        "--callwright-allow",
        action="append",
        default=[],
        metavar="HOST|CIDR",
        help="permit this destination beyond this machine and private networks; repeat it for more",
    )
    group.addoption(
        "--callwright-set",
        action="append",
        default=[],
        metavar="ADDRESS=VALUE",
        help=f"override a parameter of every *{SUFFIX} document; repeat it for more",
    )
    group.addoption(
        "--callwright-credentials", metavar="FILE", default=None, help="accounts that documents name"
    )
    group.addoption(
        "--callwright-report",
        metavar="DIR",
        default=None,
        help="leave the evidence of every run in a folder below this one",
    )
    parser.addini("callwright_allow", "destinations that tests may call", type="linelist", default=[])
    parser.addini("callwright_credentials", "a file with the accounts that documents name", default="")


def pytest_configure(config: pytest.Config) -> None:
    for text in config.getoption("--callwright-set"):
        address, equals, _ = text.partition("=")
        if not equals or not address.strip():
            raise pytest.UsageError(f"--callwright-set takes ADDRESS=VALUE, not {text!r}")


# -- documents


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> DocumentFile | None:
    if file_path.name.endswith(SUFFIX):
        return DocumentFile.from_parent(parent, path=file_path)
    return None


class DocumentFile(pytest.File):
    """A test document; it is read when its test runs, so that a mistake in one fails one test."""

    def collect(self) -> Iterator[DocumentItem]:
        yield DocumentItem.from_parent(self, name=self.path.name.removesuffix(SUFFIX))


class DocumentItem(pytest.Item):
    """Passes with the document's verdict; the failure is the report, not a traceback."""

    def runtest(self) -> None:
        finished = _run(self, self.path, overrides=_overrides(self.config))
        if finished.outcome.verdict != "passed":
            raise NotPassed(finished)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from callwright.agent.execution import PolicyRefusal
        from callwright.policy.destination import PolicyError
        from callwright.scenario.source import DocumentError

        match error := excinfo.value:
            case NotPassed():
                return Told(_headline(error.finished.outcome), error.finished.text())
            case DocumentError():
                told = "\n".join(f"{self.path.name}: {problem}" for problem in error.problems)
                return Told(told.splitlines()[0], told)
            case PolicyRefusal() | PolicyError() | OSError():
                return Told(str(error), str(error))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class NotPassed(Exception):
    def __init__(self, finished: Finished) -> None:
        super().__init__(_headline(finished.outcome))
        self.finished = finished


@dataclass(frozen=True, slots=True)
class Crash:
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """A failure in words. pytest puts `reprcrash.message` into its summary and into JUnit's message."""

    message: str
    text: str

    @property
    def reprcrash(self) -> Crash:
        return Crash(self.message)

    def toterminal(self, tw: Any) -> None:
        for line in self.text.splitlines():
            tw.line(line)

    def __str__(self) -> str:
        return self.text


def _headline(outcome: RunOutcome) -> str:
    blame = f" ({outcome.blame})" if outcome.blame is not None else ""
    return f"{outcome.verdict}{blame}: {outcome.reason}"


# -- fixtures


@pytest.fixture
def pbx_accounts() -> Mapping[str, str]:
    """User to password of the accounts of `pbx`. Override it for others."""
    from callwright.net.entropy import system_entropy

    return {user: system_entropy(12).hex() for user in ("1001", "1002", "1003")}


@dataclass(frozen=True)
class Pbx:
    """A PBX under `host` and `port` with accounts, user to password; as text ``host:port``.

    To test one of yours, override the fixture `pbx` with a fixture that returns this.
    """

    host: str
    port: int
    accounts: Mapping[str, str]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@pytest.fixture
def pbx(pbx_accounts: Mapping[str, str]) -> Iterator[Pbx]:
    """The reference PBX on a free UDP port of 127.0.0.1, with a thread and a loop of its own, so that tests
    with and without asyncio can use it."""
    from callwright.scripting.running import reference_pbx

    began: list[Pbx | BaseException] = []
    ready, loops, stops = threading.Event(), [], []

    async def serve() -> None:
        stops.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        async with reference_pbx(pbx_accounts) as address:
            began.append(Pbx(address.host, address.port, dict(pbx_accounts)))
            ready.set()
            await stops[0].wait()

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told to the test, which waits for it
            began.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="callwright-pbx", daemon=True)
    thread.start()
    try:
        if not ready.wait(_START_SECONDS):
            pytest.fail(f"The reference PBX did not start within {_START_SECONDS:.0f} s.", pytrace=False)
        if not isinstance(made := began[0], Pbx):
            pytest.fail(f"The reference PBX did not start: {made}", pytrace=False)
        yield made
    finally:
        with contextlib.suppress(RuntimeError):  # its loop has ended on its own
            if loops:
                loops[0].call_soon_threadsafe(stops[0].set)
        thread.join(_START_SECONDS)


@pytest.fixture
def phone(pbx: Pbx) -> Callable[..., Phone]:
    """Makes phones: ``async with phone("1001") as alice:`` is registered at `pbx` while it is open.

    Without a user it has no account. Other arguments are those of ``callwright.Phone``. Needs a plug-in that
    runs async tests, such as pytest-asyncio or anyio.
    """
    from callwright.scripting.phone import Phone

    class Registered(Phone):
        name = ""

        async def __aenter__(self) -> Self:
            await super().__aenter__()
            registration = await self.register()
            if registration.verdict != "passed":
                await self.__aexit__(None, None, None)
                pytest.fail(f"{self.name} is not registered: {registration.reason}", pytrace=False)
            return self

    def make(user: str = "", **settings: Any) -> Phone:
        if not user:
            return Phone(**settings)
        if user not in pbx.accounts:
            known = ", ".join(pbx.accounts) or "none"
            raise ValueError(f"{pbx} has no account {user!r}. Its accounts: {known}")
        settings = {"password": pbx.accounts[user], **settings}
        made = Registered(f"sip:{user}@{pbx}", **settings)
        made.name = user
        return made

    return make


@dataclass(frozen=True, slots=True)
class CallwrightRun:
    """Runs a test to its end, without asyncio; see the fixture `callwright_run`."""

    item: pytest.Item

    def __call__(
        self,
        test: Scenario | Path | str,
        *,
        overrides: Mapping[str, str] | None = None,
        allow: tuple[str, ...] | list[str] = (),
        **more: Any,
    ) -> RunOutcome:
        """``test``: a name of the catalogue, a Scenario, or a document, looked for beside the test's file and
        in the working folder. Other arguments are those of ``callwright.run``."""
        if isinstance(test, str | Path) and (beside := self.item.path.parent / test).is_file():
            test = beside
        finished = _run(self.item, test, overrides=overrides, allow=allow, **more)
        if finished.outcome.verdict != "passed":
            self.item.add_report_section("call", "callwright", finished.text())
        return finished.outcome


@pytest.fixture
def callwright_run(request: pytest.FixtureRequest) -> CallwrightRun:
    """Runs a test document and returns its outcome: ``callwright_run("basic_call").verdict``.

    If the Python test fails then, pytest shows the report of each run that did not pass.
    """
    return CallwrightRun(request.node)


def _run(item: pytest.Item, test: Any, *, overrides: Any, allow: Any = (), **more: Any) -> Finished:
    from callwright.scripting.running import carry_out

    config = item.config
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        pytest.fail("In an async test, write `await callwright.run(…)`.", pytrace=False)
    if (folder := config.getoption("--callwright-report")) and "report" not in more:
        more["report"] = _own_folder(Path(folder), item)
    if (accounts := _credentials(config)) and not hasattr(test, "steps"):
        more.setdefault("credentials", accounts)
    permitted = [*config.getini("callwright_allow"), *config.getoption("--callwright-allow"), *allow]
    finished = asyncio.run(
        carry_out(test, overrides=overrides, allow=permitted, keep_packets=True, worded=_words, **more)
    )
    outcome = finished.outcome
    item.user_properties += [("callwright_verdict", str(outcome.verdict)), ("callwright_run", outcome.id)]
    if outcome.blame is not None:
        item.user_properties.append(("callwright_blame", str(outcome.blame)))
    return finished


def _overrides(config: pytest.Config) -> dict[str, str]:
    return {
        address.strip(): value
        for address, _, value in (text.partition("=") for text in config.getoption("--callwright-set"))
    }


def _credentials(config: pytest.Config) -> Path | None:
    if given := config.getoption("--callwright-credentials"):
        return Path(given)
    written = config.getini("callwright_credentials")
    return config.rootpath / written if written else None


def _own_folder(folder: Path, item: pytest.Item) -> Path:
    """The same at each start of pytest, so that CI finds it; a test's second run has its own."""
    count = item.stash[_RUNS] = item.stash.get(_RUNS, 0) + 1
    name = re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")
    return folder / (name if count == 1 else f"{name}-{count}")


def _words(remedy: Remedy) -> str:
    from callwright.policy.remedy import RemedyKind

    if remedy.kind is RemedyKind.PERMIT_PLACE:
        return f"Add {remedy.place} to callwright_allow of your pytest configuration if you may test it."
    return ""
