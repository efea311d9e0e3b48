"""`callwright agent` and its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from callwright.cli.main import run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spol_limit = 1", "unknown setting 'spol_limit'"),
        ("spool_limit = -1", "agent.toml:2: spool_limit"),
        ("capacity = [1]", "capacity must be one value"),
        ("label = 'site=a'", "does not exist: this agent was not enrolled"),
        ("label = ['site=a', 'floor=2']\nspool_limit = 2.5", "does not exist: this agent was not enrolled"),
        ("label = ['site']", "agent.toml:2: label: 'site' is not KEY=VALUE"),
    ],
)
def test_settings_come_from_a_file_as_from_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f"data = '{tmp_path / 'agent'}'\n{text}\n")
    assert run(["agent", "--config", str(file)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
