"""Commands that the pages name exist, with the options that they are given there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from callwright.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
# Twice in a row it is a user or a database, after `from` it is the package.
_COMMAND = re.compile(r"(?<![\w/.-])(?<!from )callwright ((?!callwright)[a-z][a-z-]+(?: [^\n`|]*)?)")


def said(text: str) -> list[str]:
    """What follows `callwright` in the code of a page; a line that a backslash continues is one."""
    code = re.findall(r"^ {4}(.*)$|`([^`\n]+)`|^(callwright .*)$", text.replace("\\\n", " "), re.M)
    return _COMMAND.findall("\n".join("".join(parts) for parts in code))


def unknown(line: str) -> list[str]:
    """The words of a command line that nobody would understand: a verb, or options of it."""
    words = line.partition("#")[0].split()
    command: Any = typer.main.get_command(main.app)
    for word in words:
        if not hasattr(command, "get_command") or word.startswith("-"):
            break
        command = command.get_command(None, word)
        if command is None:
            return [word]
    options = {"--help", *(name for one in command.params for name in (*one.opts, *one.secondary_opts))}
    return sorted({word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)} - options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_tells_to_type_can_be_typed(page: Path) -> None:
    lines = said(page.read_text(encoding="utf-8"))
    assert not {line: words for line in lines if (words := unknown(line))}


def test_what_cannot_be_typed_is_found() -> None:
    text = "    callwright call sip:x --trace\n\nBy `callwright tests psh` or\n\n```\ncallwright pin\n```\n"
    assert [unknown(line) for line in said(text)] == [["--trace"], ["psh"], ["pin"]]
