"""The examples of docs/python.md run as they stand there, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
SCRIPTS, _, FOR_PYTEST = PAGE.partition("\n## In pytest\n")
EXAMPLES = re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", SCRIPTS, re.MULTILINE | re.DOTALL)
#: Each begins with its place: `# tests/test_calls.py`.
FILES = dict(re.findall(r"^```\w+\n# tests/(\S+)\n(.*?)^```", FOR_PYTEST, re.MULTILINE | re.DOTALL))


def test_the_page_has_five_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_runs_as_it_stands(title: str, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def mypy(folder: Path, *codes: str) -> subprocess.CompletedProcess[str]:
    for number, code in enumerate(codes):
        (folder / f"example_{number}.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, sorted(folder.glob("*.py")))],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=ROOT,
    )


def test_a_type_checker_sees_through_the_door(tmp_path: Path) -> None:
    tests = (code for name, code in FILES.items() if name.endswith(".py"))
    right = mypy(tmp_path, *(code for _, code in EXAMPLES), *tests)
    assert right.returncode == 0, right.stdout
    wrong = mypy(tmp_path, "from callwright import Phone\n\nPhone(password=5)\n")
    assert "incompatible type" in wrong.stdout
