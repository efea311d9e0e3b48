"""`callwright` as a process, from its first line on."""

from __future__ import annotations

import subprocess
import sys

#: Interrupts its own process at the moment when the module of that name is looked for.
INTERRUPTED_AT = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
sys.argv = ["callwright", *{arguments!r}]
from callwright.cli.entry import main
main()
"""


def interrupted_at(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = INTERRUPTED_AT.format(name=name, arguments=arguments)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


def test_ctrl_c_while_the_command_is_being_imported_is_130_without_a_traceback() -> None:
    done = interrupted_at("typer", "options", "sip:127.0.0.1:9")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_the_verb_is_being_imported_is_130_in_one_line() -> None:
    done = interrupted_at("callwright.cli.mos", "mos", "--loss", "1")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_without_an_interrupt_the_verbs_work_as_ever() -> None:
    done = interrupted_at("no.such.module", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("callwright ")
