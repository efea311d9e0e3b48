"""`callwright tests push|pull|run`: tests of a running platform, from a folder in git and from CI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from callwright.cli.client import DEFAULT_URL, Client, KeyOption, UrlOption, quoted
from callwright.cli.console import JsonFlag, VerboseFlag, exit_code, print_json, show
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, Refused, say

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)

_EXAMPLES = """
[bold]Examples[/bold]

  export CALLWRIGHT_URL=https://calls.example.com CALLWRIGHT_KEY=cwk_…:…

  callwright tests push ./tests

  callwright tests run basic_call --set step.1.0.max_duration=10 --wait --junit out.xml

Exit codes of run with --wait: 0 passed, 1 failed, 2 refused, 3 the platform's error or an invalid
measurement.
"""
_MAX_DOCUMENT = 1_000_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


@app.callback(epilog=_EXAMPLES)
def tests() -> None:
    """Tests of a running platform: keep them in git, run them from CI."""


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Every .yaml in it is a test.")],
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Put new tests into this project.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Store the documents of a folder: new ones are made, changed ones get a new version."""
    files = sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml"))
    if not files:
        raise Refused(
            f"{folder} holds no .yaml file", "A document a file; see `callwright catalogue NAME --text`."
        )
    done: list[dict[str, Any]] = []
    with Client(url, key) as api:
        for path in files:
            answer = api.request(
                "PUT",
                "/tests",
                content=_read(path).encode(),
                headers={"Content-Type": "application/yaml"},
                params={"project": project} if project else {},
            )
            row = answer.json()["data"]
            done.append({"file": path.name, "name": row["name"], "version": row["version"]})
            if not as_json:
                show(f"{path.name}: {row['name']}, version {row['version']}")
    if as_json:
        print_json({"pushed": done})
    return EXIT_PASSED


@app.command()
def pull(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Each test becomes a file in it.")],
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Only tests of this project.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Write the stored documents into a folder, a file each."""
    written: list[str] = []
    with Client(url, key) as api:
        rows = list(api.pages("/tests", **({"project": project} if project else {})))
        _refuse_twins(rows)
        for row in rows:
            address = quoted(f"{row['project_name']}:{row['name']}")
            text = api.request("GET", f"/tests/{address}/document").text
            path = folder / _file_name(row["name"])
            try:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise Refused(
                    f"{path} cannot be written: {error.strerror or error}",
                    code=EXIT_PLATFORM,
                    blame="platform",
                ) from None
            written.append(path.name)
            if not as_json:
                show(str(path))
    if as_json:
        print_json({"pulled": written})
    return EXIT_PASSED


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The test, as the platform names it.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ADDRESS=VALUE", help="Override a parameter; repeat it for more."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the run has ended.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting, and the run, after this.")
    ] = 3600.0,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the result as JUnit XML; waits.")
    ] = None,
    kiosk: Annotated[bool, typer.Option("--kiosk", help="Give a report link that needs no account.")] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="TEXT", help="A second start with it gives the first run."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Start a stored test, and wait for its verdict if asked to."""
    with Client(url, key) as api:
        body: dict[str, str] = {"test.name": name, **_overrides(set_ or [])}
        if kiosk:
            body["report.mode"] = "kiosk"
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        started = api.request("POST", "/tests/run", json=body, headers=headers).json()["data"]
        say(f"run {started['session_id']}: {started['report_url']}")
        if not wait and junit is None:
            if as_json:
                print_json(started)
            else:
                show(started["session_id"])
            return EXIT_PASSED
        try:
            status = _wait_for(api, started["session_id"], timeout)
        except KeyboardInterrupt:
            api.request("POST", f"/runs/{started['session_id']}/stop")
            raise
        written = junit is None or _write_junit(api, started["session_id"], junit)
    if as_json:
        print_json({**started, "run": status})
    else:
        reason = status["result_description"]
        show(f"{status['phase']}{': ' + reason if reason else ''}")
    # As of `callwright run`: what passed and could not be written down is no success to CI.
    return exit_code(status["phase"]) or (EXIT_PASSED if written else EXIT_PLATFORM)


def _wait_for(api: Client, session_id: str, timeout: float) -> dict[str, Any]:
    import time

    until = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        status: dict[str, Any] = api.get(f"/runs/{session_id}/status")["run"]
        if status["is_finished"]:
            return status
        if time.monotonic() >= until:
            api.request("POST", f"/runs/{session_id}/stop")
            raise Refused(
                f"the run had not ended after {timeout:g} s and was stopped",
                code=EXIT_PLATFORM,
                blame="platform",
            )
        time.sleep(min(pause, max(0.0, until - time.monotonic())))
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def _write_junit(api: Client, session_id: str, path: Path) -> bool:
    """False: it could not be had or written, and that was said. A run that never began has none."""
    from callwright.evidence.folder import problem_sentence, write_whole

    try:
        content = api.request("GET", f"/runs/{session_id}/junit").content
    except Refused as refused:
        say(f"{path.name} was not written: {refused}")
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        say(problem_sentence(path, error))
        return False
    return True


def _overrides(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        address, equals, value = text.partition("=")
        if not equals or not address.strip():
            raise Refused(
                f"--set takes ADDRESS=VALUE, not {text!r}", "Such as --set step.1.0.max_duration=30"
            )
        found[address.strip()] = value
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_DOCUMENT:
            raise Refused(f"{path} is larger than {_MAX_DOCUMENT:,} octets: that is not a test document")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text") from None


def _refuse_twins(rows: list[dict[str, Any]]) -> None:
    """Two tests would become one file."""
    seen: dict[str, dict[str, Any]] = {}
    for row in rows:
        twin = seen.setdefault(_file_name(row["name"]).casefold(), row)
        if twin is not row:
            names = " and ".join(f"{one['project_name']}:{one['name']}" for one in (twin, row))
            raise Refused(f"{names} would be the same file", "Pull a project at a time: --project NAME")


def _file_name(name: str) -> str:
    """The name of a test as a file of this folder, whatever a stranger called it."""
    plain = re.sub(r"[^\w.-]", "_", name).lstrip(".") or "test"
    return f"{plain}.yaml"
