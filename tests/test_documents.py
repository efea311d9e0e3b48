"""Pages for people who build Callwright: the files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"


def test_decisions_are_numbered_without_a_gap_and_each_is_in_the_index() -> None:
    pages = sorted(page.name for page in DECISIONS.glob("0*.md"))
    assert [page[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\[\d{4}\]\((.+?)\)", index) == pages
    for page in pages:
        assert (DECISIONS / page).read_text(encoding="utf-8").startswith(f"# {page[:4]} ")


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {name.rstrip("/.") for name in re.findall(r"`([a-z_]+/[a-z_/.0-9]*)", text)}
    assert len(named) > 40
    sources = ROOT / "src" / "callwright"
    missing = {
        name
        for name in named
        if not any(
            (folder / f"{name}{suffix}").exists()
            for folder in (sources, sources / "control", ROOT)
            for suffix in ("", ".py", ".pyx")
        )
        # `outcome/call.CallOutcome`: a name of a module.
        and not (sources / f"{name.partition('.')[0]}.py").exists()
    }
    assert not missing


def test_every_room_has_its_row_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([a-z]+)/` \|", text, re.M))
    rooms = {page.parent.name for page in (ROOT / "src" / "callwright").glob("*/__init__.py")}
    assert rows == rooms


def test_every_folder_of_tests_is_a_package_so_that_two_files_may_share_a_name() -> None:
    """Otherwise pytest collects one `test_server.py` alone, and only in some orders of the rooms."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()
