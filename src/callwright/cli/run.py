"""`callwright run FILE|NAME`: a test document from its first step to its verdict and evidence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, exit_code_of
from callwright.host.operator import EXIT_INTERRUPTED, EXIT_PLATFORM, EXIT_REFUSED, Refused, say
from callwright.host.signals import run_async

if TYPE_CHECKING:
    from callwright.outcome.run import RunOutcome
    from callwright.phone.plan import PhoneConfig
    from callwright.policy.destination import Target
    from callwright.scenario import event
    from callwright.scenario.scenario import Scenario

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright run basic_call

  callwright run basic_call --set target=pbx.example.com --set alice=4101:secret --set bob=4102:secret
  --allow pbx.example.com

  callwright run my_test.yaml --set step.1.0.dial_destination=0043123456 --junit out.xml --report ./evidence

Exit codes: 0 passed, 1 failed, 2 a bad document or refused by policy, 3 our own error or an invalid
measurement.
"""
_MAX_DOCUMENT = 1_000_000


@app.command(epilog=_EXAMPLES)
def run(
    test: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A document, or a name of the catalogue.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ADDRESS=VALUE", help="Override a parameter; repeat it for more."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="HOST|CIDR", help="Permit this destination; repeat it for more."),
    ] = None,
    targets: Annotated[
        Path | None, typer.Option("--targets", metavar="FILE", help="Permit the destinations of this file.")
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option("--credentials", metavar="FILE", help="Accounts that the document names."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the result as JUnit XML.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Leave the evidence in this folder.")
    ] = None,
    bind: flags.BindOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    ipv4: flags.Ipv4Option = False,
    ipv6: flags.Ipv6Option = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Run a test document: its steps, its conditions, its verdict.

    Without a target the reference PBX and both parties are started here, on free ports.
    """
    scenario = _load(test, set_ or (), credentials)
    if scenario.asks_for_servers:
        say("agentpool and placement are for a platform: this run is carried out here, on this machine alone")
    permitted = (*_allowed(allow or ()), *_from_file(targets))
    config = flags.phone_config(
        bind=bind,
        rtp_ports=rtp_ports,
        ca=ca,
        cert=cert,
        key=key,
        sni=sni,
        insecure=insecure,
        ipv4=ipv4,
        ipv6=ipv6,
    )
    outcome, interrupted, lost = run_async(
        lambda stop: _run(
            scenario,
            permitted,
            config,
            stop,
            _Wishes(report, junit, as_json, flags.Watching(trace_sip, hep), verbose),
        )
    )
    if as_json:
        flags.print_result(outcome.to_json(), scenario.secrets())
    if interrupted:
        return EXIT_INTERRUPTED
    if _refused_by_policy(outcome):
        return EXIT_REFUSED
    return exit_code_of(outcome.verdict, lost_evidence=lost)


class _Wishes:
    def __init__(
        self, report: Path | None, junit: Path | None, as_json: bool, watching: flags.Watching, verbose: bool
    ) -> None:
        self.report, self.junit, self.as_json = report, junit, as_json
        self.watching, self.verbose = watching, verbose


def _load(test: str, overrides: Sequence[str], credentials: Path | None) -> Scenario:
    """Read the document with its overrides. Raises Refused with every problem at once."""
    from callwright.scenario import catalogue
    from callwright.scenario.document import load, read_credentials
    from callwright.scenario.source import DocumentError

    path = Path(test)
    if path.suffix in (".yaml", ".yml") or "/" in test or path.is_file():
        text = _read(path, "the document")
    else:
        try:
            text = catalogue.text(test)
        except catalogue.NotInCatalogue as error:
            raise Refused(str(error), "See what they do: callwright catalogue") from None
    accounts, wrong = None, test
    try:
        if credentials is not None:
            wrong = str(credentials)
            accounts = read_credentials(_read(credentials, "--credentials"))
            wrong = test
        return load(text, overrides=_overrides(overrides), environment=os.environ, credentials=accounts)
    except DocumentError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        count = len(error.problems)
        raise Refused(
            f"{wrong} has {count} problem{'s' if count > 1 else ''}:\n{lines}",
            f"See its parameters with `callwright catalogue {test}`." if test in catalogue.NAMES else "",
            details={"errors": [problem.to_json() for problem in error.problems]},
        ) from None


def _read(path: Path, what: str) -> str:
    try:
        if path.stat().st_size > _MAX_DOCUMENT:
            raise Refused(
                f"{what} {path} is larger than {_MAX_DOCUMENT:,} octets: that is not a test document"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"{what} {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Refused(f"{what} {path} is not UTF-8 text") from None


def _overrides(texts: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for text in texts:
        address, equals, value = text.partition("=")
        if not equals or not address.strip():
            raise Refused(
                f"--set takes ADDRESS=VALUE, not {text!r}", "Such as --set step.1.0.max_duration=30"
            )
        overrides[address.strip()] = value
    return overrides


def _allowed(texts: Sequence[str]) -> list[Target]:
    from callwright.policy.destination import PolicyError, parse_allow

    try:
        return [parse_allow(text) for text in texts]
    except PolicyError as error:
        raise Refused(str(error), "For example: --allow 203.0.113.0/24") from None


def _from_file(path: Path | None) -> list[Target]:
    """The targets file: one host, network or CIDR on a line, maybe `number=PATTERN` and `country=CODE` after
    it; a # at the start of a word begins a comment."""
    import re
    from dataclasses import replace

    from callwright.policy.destination import PolicyError

    if path is None:
        return []
    targets = []
    for line in _read(path, "--targets").splitlines():
        words = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split()  # a number may have one in it: 112#
        if not words:
            continue
        target = _allowed([words[0]])[0]
        for word in words[1:]:
            name, _, value = word.partition("=")
            if name not in ("number", "country") or not value:
                raise Refused(f"--targets {path}: {word!r} is neither number=PATTERN nor country=CODE")
            try:
                target = replace(target, number=value) if name == "number" else replace(target, country=value)
            except PolicyError as error:
                raise Refused(f"--targets {path}: {error}") from None
        targets.append(target)
    return targets


async def _run(
    scenario: Scenario,
    targets: tuple[Target, ...],
    config: PhoneConfig,
    stop: asyncio.Event,
    wishes: _Wishes,
) -> tuple[RunOutcome, bool, bool]:
    from callwright.agent.execution import PolicyRefusal, Site, Watch, execute
    from callwright.cli.evidence import Collection
    from callwright.cli.remedies import with_allow
    from callwright.net.driver import BindFailed
    from callwright.net.entropy import system_entropy
    from callwright.phone.guarding import guarded
    from callwright.policy.destination import Rules

    progress = flags.ProgressLine()
    collection: Collection | None = None
    secrets: Sequence[str] = ()
    interrupted = False

    def watch(scenario: Scenario, hidden: Sequence[str]) -> Watch:
        nonlocal collection, secrets
        secrets = hidden
        collection = Collection(wishes.report, name=scenario.name, secrets=hidden, quiet=wishes.as_json)
        return Watch(
            taps=[*collection.taps, *wishes.watching.taps(hidden)],
            on_event=lambda what: progress.show(_in_words(what)),
            on_warning=say if wishes.verbose else lambda _: None,
        )

    async def stopping() -> str:
        nonlocal interrupted
        await stop.wait()
        interrupted = True
        return "Stopped by Ctrl-C."

    place = Site(
        worded=with_allow,
        bind=config.bind,
        family=config.family,
        rtp_ports=config.rtp_ports,
        tls=config.tls,
        user_agent=config.user_agent,
    )
    try:
        with guarded() as guard:
            outcome = await execute(
                scenario,
                Rules(targets=targets),
                place,
                id_=system_entropy(8).hex(),
                watch=watch,
                stopping=stopping(),
                recordings=wishes.report,
                guard=guard,
            )
    except BindFailed as error:
        raise Refused(
            f"the built-in PBX does not start: {error}", code=EXIT_PLATFORM, blame="platform"
        ) from None
    except PolicyRefusal as refused:
        raise Refused(
            f"{refused.address}: {refused.reason}",
            refused.remedy,
            details={"address": refused.address, "refused_by": "policy"},
        ) from None
    finally:
        progress.done()
    assert collection is not None
    outcome = collection.finish(outcome)
    if wishes.junit is not None:
        collection.lost |= not _write_junit(wishes.junit, outcome, secrets)
    return outcome, interrupted, collection.lost


def _refused_by_policy(outcome: RunOutcome) -> bool:
    from callwright.outcome.terms import Failure

    failures = [call.failure for call in outcome.calls]
    failures += [registration.failure for registration in outcome.registrations]
    failures += [request.failure for request in outcome.requests]
    return Failure.POLICY in failures


def _write_junit(path: Path, outcome: RunOutcome, secrets: Sequence[str]) -> bool:
    """False, and said, when it could not be written."""
    from callwright.evidence.folder import problem_sentence, write_whole
    from callwright.evidence.junit import render_junit
    from callwright.evidence.redaction import Redactor

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, render_junit(outcome, Redactor(secrets)))
    except OSError as error:
        say(problem_sentence(path, error))
        return False
    return True


def _in_words(what: event.Event) -> str:
    from callwright.scenario import event as events

    match what:
        case events.CallStateChanged(id=id_, state=state, code=code):
            return f"{id_}  {state.value.replace('_', ' ')}{f' ({code})' if code else ''}"
        case events.RegistrationDone(id=id_, outcome=outcome):
            return f"{id_}  {'registered' if outcome.failure is None else 'not registered'}"
        case events.CallFinished(id=id_):
            return f"{id_}  over"
        case _:
            return type(what).__name__
