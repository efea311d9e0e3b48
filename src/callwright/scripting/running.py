"""`callwright.call` and `callwright.run`: one call, or one test, from its start to its outcome."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callwright.agent.execution import Site, Watch, execute
from callwright.evidence.folder import EvidenceFolder
from callwright.evidence.memory import PacketMemory
from callwright.evidence.redaction import Redactor
from callwright.net.entropy import system_entropy
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.pbx.embedded import embedded_pbx
from callwright.phone.guarding import guarded
from callwright.policy.destination import Rules, parse_allow
from callwright.policy.remedy import Remedy, RemedyKind
from callwright.scenario import catalogue
from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario
from callwright.scripting.phone import Phone
from callwright.sip.transport import Address

__all__ = ["call", "reference_pbx", "run"]


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
    report: Path | str | None = None,
    tls: TlsSettings | None = None,
    bind: str | None = None,
    rtp_ports: tuple[int, int] = (16384, 32767),
    taps: Sequence[Tap] = (),
    on_warning: Callable[[str], None] = lambda _: None,
) -> RunOutcome:
    """Run a test: a Scenario, the path of a document, or a name of the catalogue; its judged outcome.

    ``overrides``: values by address, as of ``--set``. ``allow``: hosts and networks that it may go to,
    besides this machine and private networks. ``report``: a folder for the evidence. Without a target the
    reference PBX is started for it. Raises DocumentError with every problem of a document, PolicyRefusal
    before anything is sent, PolicyError for an ``allow`` that is no place.
    """
    scenario = (
        test if isinstance(test, Scenario) else load(_text(test), overrides=overrides, environment=os.environ)
    )
    memory = PacketMemory()
    folder: EvidenceFolder | None = None

    def watch(_: Scenario, secrets: Sequence[str]) -> Watch:
        nonlocal folder
        if report is None:
            return Watch(taps=taps, on_warning=on_warning)
        folder = EvidenceFolder.open(Path(report), redactor=Redactor(secrets))
        capture: list[Tap] = [folder.capture] if folder.capture is not None else []
        return Watch(taps=[memory, *capture, *taps], on_warning=on_warning)

    place = Site(worded=_words, bind=bind, rtp_ports=rtp_ports, tls=tls or TlsSettings())
    with guarded() as guard:
        outcome = await execute(
            scenario,
            Rules(targets=tuple(parse_allow(host) for host in allow)),
            place,
            id_=system_entropy(8).hex(),
            watch=watch,
            stopping=_nobody_stops(),
            recordings=Path(report) if report is not None else None,
            guard=guard,
        )
    return outcome if folder is None else folder.write(outcome, memory.packets())


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
