"""import-linter does not read `.pyx` files: here their imports are held to the same floors."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "callwright"
NATIVE = sorted(SOURCE.glob("**/*.pyx"))

_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+([\w, ]+)|c?import\s+([\w., ]+))", re.MULTILINE)
_HEADER = re.compile(r"^\s*cdef\s+extern\s+from\s+[\"<]+([\w./]+)", re.MULTILINE)
CLOCKS_AND_SOCKETS = {"time", "socket", "select", "selectors", "ssl", "random", "secrets", "uuid", "datetime"}
HEADERS_OF_NET = {"sys/socket.h", "netinet/in.h", "poll.h", "sys/epoll.h", "time.h", "sys/random.h"}


def floors() -> dict[str, int]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    layers = parser["importlinter:contract:floors"]["layers"].split("\n")
    rows = [row.strip() for row in layers if row.strip()]
    return {room.strip(): len(rows) - n for n, row in enumerate(rows) for room in row.split("|")}


def imports_of(source: str) -> set[str]:
    found: set[str] = set()
    for module, names, plain in _IMPORT.findall(source):
        if module:
            found.update(f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip())
        else:
            found.update(name.split()[0] for name in plain.split(",") if name.strip())
    return found


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.stem)
def test_a_native_room_imports_only_from_floors_below(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0]
    height = floors()
    for name in imports_of(path.read_text("utf-8")):
        parts = name.split(".")
        if parts[0] != "callwright" or len(parts) < 2 or parts[1] == room:
            continue
        assert height[parts[1]] < height[room], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.stem)
def test_clocks_sockets_and_entropy_are_native_only_in_net_and_in_the_load_loop(path: Path) -> None:
    if path.relative_to(SOURCE).parts[0] in ("net", "generator"):
        return
    source = path.read_text("utf-8")
    modules = {
        name.split(".")[-1] if name.startswith("libc") else name.split(".")[0] for name in imports_of(source)
    }
    assert not modules & CLOCKS_AND_SOCKETS
    assert not set(_HEADER.findall(source)) & HEADERS_OF_NET


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.stem)
def test_a_native_room_has_a_pure_twin(path: Path) -> None:
    twin = path.with_name(path.stem.removeprefix("_") + ".py")
    assert twin.exists() or path.with_name(path.stem + ".py").exists() or path.with_suffix(".pyi").exists()


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "from callwright.sip cimport scan\nimport os, time\nfrom libc.time cimport time\ncimport cython\n"
    )
    assert imports_of(source) == {"callwright.sip.scan", "os", "time", "libc.time.time", "cython"}
