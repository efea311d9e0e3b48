"""`callwright sipp-import FILE.xml`: a scenario of SIPp as a test document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from callwright.cli.console import show
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, Refused, say

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright sipp-import uac.xml

  callwright sipp-import uac.xml --target pbx.example.com --output uac.yaml

  callwright load sip:x@127.0.0.1:5080 --sipp uac.xml          [dim]runs it message by message instead[/dim]
"""


@app.command(epilog=_EXAMPLES)
def sipp_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.xml", help="The scenario of SIPp.")],
    target: Annotated[
        str | None, typer.Option("--target", metavar="HOST[:PORT]", help="Whom the document calls.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE.yaml", help="Write it there instead of here.")
    ] = None,
) -> int:
    """Write a scenario of SIPp as a test document, in the words of a phone.

    What a phone cannot be told (jumps, variables, messages that are wrong on purpose) is refused by name and
    line; `callwright load --sipp` runs it as it is.
    """
    import yaml

    from callwright.cli.load_sipp import read
    from callwright.sipp.translation import CannotTranslate, translate

    name = re.sub(r"\W+", "_", file.stem).strip("_") or "scenario"
    try:
        found = translate(read(file), name, target or "")
    except CannotTranslate as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise Refused(
            f"{file} is no test document:\n{problems}",
            f"`callwright load URI --sipp {file}` runs it as it is.",
            details={"errors": error.problems},
        ) from None
    notes = "".join(f"# {note}.\n" for note in found.notes)
    body = yaml.safe_dump(
        found.document, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    text = f"# From {file.name}, a scenario of SIPp.\n{notes}{body}"
    if output is None:
        show(text.rstrip())
        return EXIT_PASSED
    try:
        with output.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise Refused(f"{output} is there already", "Name another file, or remove it.") from None
    except OSError as error:
        raise Refused(
            f"{output} cannot be written: {error.strerror or error}", code=EXIT_PLATFORM, blame="platform"
        ) from None
    say(f"wrote {output}")
    return EXIT_PASSED
