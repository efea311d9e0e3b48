"""`callwright monitors list|show|run|apply|export`: what a platform watches, for CI, cron and git."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import softphone as flags
from callwright.cli.client import DEFAULT_URL, Client, KeyOption, UrlOption
from callwright.cli.console import JsonFlag, VerboseFlag, exit_code, print_json, show
from callwright.host.operator import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PASSED,
    EXIT_PLATFORM,
    Refused,
    say,
)

if TYPE_CHECKING:
    import asyncio

    from callwright.dispatch.messages.monitors import Monitor
    from callwright.probe.result import ProbeResult

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)

_EXAMPLES = """
[bold]Examples[/bold]

  export CALLWRIGHT_URL=https://calls.example.com CALLWRIGHT_KEY=cwk_…:…

  callwright monitors list

  callwright monitors show "Head office PBX" && echo good

  callwright monitors run "Head office PBX"

  callwright monitors export > monitors.yaml

  callwright monitors apply monitors.yaml --plan

Exit codes of list and show: 0 all are good, 1 one is bad, 3 one has no data and none is bad.
Of apply --plan: 0 nothing is to be changed, 1 something is.
"""
_MOST_OCTETS = 2 * 1024 * 1024
_CODES = {"good": EXIT_PASSED, "bad": EXIT_FAILED, "no data": EXIT_PLATFORM}
_SIGNS = {"create": "+", "recover": "+", "change": "~", "cancel": "-"}
_DONE = {"create": "created", "recover": "recovered", "change": "changed", "cancel": "cancelled"}
_TO_DO = {"create": "to create", "recover": "to recover", "change": "to change", "cancel": "to cancel"}
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or the id of its endpoint.")]
_ProjectOption = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Only of this project.")
]


@app.callback(epilog=_EXAMPLES)
def monitors() -> None:
    """Monitors of a running platform: is it good now, and monitors as code."""


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Only those with this in their name.")
    ] = None,
    project: _ProjectOption = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """List what is monitored, and whether it is good now; the exit code says the worst."""
    with Client(url, key) as api:
        rows = _rows(api, name=name, project=project)
    worst = next((word for word in ("bad", "no data") if any(row["state"] == word for row in rows)), "good")
    if not rows:
        worst = "no data"
    if as_json:
        print_json({"state": worst, "monitors": rows})
        return _CODES[worst]
    if not rows:
        show("Nothing is monitored." if name is None and project is None else "No monitor fits.")
    width = min(40, max((len(row["name"]) for row in rows), default=0))
    for row in rows:
        mos = "" if row["mos"] is None else f"MOS {row['mos']:.2f}"
        line = f"{row['state']:<7}  {row['name']:<{width}}  {row['category']:<8}  {mos:<8}  {row['reason']}"
        show(line.rstrip())
    return _CODES[worst]


@app.command("show")
def show_(
    name: _NameArgument,
    project: _ProjectOption = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Show one monitor as each server sees it; the exit code says whether it is good."""
    with Client(url, key) as api:
        row = _found(api, name, project)
    if as_json:
        print_json({"monitor": row})
        return _CODES[row["state"]]
    where = row["ip_address"] if row["port"] is None else f"{row['ip_address']} port {row['port']}"
    show(f"{row['name']}: {row['state']}. {row['reason']}".rstrip())
    show(f"  {row['category']} to {where}, every {row['interval']} s, in project {row['project']}")
    width = max((len(one["server"]) for one in row["servers"]), default=0)
    for one in row["servers"]:
        mos = "" if one["mos"] is None else f"MOS {one['mos']:.2f}"
        show(f"  {one['server']:<{width}}  {one['state']:<7}  {mos:<8}  {one['reason']}".rstrip())
    for one in row["alerts"]:
        show(f"  alert {one['name']}: {one['state']}")
    return _CODES[row["state"]]


@app.command()
def run(
    name: _NameArgument,
    project: _ProjectOption = None,
    password: flags.PasswordOption = None,
    bind: flags.BindOption = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Measure what is monitored once, now, from this machine, as its servers do. Nothing is stored.

    A SIP account's password is not handed out by the platform: give it with --password.
    """
    with Client(url, key) as api:
        row = _found(api, name, project)
        endpoint = api.get(_v3(api, f"/endpoints/{row['id']}"))
        tests = api.get(_v3(api, f"/endpoints/{row['id']}/voip_tests"))["collection"]
        account = _account(api, endpoint, password)
    result, interrupted = _measure(_monitor(endpoint, tests, account), endpoint, bind)
    result = (
        result.canceled("Ctrl-C ended it.") if interrupted else result.at_least(endpoint["alert_threshold"])
    )
    if as_json:
        print_json({"monitor": row["name"], **result.to_json()})
    else:
        from callwright.cli.probe_view import lines

        plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
        for line in lines(result, verbose=verbose, plain=plain):
            show(line)
    return EXIT_INTERRUPTED if interrupted else exit_code(result.verdict, result.failure)


@app.command()
def apply(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML with endpoints and alerts, or a .csv of endpoints.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Change nothing; leave with 1 if something would be changed.")
    ] = False,
    keep: Annotated[
        bool | None,
        typer.Option(
            "--keep/--cancel",
            help="Whether what FILE does not name stays, or is cancelled. Usual: a CSV keeps, YAML cancels.",
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Where it belongs, if FILE does not say.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make the monitors of a project what FILE says: shows a plan, asks, and changes all or nothing."""
    text = _read(file)
    given: dict[str, Any] = {"project": project, "keep": None if keep is None else str(keep).lower()}
    wishes = {name: value for name, value in given.items() if value is not None}
    with Client(url, key) as api:
        planned = _apply(api, file, text, {**wishes, "plan": "true"})
        changes = planned["changes"]
        if not as_json:
            _print_plan(planned, file)
        if plan or not changes:
            if as_json:
                print_json(planned)
            return EXIT_FAILED if changes else EXIT_PASSED
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise Refused("Nothing was changed: nobody is there to be asked.", "Add --yes, or --plan.")
            if not typer.confirm("Apply these changes?", err=True):
                say("Nothing was changed.")
                return EXIT_INTERRUPTED
        done = _apply(api, file, text, {**wishes, "fingerprint": planned["fingerprint"]})
    if as_json:
        print_json(done)
    else:
        show(f"Done: {_counted(done['changes'], _DONE)}.")
    return EXIT_PASSED


@app.command()
def export(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there instead of to stdout.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The endpoints as CSV.")] = False,
    project: _ProjectOption = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    verbose: VerboseFlag = False,
) -> int:
    """Write the monitors of a project as a file that `apply` takes."""
    wishes = {"format": "csv" if as_csv else "yaml"} | ({"project": project} if project else {})
    with Client(url, key) as api:
        found = api.request("GET", _v3(api, "/monitors/export"), params=wishes).content
    if out is None:
        sys.stdout.buffer.write(found)
        sys.stdout.flush()
        return EXIT_PASSED
    try:
        out.write_bytes(found)
    except OSError as error:
        raise Refused(f"Cannot write {out}: {error.strerror or error}.", code=EXIT_PLATFORM) from None
    say(f"Written to {out}.")
    return EXIT_PASSED


# -- of the platform


def _v3(api: Client, path: str) -> str:
    return f"{api.base}/api/v3{path}"


def _rows(api: Client, **wishes: str | None) -> list[dict[str, Any]]:
    given = {name: value for name, value in wishes.items() if value is not None}
    rows: list[dict[str, Any]] = api.get(_v3(api, "/monitors"), **given)["collection"]
    return rows


def _found(api: Client, name: str, project: str | None) -> dict[str, Any]:
    rows = _rows(api, project=project)
    same = [row for row in rows if row["name"] == name] or [row for row in rows if str(row["id"]) == name]
    if len(same) > 1:
        places = ", ".join(f"{row['project']} ({row['id']})" for row in same)
        raise Refused(f"{len(same)} monitors are named {name!r}: {places}.", "Add --project, or give the id.")
    if not same:
        from callwright.scenario.source import nearest_names

        near = nearest_names(name, [row["name"] for row in rows])
        remedy = f"Did you mean {near[0]!r}?" if near else "callwright monitors list has all of them."
        raise Refused(f"No monitor named {name!r}.", remedy)
    return same[0]


def _account(api: Client, endpoint: dict[str, Any], password: str | None) -> dict[str, str]:
    wanted = endpoint["credentials"]
    if not wanted:
        return {}
    if password is None:
        raise Refused(
            f"{endpoint['name']} signs in with the SIP account {wanted!r}, whose password stays there.",
            "Add --password, or set CALLWRIGHT_PASSWORD.",
        )
    for row in api.pages("/credentials"):
        if row["name"] == wanted:
            return {"user": row["user"], "domain": row.get("domain") or "", "password": password}
    raise Refused(f"No SIP account named {wanted!r} is to be seen with this key.")


def _monitor(endpoint: dict[str, Any], tests: list[dict[str, Any]], account: dict[str, str]) -> Monitor:
    """As the platform plans it for a server."""
    from callwright.dispatch.messages.monitors import Monitor
    from callwright.dispatch.messages.runs import JobPolicy, PolicyTarget

    shape = next((one for one in tests if one["deleted_at"] is None), None) or {}
    signalled = endpoint["category"] in ("sip", "call", "register")
    return Monitor(
        monitor_id=endpoint["id"],
        category=endpoint["category"],
        target=endpoint["uri"] if signalled and endpoint["uri"] else endpoint["ip_address"],
        interval=endpoint["interval"],
        port=endpoint["port"],
        packets=shape.get("num_tests", 25),
        interpacket_ms=shape.get("interpacket_ms", 100.0),
        codec=shape.get("codec", "g711"),
        transport=endpoint["transport"],
        credentials={name: value for name, value in account.items() if value},
        policy=JobPolicy(targets=(PolicyTarget(host=endpoint["ip_address"]),), embedded=True),
    )


def _measure(monitor: Monitor, endpoint: dict[str, Any], bind: str | None) -> tuple[ProbeResult, bool]:
    from callwright.agent.measuring import Measurer
    from callwright.cli.remedies import without_allow
    from callwright.host.signals import run_async
    from callwright.phone.guarding import guarded

    async def measure(stop: asyncio.Event) -> tuple[ProbeResult, bool]:
        with guarded() as guard:
            measurer = Measurer(worded=without_allow, bind=bind, guard=guard)
            return await measurer(monitor, stop), stop.is_set()

    say(f"Measuring {endpoint['name']} at {monitor.target} ({monitor.category}) from this machine")
    return run_async(measure)


# -- as code


def _read(file: Path) -> bytes:
    try:
        found = file.read_bytes()
        found.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"Cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text.") from None
    if len(found) > _MOST_OCTETS:
        raise Refused(f"{file} is larger than {_MOST_OCTETS:,} octets.")
    return found


def _apply(api: Client, file: Path, text: bytes, wishes: dict[str, Any]) -> dict[str, Any]:
    kind = "text/csv" if file.suffix.lower() == ".csv" else "application/yaml"
    try:
        answer = api.request(
            "POST",
            _v3(api, "/monitors/apply"),
            content=text,
            headers={"Content-Type": kind},
            params=wishes,
        )
    except Refused as refusal:
        errors = [one for one in refusal.details.get("errors") or [] if one.get("line")]
        if not errors:
            raise
        places = [":".join(str(part) for part in (one["line"], one.get("column")) if part) for one in errors]
        told = [f"{file}:{place}: {one['message']}" for place, one in zip(places, errors, strict=True)]
        raise Refused(
            "\n".join(told), refusal.remedy, code=refusal.code, blame=refusal.blame, details=refusal.details
        ) from None
    found: dict[str, Any] = answer.json()
    return found


def _print_plan(planned: dict[str, Any], file: Path) -> None:
    changes = planned["changes"]
    if not changes:
        show(f"Nothing to do: the project {planned['project']} is as {file} says.")
        return
    show(f"Project {planned['project']}")
    for one in changes:
        back = " (it was cancelled; its history comes back)" if one["verb"] == "recover" else ""
        gone = " (cancelled: its record and history stay)" if one["verb"] == "cancel" else ""
        show(f"  {_SIGNS[one['verb']]} {one['kind']} {one['name']}{back}{gone}")
        for field, pair in one["fields"].items():
            if one["verb"] == "create":
                if pair["new"] not in (None, "", []):
                    show(f"      {field:<15} {_value(pair['new'])}")
            else:
                show(f"      {field:<15} {_value(pair['old'])} → {_value(pair['new'])}")
    show(f"Plan: {_counted(changes, _TO_DO)}.")


def _counted(changes: list[dict[str, Any]], words: dict[str, str]) -> str:
    counts = {verb: sum(one["verb"] == verb for one in changes) for verb in words}
    return ", ".join(f"{count} {words[verb]}" for verb, count in counts.items() if count)


def _value(value: Any) -> str:
    if value in (None, "", []):
        return "none"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
