"""`callwright agent`: takes runs from a platform and carries them out here."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from callwright.cli.setting_flags import read_config, settled
from callwright.host.logging import set_up
from callwright.host.operator import EXIT_PASSED
from callwright.host.settings import AgentSettings

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright agent --url https://calls.example.com --enrol TOKEN --pool lab --data /var/lib/callwright

  callwright agent --data /var/lib/callwright

  callwright agent --config /etc/callwright/agent.toml

A token enrols one agent. The agent keeps its identity in DIR/agent.json, readable by its owner alone, and
reconnects by itself from then on. Ctrl-C stops its runs and reports them. An agent that was revoked ends with
exit code 4.
"""


@app.command(epilog=_EXAMPLES)
@settled
def agent(
    settings: AgentSettings,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="CALLWRIGHT_AGENT_CONFIG",
            metavar="FILE",
            is_eager=True,
            callback=read_config,
            help="TOML file of settings, one key per flag.",
        ),
    ] = None,
) -> int:
    """Take runs from a platform and carry them out here, until Ctrl-C."""
    os.umask(0o077)  # what waits in the spool is nobody else's, also in a folder that others may enter
    from callwright.host.agent import run_agent

    set_up(settings.log_format, logging.DEBUG if settings.verbose else logging.WARNING)
    run_agent(settings)
    return EXIT_PASSED
