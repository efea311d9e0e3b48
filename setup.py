"""The native rooms: every `src/callwright/**/_*.pyx` becomes an extension beside it.

A machine without a compiler installs all the same: each extension is optional, and its pure-Python twin is
chosen when it is absent. `CALLWRIGHT_NATIVE` picks which are built: a list such as `net/_batch,sip/_scan`,
`none`, or `all` (the default).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("src")
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
    built: list[Extension] = cythonize(modules, build_dir="build/cython", compiler_directives=DIRECTIVES)
    return built


setup(ext_modules=extensions())
