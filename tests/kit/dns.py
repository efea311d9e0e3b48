"""Names without a network."""

from __future__ import annotations

from collections.abc import Mapping

from callwright.net.resolver import ResolutionFailed, ServiceRecord


class Dns:
    """`table`: host to addresses. `asked`: the hosts that somebody asked for."""

    def __init__(self, table: Mapping[str, list[str]]) -> None:
        self.table = dict(table)
        self.asked: list[str] = []

    async def addresses(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self.table:
            raise ResolutionFailed(host, "there is no such name")
        return self.table[host]

    async def services(self, name: str) -> list[ServiceRecord]:
        return []
