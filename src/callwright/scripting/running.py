"""`callwright.call` and `callwright.run`: one call, or one test, from its start to its outcome."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callwright.agent.execution import Site, Watch, execute
from callwright.evidence.folder import EvidenceFolder
from callwright.evidence.ladder import build_ladder
from callwright.evidence.memory import PacketMemory
from callwright.evidence.naming import call_names
from callwright.evidence.redaction import Redactor
from callwright.evidence.terminal import render_text
from callwright.net.entropy import system_entropy
from callwright.net.tap import Packet, Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.pbx.embedded import embedded_pbx
from callwright.phone.guarding import guarded
from callwright.policy.destination import Rules, parse_allow
from callwright.policy.remedy import Remedy, RemedyKind, Worded
from callwright.scenario import catalogue
from callwright.scenario.document import load, read_credentials
from callwright.scenario.scenario import Scenario
from callwright.scripting.phone import Phone
from callwright.sip.transport import Address

__all__ = ["Finished", "call", "carry_out", "reference_pbx", "run"]


async def call(
    destination: str, *, talk_for: float = 10.0, user: str = "", password: str = "", **plan: Any
) -> CallOutcome:
    """Place one call from a phone of its own; its judged outcome. See ``Phone.call`` for ``plan``.

    ``user`` and ``password``: the account that answers a challenge of the other side.
    """
    async with Phone(password=password, user=user or None) as phone:
        placed = await phone.call(destination, talk_for=talk_for, **plan)
        return await placed.finished()


@asynccontextmanager
async def reference_pbx(passwords: Mapping[str, str], transport: str = "udp") -> AsyncIterator[Address]:
    """The reference PBX with these accounts (user to password) on a free port of loopback; its address."""
    async with embedded_pbx(passwords, transport) as (address, _):
        yield address


async def run(
    test: Scenario | Path | str,
    *,
    overrides: Mapping[str, str] | None = None,
    allow: Sequence[str] = (),
    credentials: Path | str | None = None,
    report: Path | str | None = None,
    tls: TlsSettings | None = None,
    bind: str | None = None,
    rtp_ports: tuple[int, int] = (16384, 32767),
    taps: Sequence[Tap] = (),
    on_warning: Callable[[str], None] = lambda _: None,
) -> RunOutcome:
    """Run a test: a Scenario, the path of a document, or a name of the catalogue; its judged outcome.

    ``overrides``: values by address, as of ``--set``. ``allow``: hosts and networks that it may go to,
    besides this machine and private networks. ``credentials``: a file with the accounts that the document
    names. ``report``: a folder for the evidence. Without a target the reference PBX is started for it.
    Raises DocumentError with every problem of a document, PolicyRefusal before anything is sent, PolicyError
    for an ``allow`` that is no place, OSError for a file that cannot be read.
    """
    finished = await carry_out(
        test,
        overrides=overrides,
        allow=allow,
        credentials=credentials,
        report=report,
        tls=tls,
        bind=bind,
        rtp_ports=rtp_ports,
        taps=taps,
        on_warning=on_warning,
    )
    return finished.outcome


@dataclass(frozen=True, slots=True)
class Finished:
    """A run and what its report is drawn from."""

    outcome: RunOutcome
    packets: Sequence[Packet] = ()
    redactor: Redactor = field(default_factory=Redactor)

    def text(self, width: int = 100) -> str:
        """The report of a terminal, with its ladder; secrets are masked."""
        ladder = build_ladder(
            self.packets,
            call_names=call_names(self.outcome),
            origin=self.outcome.started_at,
            redactor=self.redactor,
        )
        return render_text(self.outcome, ladder, width=width, redactor=self.redactor)


async def carry_out(
    test: Scenario | Path | str,
    *,
    overrides: Mapping[str, str] | None = None,
    allow: Sequence[str] = (),
    credentials: Path | str | None = None,
    report: Path | str | None = None,
    tls: TlsSettings | None = None,
    bind: str | None = None,
    rtp_ports: tuple[int, int] = (16384, 32767),
    taps: Sequence[Tap] = (),
    on_warning: Callable[[str], None] = lambda _: None,
    keep_packets: bool = False,
    worded: Worded | None = None,
) -> Finished:
    """As ``run``. ``keep_packets``: also for a text without a folder. ``worded``: remedies of refusals."""
    rules = Rules(targets=tuple(parse_allow(host) for host in allow))
    if isinstance(test, Scenario):
        scenario = test
    else:
        accounts = read_credentials(Path(credentials).read_text("utf-8")) if credentials is not None else None
        scenario = load(_text(test), overrides=overrides, environment=os.environ, credentials=accounts)
    memory, redactor = PacketMemory(), Redactor()
    folder: EvidenceFolder | None = None

    def watch(_: Scenario, secrets: Sequence[str]) -> Watch:
        nonlocal folder, redactor
        redactor = Redactor(secrets)
        watching: list[Tap] = [memory] if keep_packets or report is not None else []
        if report is not None:
            folder = EvidenceFolder.open(Path(report), redactor=redactor)
            watching += [folder.capture] if folder.capture is not None else []
        return Watch(taps=[*watching, *taps], on_warning=on_warning)

    place = Site(worded=worded or _words, bind=bind, rtp_ports=rtp_ports, tls=tls or TlsSettings())
    with guarded() as guard:
        outcome = await execute(
            scenario,
            rules,
            place,
            id_=system_entropy(8).hex(),
            watch=watch,
            stopping=_nobody_stops(),
            recordings=Path(report) if report is not None else None,
            guard=guard,
        )
    packets = memory.packets()
    if folder is not None:
        outcome = folder.write(outcome, packets)
    return Finished(outcome, packets, redactor)


async def _nobody_stops() -> str:
    await asyncio.Event().wait()
    return ""


def _text(test: Path | str) -> str:
    path = Path(test)
    if isinstance(test, Path) or path.suffix in (".yaml", ".yml") or path.is_file():
        return path.read_text(encoding="utf-8")
    return catalogue.text(test)


def _words(remedy: Remedy) -> str:
    if remedy.kind is RemedyKind.PERMIT_PLACE:
        return f'Add allow=["{remedy.place}"] if you may test it.'
    return ""
