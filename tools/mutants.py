"""Plants faults in the code, one at a time, and counts those that no test notices.

    python tools/mutants.py quality policy digest rtp runs [--sample N] [--seed N] [--jobs N] [--list]

Each fault (a mutant) is made in memory: a comparison turned round, an `and` for an `or`, a constant moved, a
`not`, a `return` without its value, a condition that always or never holds, a statement left out. The tests
of its room run on it in a process of their own, forked from one that has collected them, and stop at the
first failure. A fault in what a module does when it is imported has them start from nothing. Files are never
touched, so it runs beside anything else. `# pragma: no mutate` at the end of a line leaves it out: for faults
that change nothing anybody can see.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
_UNUSED_PLUGINS = ("xdist", "xdist.looponfail", "schemathesis", "faker")
BROKEN = 70  # exit code: the fault could not be planted
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
            value: Any = node.value
            node.value = not value if isinstance(value, bool) else value + 1
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


def function_of(mutant: Mutant, tree: ast.Module) -> tuple[str, ...] | None:
    """The function of the module, or method of a class, in whose body the fault lies; None: elsewhere."""
    target = nodes_of(tree)[mutant.node]

    def search(body: Sequence[ast.stmt], names: tuple[str, ...]) -> tuple[str, ...] | None:
        for statement in body:
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            inner = (*names, statement.name)
            if isinstance(statement, ast.ClassDef):
                found = search(statement.body, inner)
                if found is not None:
                    return found
            elif any(node is target for part in statement.body for node in ast.walk(part)):
                return inner
        return None

    return search(tree.body, ())


def plant(mutant: Mutant) -> bool:
    """In the function as it was imported; False where the fault lies in none, or in one that is not found."""
    module = sys.modules.get(mutant.module)
    tree = ast.parse(mutant.file.read_text(encoding="utf-8"))
    path = function_of(mutant, tree)
    if module is None or path is None:
        return False
    holder: Any = module
    for name in path[:-1]:
        holder = vars(holder).get(name)
        if holder is None:
            return False
    live = vars(holder).get(path[-1])
    for way_in in ("__func__", "fget", "__wrapped__"):
        live = getattr(live, way_in, live)
    mutate(nodes_of(tree)[mutant.node], mutant.way)
    code = compile(ast.fix_missing_locations(tree), str(mutant.file), "exec")
    for name in path:
        inside = [part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name]
        if len(inside) != 1:
            return False  # a property with a setter, or one of two of that name
        code = inside[0]
    if not isinstance(live, FunctionType) or live.__code__.co_freevars != code.co_freevars:
        return False
    live.__code__ = code
    for kept in vars(module).values():  # what a cache holds was said before
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()
    return True


def silence() -> None:
    sink = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    os.dup2(sink.fileno(), 1)
    os.dup2(sink.fileno(), 2)


def arguments_of(room: Room) -> list[str]:
    unused = [word for name in ("cacheprovider", *_UNUSED_PLUGINS) for word in ("-p", f"no:{name}")]
    return ["-x", "-q", "-s", "--assert=plain", f"--timeout={SECONDS:g}", *unused, *room.tests]


def forked(work: Callable[[], int]) -> int:
    """The pid of the process that does it, in a group of its own, and ends with its answer."""
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        os.setpgid(0, 0)
        silence()
        code = work()
    finally:
        os._exit(code)


class Judge:
    """A plugin of pytest: once the tests are collected they run in a forked process for each fault."""

    def __init__(self, room: Room, mutants: Sequence[Mutant], jobs: int) -> None:
        self.room = room
        self.mutants = mutants
        self.jobs = jobs
        self.sound = False
        self.out = os.fdopen(os.dup(1), "w", buffering=1)
        self.missed: list[Mutant] = []

    def pytest_runtestloop(self, session: Any) -> bool:
        gc.freeze()
        if os.waitpid(forked(lambda: self._run(session)), 0)[1] != 0:
            return True
        self.sound = True
        waiting = list(reversed(self.mutants))
        running: dict[int, Mutant] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                running[forked(lambda mutant=mutant: self._run(session, mutant))] = mutant  # type: ignore[misc]
            pid, status = os.wait()
            if pid not in running:
                continue
            with contextlib.suppress(ProcessLookupError):  # what its tests have started
                os.killpg(pid, signal.SIGKILL)
            mutant = running.pop(pid)
            if status == 0 or os.waitstatus_to_exitcode(status) == BROKEN:
                self.missed.append(mutant)
                print(f"  {'missed' if status == 0 else 'not planted'}  {mutant}", file=self.out)
        return True

    def _run(self, session: Any, mutant: Mutant | None = None) -> int:
        from _pytest.main import pytest_runtestloop

        if mutant is not None:
            if not plant(mutant):
                return self._run_anew(mutant)
            name = f"test_{mutant.file.stem}.py"  # likely to notice it
            session.items.sort(key=lambda item: item.path.name != name)
        try:
            pytest_runtestloop(session)
        except session.Failed:
            return 1
        return int(session.testsfailed > 0)

    def _run_anew(self, mutant: Mutant) -> int:
        """A fault in what a module does when it is imported: the tests start from nothing."""
        command = [
            sys.executable,
            __file__,
            "--plant",
            f"{mutant.file}:{mutant.node}:{mutant.way}",
            *self.room.tests,
        ]
        code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
        return code if code in (0, 1, 2) else BROKEN  # 2: a test file could not be imported


def run_planted(where: str, tests: Sequence[str]) -> int:
    """The exit code of pytest with this fault; for `Judge`."""
    import pytest

    file, node, way = where.rsplit(":", 2)
    sys.meta_path.insert(0, _Planted(Mutant(Path(file), int(node), int(way), 0, "")))
    return int(pytest.main(arguments_of(Room((), tuple(tests)))))


def chosen(room: Room, sample: int | None, seed: int) -> tuple[list[Mutant], int]:
    """The mutants to try, and how many there are."""
    files = sorted(file for pattern in room.files for file in SOURCE.glob(pattern))
    found = mutants_of(files)
    wanted = sample or room.sample
    if wanted is None or wanted >= len(found):
        return found, len(found)
    picked = random.Random(seed).sample(range(len(found)), wanted)
    return [copy.copy(found[index]) for index in sorted(picked)], len(found)


def run_room(name: str, room: Room, mutants: Sequence[Mutant], jobs: int, of: str) -> bool:
    """In a process of its own, so that each room imports what it needs as it needs it; whether it is bad."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] != 0
    import pytest

    began, judge, code = time.monotonic(), Judge(room, mutants, jobs), 1
    try:
        silence()
        pytest.main(arguments_of(room), plugins=[judge])
        done = len(mutants)
        score = 100.0 * (done - len(judge.missed)) / max(done, 1)
        if judge.sound:
            told = f"{done - len(judge.missed)} of {done} noticed, {score:.1f} % ({of}; "
            told += f"{time.monotonic() - began:.0f} s)"
            code = int(room.least is not None and score < room.least)
        else:
            told = "the tests fail without any fault"
        print(f"{name}: {told}", file=judge.out)
    finally:
        os._exit(code)


def main() -> int:
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--plant"]:
        return run_planted(sys.argv[2], sys.argv[3:])
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
            room = replace(room, least=None)
        if asked.list:
            print(*mutants, sep="\n")
            continue
        bad += run_room(name, room, mutants, asked.jobs, f"of {there} there are; seed {asked.seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
