"""`callwright catalogue`: the tests that come with Callwright."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, print_json, show
from callwright.host.operator import EXIT_PASSED, Refused

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright catalogue

  callwright catalogue basic_call

  callwright catalogue basic_call --text > my_call.yaml
"""


@app.command(epilog=_EXAMPLES)
def catalogue(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Print the document alone, to start your own.")
    ] = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
) -> int:
    """List the ready-made tests, or show one with its parameters."""
    from callwright.scenario import catalogue as tests

    if name is None:
        return _list(as_json)
    try:
        document = tests.text(name)
    except tests.NotInCatalogue as error:
        raise Refused(str(error)) from None
    scenario = tests.scenario(name)
    parameters = [_plain(parameter) for parameter in scenario.parameters()]
    if as_json:
        print_json(
            {
                "name": scenario.name,
                "title": scenario.title,
                "description": scenario.description,
                "tags": list(scenario.tags),
                "parameters": parameters,
                "document": document,
            }
        )
    elif text:
        show(document.removesuffix("\n"))
    else:
        _show(document, parameters)
    return EXIT_PASSED


def _list(as_json: bool) -> int:
    from callwright.scenario import catalogue as tests

    summaries = tests.summaries()
    if as_json:
        print_json({"tests": [{"name": n, "title": t, "description": d} for n, t, d in summaries]})
        return EXIT_PASSED
    width = max(len(name) for name, _, _ in summaries)
    for name, _, description in summaries:
        show(f"{name:<{width}}  {' '.join(description.split())}")
    show("\nRun one with `callwright run NAME`; see its parameters with `callwright catalogue NAME`.")
    return EXIT_PASSED


def _plain(parameter: Any) -> dict[str, Any]:
    from callwright.outcome.plain import plain

    described: dict[str, Any] = plain(parameter)
    return described


def _shown(value: Any) -> str:
    """A value as the test language writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _show(document: str, parameters: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    show(document.rstrip())
    # A pipe has no width; COLUMNS gives it one.
    console = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100)
    table = Table(
        box=None,
        pad_edge=False,
        title="Parameters (callwright run … --set ADDRESS=VALUE)",
        title_justify="left",
    )
    table.add_column("address", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("now", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for parameter in parameters:
        value = parameter.get("value")
        table.add_row(
            str(parameter.get("address")),
            str(parameter.get("type")),
            _shown(value),
            str(parameter.get("help") or ""),
        )
    console.print()
    console.print(table)
