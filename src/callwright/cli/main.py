"""The `callwright` command: finds the verb, runs it, and turns every ending into an exit code.

The verbs are imported only when they are used, so that a light one starts quickly.
"""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from callwright.cli import console
from callwright.host import process_list
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, Refused
from callwright.version import __version__

#: verb -> (module, or module:name of its Typer; what the list of verbs says of it); in the order of
#: `callwright --help`.
VERBS: dict[str, tuple[str, str]] = {
    "serve": ("callwright.cli.serve", "Run the platform: API, pages, agent, PBX."),
    "agent": ("callwright.cli.agent", "Take runs from a platform and carry them out here."),
    "call": ("callwright.cli.call", "Place one call with real audio and judge it."),
    "answer": ("callwright.cli.answer", "Wait for calls and answer them."),
    "register": ("callwright.cli.register", "Register an account, keep it registered, unregister."),
    "options": ("callwright.cli.options", "Ping a SIP server: any answer is alive."),
    "probe": ("callwright.cli.probe", "Measure a way once: ping, SIP OPTIONS, STAMP."),
    "reflect": ("callwright.cli.reflect", "Answer STAMP packets, so that `probe udp` can measure to here."),
    "run": ("callwright.cli.run", "Run a test document, or one of the catalogue."),
    "catalogue": ("callwright.cli.catalogue", "List and show the tests that come with Callwright."),
    "pbx": ("callwright.cli.pbx", "Run the reference PBX alone."),
    "tests": ("callwright.cli.tests", "Tests of a running platform: push, pull, run."),
    "load": ("callwright.cli.load", "Many calls at once: place or answer them, and judge the whole."),
    "sipp-import": ("callwright.cli.sipp_import", "Write a scenario of SIPp as a test document."),
    "load-ctl": ("callwright.cli.load_control", "Steer a load that is running: rate, pause, stop."),
    "monitors": ("callwright.cli.monitors", "Monitors of a running platform: is it good now, and as code."),
    "fleet": ("callwright.cli.fleet", "Servers in pools: simulate a day of load."),
    "mos": ("callwright.cli.mos", "E-model calculator: what MOS would this network give?"),
    "sip": ("callwright.cli.sip", "Read and lint SIP messages."),
    "keys": ("callwright.cli.keys", "API keys: create, list, revoke."),
    "users": ("callwright.cli.users", "Users of the platform: create, list, change, delete."),
    "backup": ("callwright.cli.backup:backup_app", "Copy the platform's records and evidence into one file."),
    "restore": ("callwright.cli.backup:restore_app", "Bring a backup back."),
    "migrate": ("callwright.cli.backup:migrate_app", "Bring the database's schema forward."),
}

#: BadParameter is public in every Typer; its bases are where its parser's own errors come from.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class _LazyGroup(TyperGroup):
    """A group that imports a verb's module when the verb is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        place, summary = VERBS[cmd_name]
        module, _, name = place.partition(":")
        verb = typer.main.get_command(getattr(importlib.import_module(module), name or "app"))
        verb.name = cmd_name
        verb.short_help = summary
        return verb

    def invoke(self, ctx: Any) -> Any:
        # Typer would make an exit code of it, and a program that reads our JSON would find nothing.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


class _Interrupted(Exception):
    """Ctrl-C before a verb had anything to hang up."""


app = typer.Typer(
    cls=_LazyGroup,
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_HELP = """Callwright places real SIP calls with real audio, judges them, and says whose fault it was.

Exit codes: 0 passed, 1 failed, 2 usage, a bad document or refused by policy, \
3 our own error or an invalid measurement, 130 after Ctrl-C.
"""


def _print_version(value: bool) -> None:
    if value:
        console.show(f"callwright {__version__}")
        raise typer.Exit


@app.callback(help=_HELP)
def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version and leave."
    ),
) -> None:
    """Before any verb; `help` is given above, since a line break of a docstring would stay one."""


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    as_json = console.wants_json(arguments)
    try:
        result = typer.main.get_command(app).main(
            args=arguments, prog_name="callwright", standalone_mode=False
        )
    except Refused as refusal:
        return console.report_error(verb, refusal, as_json=as_json)
    except _UsageError as error:
        return console.report_usage_error(verb, error, as_json=as_json)
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        return console.report_interrupt(verb, as_json=as_json)
    except BrokenPipeError:
        # The reader of our output has left (`callwright … | head`): there is nobody to tell.
        console.abandon_stdout()
        return EXIT_PLATFORM
    except Exception as error:
        return console.report_bug(verb, error, as_json=as_json, verbose=console.is_verbose(arguments))
    return result if isinstance(result, int) else EXIT_PASSED


def main() -> None:
    """Entry point of the installed command."""
    process_list.hide(sys.argv[1:])
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        console.abandon_stdout()
    # Python would look through everything for garbage before it leaves: 60 ms for nothing, and a call's
    # process is to be gone when its call is.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
