"""The native rooms: every `src/callwright/**/_*.pyx` becomes an extension beside it.

A machine without a compiler installs all the same: each extension is optional, and its pure-Python twin is
chosen when it is absent (the load loop has none). `CALLWRIGHT_NATIVE` picks which are built: a list such as
`net/_batch,sip/_scan`, `none`, or `all` (the default).
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("src")
MADE = Path("build/made")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,  # what comes from the wire is never trusted
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
}
FLAGS = ["-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unused-function", "-Wno-unreachable-code"]


def wanted() -> list[Path]:
    """The sources to build, in order."""
    found = sorted(SOURCE.glob("callwright/**/_*.pyx"))
    choice = os.environ.get("CALLWRIGHT_NATIVE", "all")
    if choice == "all":
        return found
    names = {name.strip() for name in choice.split(",")}
    return [path for path in found if path.relative_to("src/callwright").with_suffix("").as_posix() in names]


def enumerations() -> None:
    """What the load loop has in common with its Python face, as the enumerations of its native code."""
    names = runpy.run_path(str(SOURCE / "callwright/generator/names.py"))
    lines = ["# Made by setup.py from names.py.", "cdef enum:"]
    for prefix, members in names["ENUMERATIONS"].items():
        lines += [f"    {prefix}_{member.upper()} = {number}" for number, member in enumerate(members)]
    for name, value in names.items():
        if name.isupper() and isinstance(value, int):
            lines.append(f"    {name} = {value}")
        elif name.isupper() and isinstance(value, tuple):
            lines.append(f"    {name}_N = {len(value)}")
    made = MADE / "_names.pxi"
    text = "\n".join(lines) + "\n"
    if not made.exists() or made.read_text("utf-8") != text:  # else all would be compiled anew
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text, "utf-8")


def extensions() -> list[Extension]:
    """What setuptools shall compile; empty when there is no Cython."""
    sources = wanted()
    if not sources:
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("callwright: no Cython, so the pure-Python twins of the native rooms are used", file=sys.stderr)
        return []
    modules = [
        Extension(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts),
            [path.as_posix()],
            include_dirs=[path.parent.as_posix()],
            extra_compile_args=FLAGS,
            optional=True,
        )
        for path in sources
    ]
    enumerations()
    built: list[Extension] = cythonize(
        modules, build_dir="build/cython", include_path=[str(MADE)], compiler_directives=DIRECTIVES
    )
    return built


setup(ext_modules=extensions())
