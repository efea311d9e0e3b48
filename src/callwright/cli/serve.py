"""`callwright serve`: the platform."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from callwright.cli.setting_flags import read_config, settled
from callwright.host.operator import EXIT_PASSED
from callwright.host.settings import ServeSettings
from callwright.host.signals import run_async

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright serve

  callwright serve --host 0.0.0.0 --public-url https://calls.example.com --database postgresql://…

  callwright serve --config /etc/callwright/callwright.toml

Every setting is a flag, a variable (CALLWRIGHT_PUBLIC_URL for --public-url) and a key of the TOML file
(public_url). The flag wins, then the variable, then the file.
"""


@app.command(epilog=_EXAMPLES)
@settled
def serve(
    settings: ServeSettings,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="CALLWRIGHT_CONFIG",
            metavar="FILE",
            is_eager=True,
            callback=read_config,
            help="TOML file of settings, one key per flag.",
        ),
    ] = None,
) -> int:
    """Run the platform: the API, the pages, an agent and a PBX, until Ctrl-C."""
    os.umask(0o077)  # records and recordings are nobody else's, also in a folder that others may enter
    from callwright.host.platform import Platform

    run_async(Platform(settings).run)
    return EXIT_PASSED
