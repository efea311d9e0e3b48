"""Records, recordings and logs are the owner's alone, whatever folder they lie in."""

from __future__ import annotations

from pathlib import Path

from tests.kit.served import Served


def test_what_the_platform_writes_nobody_else_may_read(platform: Served) -> None:
    platform.finished(platform.run("options_ping"))
    spool = platform.data / "agent" / "spool"
    platform.until(lambda left: not left, lambda: list(spool.glob("[0-9]*")))  # files follow the verdict
    modes = {path: mode for path in platform.data.rglob("*") if (mode := _mode(path)) is not None}
    assert {"callwright.db", "evidence", "log", "web.log", "agent.log"} <= {path.name for path in modes}
    assert [str(path) for path, mode in modes.items() if mode & 0o077] == []


def _mode(path: Path) -> int | None:
    """None for a file that went since it was listed: the platform goes on working."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
