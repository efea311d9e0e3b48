"""Certificates of servers in SQL, their keys sealed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Table, Text, delete, select, update

from callwright.control.certificates.model import SealedCertificates
from callwright.control.storage.sql.columns import metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, upsert, values_of

__all__ = ["SqlCertificates"]

server_certificates = Table(
    "server_certificates",
    metadata,
    Column("server", Text(), primary_key=True),
    text_column("ca_cert"),
    text_column("sealed_ca_key"),
    time_column("ca_ends_at"),
    text_column("tls_cert"),
    text_column("sealed_tls_key"),
    time_column("tls_ends_at"),
)

_ROW = columns(server_certificates, SealedCertificates)
_THIS = server_certificates.c.server == param("server")
_ALL = Statement(select(*_ROW).order_by(server_certificates.c.server))
_ONE = Statement(select(*_ROW).where(_THIS))
_ADD = upsert(server_certificates, ("server",), SealedCertificates.__struct_fields__, keep=True)
_RENEW = Statement(
    update(server_certificates)
    .where(_THIS, server_certificates.c.tls_cert == param("seen"))
    .values({name: param(name) for name in SealedCertificates.__struct_fields__ if name != "server"})
)
_FORGET = Statement(delete(server_certificates).where(_THIS))


class SqlCertificates:
    """CertificateStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def certificates(self) -> list[SealedCertificates]:
        return await self._db.all(SealedCertificates, _ALL)

    async def certificates_of(self, server: str) -> SealedCertificates | None:
        return await self._db.one(SealedCertificates, _ONE, {"server": server})

    async def add_certificates(self, made: SealedCertificates) -> SealedCertificates:
        async with self._db.transaction() as transaction:
            await transaction.run(_ADD, values_of(made))
            kept = await transaction.one(SealedCertificates, _ONE, {"server": made.server})
        assert kept is not None
        return kept

    async def renew_certificates(self, made: SealedCertificates, seen: SealedCertificates) -> bool:
        return await self._db.run(_RENEW, values_of(made) | {"seen": seen.tls_cert}) > 0

    async def forget_certificates(self, servers: Sequence[str]) -> None:
        for server in servers:
            await self._db.run(_FORGET, {"server": server})
