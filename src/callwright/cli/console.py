"""What every verb shares towards the person and the program that typed it: exit codes, JSON, errors.

With `--json` exactly one JSON document goes to stdout, whatever the exit code; everything else goes to
stderr. Without it, results go to stdout and progress to stderr.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal

import typer

from callwright.host.operator import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PASSED,
    EXIT_PLATFORM,
    EXIT_REFUSED,
    Refused,
    say,
)

_EXIT_BY_VERDICT = {
    "passed": EXIT_PASSED,
    "failed": EXIT_FAILED,
    "invalid": EXIT_PLATFORM,
    "error": EXIT_PLATFORM,
    "canceled": EXIT_INTERRUPTED,
}

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
VerboseFlag = Annotated[bool, typer.Option("-v", "--verbose", help="Say more of what is going on.")]
LogFormatFlag = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format",
        envvar="CALLWRIGHT_LOG_FORMAT",
        help="On stderr, lines of text or one JSON object per line.",
    ),
]
TraceFlag = Annotated[
    bool, typer.Option("--trace-sip", help="Print every SIP message as it is sent and received.")
]


def log_as(log_format: Literal["text", "json"], *, stdout: bool = False) -> None:
    """For a verb that runs for long. In text mode Python's own rules stay: warnings, without a time."""
    if log_format == "json":
        from callwright.host.logging import set_up

        set_up(log_format, stdout=stdout)


def exit_code(verdict: str, failure: str | None = None) -> int:
    """The exit code that a verdict (`passed`, `failed`, `invalid`, `error`, `canceled`) means; what policy
    refused is no error of ours."""
    return EXIT_REFUSED if failure == "policy" else _EXIT_BY_VERDICT[verdict]


def exit_code_of(verdict: str, failure: str | None = None, *, lost_evidence: bool) -> int:
    """As `exit_code`; a pass whose evidence could not be kept as asked is our own error, not a clean 0."""
    code = exit_code(verdict, failure)
    return EXIT_PLATFORM if code == EXIT_PASSED and lost_evidence else code


def wants_json(arguments: list[str]) -> bool:
    """Whether `--json` stands among the arguments, known before they are parsed."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]


def is_verbose(arguments: list[str]) -> bool:
    return "-v" in arguments or "--verbose" in arguments


def print_json(document: Any) -> None:
    """Print the one JSON document of this command on stdout, and see it out."""
    import json

    from callwright.evidence.shown import shown_json

    # Surrogates come from arguments that are not UTF-8; JSON must still be readable.
    text = shown_json(json.dumps(document, ensure_ascii=False, allow_nan=False, default=str))
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.flush()


def show(text: str) -> None:
    """A line of the result, on stdout, as safe as `host.operator.say`."""
    from callwright.evidence.shown import shown

    print(shown(text))


def _empty_result(verb: str) -> dict[str, Any]:
    """The keys that a result of this verb always has: programs read them whatever its end was."""
    if verb == "answer":
        return {"calls": []}
    if verb == "probe":
        from callwright.probe.result import ProbeResult

        return ProbeResult().to_json()
    if verb not in ("call", "run", "register", "options"):
        return {}
    from callwright.outcome.call import CallOutcome
    from callwright.outcome.request import RegistrationOutcome, RequestOutcome
    from callwright.outcome.run import RunOutcome

    nothing: Any = {
        "call": CallOutcome,
        "run": RunOutcome,
        "register": RegistrationOutcome,
        "options": RequestOutcome,
    }[verb]()
    keys: dict[str, Any] = nothing.to_json()
    return keys


def _error_document(verb: str, verdict: str, blame: str, reason: str, code: int) -> dict[str, Any]:
    document = _empty_result(verb)
    document |= {"verdict": verdict, "blame": blame, "reason": reason, "exit_code": code, "error": reason}
    return document


def report_error(verb: str, refusal: Refused, *, as_json: bool) -> int:
    verdict = "error" if refusal.code != EXIT_FAILED else "failed"
    if as_json:
        document = _error_document(verb, verdict, refusal.blame, refusal.message, refusal.code)
        print_json(document | {"remedy": refusal.remedy or None} | refusal.details)
    say(f"callwright: {refusal.message}")
    if refusal.remedy:
        say(f"  {refusal.remedy}")
    return refusal.code


def report_usage_error(verb: str, error: Exception, *, as_json: bool) -> int:
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is not None and parameter is not None and parameter.opts[0].startswith("-"):
        from callwright.cli.setting_flags import source

        error.param_hint = repr(source(context, parameter.name))  # type: ignore[attr-defined]
    message = getattr(error, "format_message", lambda: str(error))().replace(": Value error, ", ": ")
    if not message:  # the help was asked for by typing nothing, and has been shown
        return EXIT_REFUSED
    if as_json:
        print_json(_error_document(verb, "error", "test", message, EXIT_REFUSED))
    say(f"callwright: {message}")
    say(f"  See `{context.command_path if context else 'callwright'} --help`.")
    return EXIT_REFUSED


def report_interrupt(verb: str, *, as_json: bool) -> int:
    if as_json:
        print_json(_error_document(verb, "canceled", "test", "interrupted", EXIT_INTERRUPTED))
    say("interrupted")
    return EXIT_INTERRUPTED


def report_bug(verb: str, error: Exception, *, as_json: bool, verbose: bool) -> int:
    reason = f"Callwright itself failed: {type(error).__name__}: {error}"
    if as_json:
        print_json(_error_document(verb, "error", "platform", reason, EXIT_PLATFORM))
    if verbose:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip("\n"))
    say(f"callwright: {reason}")
    if not verbose:
        say("  Run it again with -v for the traceback, and please report it.")
    return EXIT_PLATFORM


def abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
