"""Plants faults in the code, one at a time, and counts those that no test notices.

    python tools/mutants.py quality policy digest rtp runs [--sample N] [--seed N] [--jobs N] [--list]

Each fault (a mutant) is made in memory: a comparison turned round, an `and` for an `or`, a constant moved, a
`not`, a `return` without its value, a condition that always or never holds, a statement left out. The tests
of its room run on it in a process of their own, forked from one that has imported pytest already, and stop
at the first failure. Files are never touched, so it runs beside anything else. `# pragma: no mutate` at the
end of a line leaves it out: for faults that change nothing anybody can see.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
SECONDS = 20.0  # of a test; a fault that makes it hang was noticed too


@dataclass(frozen=True)
class Room:
    """Files whose code is mutated, and the tests that should notice. ``sample``: so many mutants of all, by
    chance; None: every one. ``pure``: with the Python twins of the native rooms."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    sample: int | None = None
    pure: bool = False
    least: float | None = None  # percent


ROOMS = {
    "quality": Room(("callwright/quality/*.py",), ("tests/quality",), least=90.0),
    "policy": Room(("callwright/policy/*.py",), ("tests/policy",), least=90.0),
    "digest": Room(("callwright/sip/digest*.py",), ("tests/sip/test_digest.py",)),
    "rtp": Room(("callwright/rtp/*.py",), ("tests/rtp",), sample=200, pure=True),
    "runs": Room(
        ("callwright/control/runs/*.py",),
        (
            "tests/control/test_runs.py",
            "tests/control/test_lost_key.py",
            "tests/control/test_differences.py",
            "tests/control/test_evidence.py",
            "tests/agent",
            "tests/conformance/test_run_store.py",
        ),
        sample=200,
    ),
}

_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    file: Path
    node: int  # index among the nodes of the file
    way: int
    line: int
    what: str

    @property
    def module(self) -> str:
        return ".".join(self.file.relative_to(SOURCE).with_suffix("").parts)

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.what}"


def nodes_of(tree: ast.Module) -> list[ast.AST]:
    """Those that may be mutated, in order: no docstrings, annotations, exported names or type checks."""
    found: list[ast.AST] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"):
            return
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            return  # that it is raised is mutated with its statement; what it says is prose
        found.append(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            for child in children:
                if isinstance(child, ast.AST) and not _is_docstring(child):
                    visit(child)

    visit(tree)
    return found


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def ways(node: ast.AST) -> list[str]:
    """What can be done to it, in words."""
    match node:
        case ast.Compare():
            return [f"`{ast.unparse(node)}` turned round at {n + 1}" for n in range(len(node.ops))]
        case ast.BoolOp():
            other = "or" if isinstance(node.op, ast.And) else "and"
            return [f"`{ast.unparse(node)}` with {other}"]
        case ast.BinOp() if type(node.op) in _OTHER and not _of_types(node):
            return [f"`{ast.unparse(node)}` with another operator"]
        case ast.AugAssign() if type(node.op) in _OTHER:
            return [f"`{ast.unparse(node)}` with another operator"]
        case ast.UnaryOp() if isinstance(node.op, ast.Not | ast.USub):
            return [f"`{ast.unparse(node)}` without its sign"]
        case ast.Constant() if isinstance(node.value, bool):
            return [f"{node.value} as {not node.value}"]
        case ast.Constant() if isinstance(node.value, int | float):
            return [f"{node.value} one higher"]
        case ast.If() | ast.While() | ast.IfExp():
            return [f"`{ast.unparse(node.test)}` always", f"`{ast.unparse(node.test)}` never"]
        case ast.Return() if node.value is not None and not _is_none(node.value):
            return [f"`{ast.unparse(node)[:80]}` without its value"]
        case ast.Expr() if isinstance(node.value, ast.Call | ast.Await):
            return [f"`{ast.unparse(node)[:80]}` left out"]
    return []


def _of_types(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def mutate(node: Any, way: int) -> None:
    """Does it, in place."""
    match node:
        case ast.Compare():
            node.ops[way] = _TURNED[type(node.ops[way])]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.BinOp() | ast.AugAssign():
            node.op = _OTHER[type(node.op)]()
        case ast.UnaryOp():
            node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
            if isinstance(node.op, ast.Not):
                node.operand = ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant():
            node.value = not node.value if isinstance(node.value, bool) else node.value + 1
        case ast.If() | ast.While() | ast.IfExp():
            # The question is still asked, so that what it does besides happens.
            held: ast.expr = ast.Constant(way == 0)
            join = ast.BoolOp(ast.Or() if way == 0 else ast.And(), [node.test, held])
            node.test = join
        case ast.Return():
            node.value = ast.Constant(None)
        case ast.Expr():
            node.value = ast.Constant(None)


def mutants_of(files: Sequence[Path]) -> list[Mutant]:
    found = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for index, node in enumerate(nodes_of(ast.parse(text))):
            line = getattr(node, "lineno", 0)
            if line and "# pragma: no mutate" in lines[line - 1]:
                continue
            for way, what in enumerate(ways(node)):
                found.append(Mutant(file, index, way, line, what.replace("\n", " ")[:160]))
    return found


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with its fault."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.mutant.module:
            return None
        return importlib.util.spec_from_file_location(name, self.mutant.file, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self.mutant.file.read_text(encoding="utf-8"))
        mutate(nodes_of(tree)[self.mutant.node], self.mutant.way)
        exec(compile(ast.fix_missing_locations(tree), str(self.mutant.file), "exec"), module.__dict__)


def run_tests(room: Room, planted: Mutant | None) -> int:
    """In a forked process: the exit code of pytest, and never back."""
    import pytest

    if planted is not None:
        sys.meta_path.insert(0, _Planted(planted))
    sink = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    os.dup2(sink.fileno(), 1)
    os.dup2(sink.fileno(), 2)
    plugins = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:schemathesis"]
    arguments = ["-x", "-q", "--assert=plain", f"--timeout={SECONDS:g}", *plugins]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*arguments, *room.tests]))


def fork(room: Room, planted: Mutant | None) -> int:
    """The pid of the process that runs the tests."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        code = run_tests(room, planted)
    finally:
        os._exit(code)


def judged(room: Room, mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether a test noticed it."""
    waiting = list(reversed(mutants))
    running: dict[int, Mutant] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[fork(room, mutant)] = mutant
        pid, status = os.wait()
        if pid in running:
            with contextlib.suppress(ProcessLookupError):  # what its tests have started
                os.killpg(pid, signal.SIGKILL)
            yield running.pop(pid), status != 0


def chosen(room: Room, sample: int | None, seed: int) -> tuple[list[Mutant], int]:
    """The mutants to try, and how many there are."""
    files = sorted(file for pattern in room.files for file in SOURCE.glob(pattern))
    found = mutants_of(files)
    wanted = sample or room.sample
    if wanted is None or wanted >= len(found):
        return found, len(found)
    picked = random.Random(seed).sample(range(len(found)), wanted)
    return [copy.copy(found[index]) for index in sorted(picked)], len(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rooms", nargs="+", choices=ROOMS)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--list", action="store_true", help="say which there are, and try none")
    parser.add_argument("--only", help="only those whose line holds this text")
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401

    bad = 0
    for name in asked.rooms:
        room = ROOMS[name]
        if room.pure:
            os.environ["CALLWRIGHT_PURE"] = "1"
        else:
            os.environ.pop("CALLWRIGHT_PURE", None)
        mutants, there = chosen(room, asked.sample, asked.seed)
        if asked.only:
            mutants = [mutant for mutant in mutants if asked.only in str(mutant)]
        if asked.list:
            print(*mutants, sep="\n")
            continue
        pid = fork(room, None)
        if os.waitpid(pid, 0)[1] != 0:
            print(f"{name}: the tests fail without any fault")
            return 2
        began, missed, done = time.monotonic(), [], 0
        for mutant, noticed in judged(room, mutants, asked.jobs):
            done += 1
            if not noticed:
                missed.append(mutant)
                print(f"  missed  {mutant}", flush=True)
        score = 100.0 * (done - len(missed)) / max(done, 1)
        print(
            f"{name}: {done - len(missed)} of {done} noticed, {score:.1f} % "
            f"(of {there} there are; seed {asked.seed}; {time.monotonic() - began:.0f} s)",
            flush=True,
        )
        bad += room.least is not None and score < room.least and not asked.only
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
