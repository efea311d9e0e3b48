"""Records, recordings and logs are the owner's alone, whatever folder they lie in."""

from __future__ import annotations

from tests.kit.served import Served


def test_what_the_platform_writes_nobody_else_may_read(platform: Served) -> None:
    platform.finished(platform.run("options_ping"))
    spool = platform.data / "agent" / "spool"
    platform.until(lambda left: not left, lambda: list(spool.glob("[0-9]*")))  # files follow the verdict
    found = [path for path in platform.data.rglob("*") if path.exists()]
    assert {"callwright.db", "evidence", "log", "web.log", "agent.log"} <= {path.name for path in found}
    assert [str(path) for path in found if path.stat().st_mode & 0o077] == []
