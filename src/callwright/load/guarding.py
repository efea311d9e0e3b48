"""Loads and their guardian: what ends each call lies in memory that it maps (see generator/wills)."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.generator.loop import LoopConfig
from callwright.load.worker import KeptLoad, LoadGuard
from callwright.phone.guard import Estate, Guard
from callwright.policy.destination import Purpose, Rules


def load_guard(guard: Guard | None, rules: Rules) -> LoadGuard | None:
    """For `make_workers`. The guardian ends calls by these rules, as the loops follow them."""
    if guard is None:
        return None
    keeper = guard

    def keep(config: LoopConfig, local: tuple[str, int], descriptors: Sequence[int]) -> KeptLoad:
        user, password = config.user_column, config.password_column
        accounts = [
            (row[user].decode("utf-8", "replace"), row[password].decode("utf-8", "replace"))
            for row in config.accounts
            if 0 <= user < len(row) and 0 <= password < len(row)
        ]
        remote = (config.remote.host, config.remote.port) if config.remote is not None else None
        return keeper.watch(Estate(Purpose.LOAD, rules), local, remote, accounts, descriptors)

    return keep
