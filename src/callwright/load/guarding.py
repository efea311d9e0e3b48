"""Loads and their guardian: what ends each call lies in memory that it maps (see generator/wills)."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.generator.loop import LoopConfig
from callwright.load.worker import KeptLoad, LoadGuard
from callwright.net.tls import TlsSettings
from callwright.phone.guard import Estate, Guard, told_tls
from callwright.policy.destination import Purpose, Rules


def load_guard(guard: Guard | None, rules: Rules, tls: TlsSettings | None = None) -> LoadGuard | None:
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
        remote: tuple[str | int, ...] | None = None
        ours: tuple[str | int, ...] = local
        if config.remote is not None:
            remote = (config.remote.host, config.remote.port)
        if config.streams is not None:
            ours = (*local, "TLS" if config.streams.secure else "TCP")
            remote = remote and (*remote, config.streams.name)
        estate = Estate(Purpose.LOAD, rules, tls=told_tls(tls) if tls is not None else {})
        return keeper.watch(estate, ours, remote, accounts, descriptors)

    return keep
