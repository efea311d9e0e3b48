"""`callwright load --sipp FILE.xml`: a scenario of SIPp, run as it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callwright.cli.console import exit_code, print_json, show
from callwright.host.operator import EXIT_INTERRUPTED, Refused, say
from callwright.host.signals import run_async

if TYPE_CHECKING:
    from callwright.load.plan import Plan
    from callwright.load.sipp import SippLoad, SippResult
    from callwright.policy.destination import Rules
    from callwright.sip.transport import Address
    from callwright.sipp.injection import Injection
    from callwright.sipp.scenario import Scenario


def run(
    path: Path,
    *,
    uri: str | None,
    listen: Address | None,
    plan: Plan,
    calls: int,
    rules: Rules,
    bind: str | None,
    rtp_ports: tuple[int, int],
    hold: float,
    ring: float,
    user: str | None,
    password: str | None,
    keys: Sequence[str],
    injections: Sequence[Path],
    as_json: bool,
) -> int:
    """Read the scenario, run it, say what came of it. The exit code."""
    from callwright.cli.load_setup import load_uri, refusing
    from callwright.cli.remedies import with_allow
    from callwright.load.preparation import locate
    from callwright.load.sipp import SippLoad, SippWishes, sounds_of, told
    from callwright.phone.guarding import guarded
    from callwright.sip.digest import Credentials
    from callwright.sip.uri import Uri
    from callwright.version import __version__

    given = _keys(keys)
    scenario = read(path, frozenset(given))
    if scenario.answers != (uri is None):
        raise Refused(
            f"--sipp {path}: its first message is {'received' if scenario.answers else 'sent'}",
            "Give it --answer --listen HOST:PORT." if scenario.answers else "Give it the URI to call.",
        )
    remote, service, full = None, "service", ""
    with refusing():
        if uri is not None:
            full = load_uri(uri)
            service = Uri.parse(full).unescaped_user or "service"
            remote = locate(full, [service], rules)
        sounds = sounds_of(scenario, path.parent)
    wishes = SippWishes(
        scenario=scenario,
        plan=plan,
        rules=rules,
        uri=full,
        service=service,
        remote=remote,
        listen=listen,
        bind=bind,
        rtp_ports=rtp_ports,
        pause=hold,
        patience=ring,
        calls=calls,
        credentials=Credentials(user, password or "") if user else None,
        given=given,
        injections=tuple(_injection(file) for file in injections),
        sounds=sounds,
    )
    for note in scenario.notes:
        say(note)
    started_at = time.time()

    def ready(one: SippLoad) -> None:
        if remote is None and not as_json:
            say(f"answering at {one.local} as {scenario.name or path.name} says")

    with refusing(), guarded() as guard:
        load = SippLoad(wishes, worded=with_allow, version=__version__, guard=guard)
        result = run_async(lambda stop: load.run(stop, on_ready=ready))
    document = told(result, wishes, version=__version__, started_at=started_at)
    code = EXIT_INTERRUPTED if document["verdict"] == "canceled" else exit_code(document["verdict"])
    document["exit_code"] = code
    if as_json:
        print_json(document)
    else:
        _print(document, result)
    return code


def read(path: Path, given: frozenset[str] = frozenset()) -> Scenario:
    """A scenario from its file. Raises Refused, with each problem and its line."""
    from callwright.sipp.reading import NotSipp, read_scenario

    try:
        text = path.read_bytes()[: 2 << 20].decode("utf-8", "replace")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return read_scenario(text, given)
    except NotSipp as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise Refused(f"{path} cannot be run:\n{problems}", details={"errors": error.problems}) from None


def _keys(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.replace("_", "").replace("-", "").isalnum():
            raise Refused(f"--key takes NAME=VALUE, not {text!r}")
        found[name] = value
    return found


def _injection(path: Path) -> Injection:
    from callwright.cli.load_setup import read_text
    from callwright.sipp.injection import InjectionError, read_injection

    try:
        return read_injection(path.name, read_text(path, "--inf"))
    except InjectionError as error:
        raise Refused(f"--inf {path}: {error}") from None


def refuse_useless(given: Mapping[str, object]) -> None:
    """Flags that a scenario of SIPp decides itself. Raises Refused."""
    for name, value in given.items():
        if value:
            raise Refused(f"--{name} is of no effect with --sipp: the scenario says it")


def _print(told: dict[str, Any], result: SippResult) -> None:
    for line in told["log"]:
        show(f"call {line['call']}: {line['text']}")
    rows = [step for step in told["steps"] if step["message"] or step["step"] == "pause"]
    width = max((len(step["message"] or step["step"]) for step in rows), default=8)
    heads = f"{'done':>8}  {'again':>6}  {'late':>5}  {'unexpected':>10}"
    show(f"{'line':>5}  {'':4}  {'message':{width}}  {heads}")
    for step in rows:
        arrow = {"send": "-->", "recv": "<--"}.get(step["step"], "")
        show(
            f"{step['line']:>5}  {arrow:4}  {step['message'] or step['step']:{width}}  {step['done']:>8,}  "
            f"{step['retransmitted']:>6,}  {step['late']:>5,}  {step['unexpected']:>10,}"
        )
    for call in told["ladders"][:1]:
        show(f"call {call['number']}, {call['outcome']}: {call['why']}")
        for message in call["messages"]:
            arrow = "->" if message["direction"] == "sent" else "<-"
            show(f"    {message['at_ms']:>10.1f} ms {arrow} {message['summary']}")
    for name, times in told["response_times_ms"].items():
        if times["count"]:
            show(
                f"response time {name}: p50 {times['p50']:g}  p95 {times['p95']:g}  p99 {times['p99']:g}  "
                f"max {times['max']:g} ms"
            )
    show(
        f"{told['attempted']:,} calls = {told['succeeded']:,} as the scenario says + {told['failed']:,} "
        f"failed + {told['canceled']:,} canceled, in {told['seconds']:.1f} s, mean {told['rate']['mean']:g}/s"
    )
    show(f"{told['verdict'].upper()}: {told['reason']}")
