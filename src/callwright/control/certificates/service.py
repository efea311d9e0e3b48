"""The identity of servers: an authority and a leaf for each, renewed before they end.

Each server has an authority of its own, so its key, which an administrator may read, signs for no other.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Mapping, Sequence

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Identity, Right
from callwright.control.certificates.model import SealedCertificates, ServerCertificates
from callwright.control.certificates.store import CertificateStore
from callwright.control.credentials.vault import Vault
from callwright.net.clock import Clock
from callwright.net.trust import Issued, issue_for, make_authority

__all__ = ["CA_DAYS", "LEAF_DAYS", "RENEW_DAYS", "Certificates"]

_log = logging.getLogger(__name__)

LEAF_DAYS = 90.0
RENEW_DAYS = 30.0
"""A leaf is renewed when no more days than these are left of it, and an authority when it could not sign
a whole leaf any more."""
CA_DAYS = 5 * 365.0
_DAY = 86_400.0


class Certificates:
    """Of servers by name. `of` and `of_all` never make anything: they show what is kept."""

    def __init__(self, store: CertificateStore, vault: Vault, *, clock: Clock) -> None:
        self._store, self._vault, self._clock = store, vault, clock

    async def of(self, identity: Identity, server: str) -> ServerCertificates | None:
        """None: it has none yet."""
        row = await self._store.certificates_of(server)
        return self._shown(row, keys=may(identity, Right.ADMINISTER)) if row is not None else None

    async def of_all(self, identity: Identity) -> Mapping[str, ServerCertificates]:
        """By the server's name."""
        keys = may(identity, Right.ADMINISTER)
        return {row.server: self._shown(row, keys=keys) for row in await self._store.certificates()}

    async def ensure(self, server: str) -> None:
        """Makes them where there are none, or where the keys do not open any more; renews what is due."""
        row = await self._store.certificates_of(server)
        if row is None:
            await self._store.add_certificates(self._new(server))
        else:
            await self._renew(row)

    async def renew_due(self, servers: Iterable[str] | None = None) -> Sequence[str]:
        """The servers whose certificates were renewed. ``servers``: of those that exist; the certificates of
        others are removed, and None removes none."""
        rows = await self._store.certificates()
        if servers is not None:
            known = set(servers)
            await self._store.forget_certificates([row.server for row in rows if row.server not in known])
            rows = [row for row in rows if row.server in known]
        renewed = [row.server for row in rows if await self._renew(row)]
        if renewed:
            _log.info("the certificates of %d servers were renewed", len(renewed))
        return renewed

    async def forget(self, server: str) -> None:
        await self._store.forget_certificates([server])

    async def _renew(self, row: SealedCertificates) -> bool:
        """Whether anything was due. An authority that lasts for another leaf stays, so that whoever trusts it
        need not be told."""
        wall = self._clock.wall()
        ca, leaf = self._opened(row)
        if ca is None or row.ca_ends_at < wall + LEAF_DAYS * _DAY:
            made = self._new(row.server)
        elif leaf is None or row.tls_ends_at <= wall + RENEW_DAYS * _DAY:
            made = self._sealed(row.server, ca, issue_for(ca, row.server, wall, days=LEAF_DAYS))
        else:
            return False
        return await self._store.renew_certificates(made, row)

    def _new(self, server: str) -> SealedCertificates:
        wall = self._clock.wall()
        ca = make_authority(f"Callwright CA {server}"[:64], wall, days=CA_DAYS)
        return self._sealed(server, ca, issue_for(ca, server, wall, days=LEAF_DAYS))

    def _sealed(self, server: str, ca: Issued, leaf: Issued) -> SealedCertificates:
        return SealedCertificates(
            server,
            ca.certificate,
            self._vault.seal(ca.key, _context(server, "ca")),
            ca.ends_at,
            leaf.certificate,
            self._vault.seal(leaf.key, _context(server, "tls")),
            leaf.ends_at,
        )

    def _opened(self, row: SealedCertificates) -> tuple[Issued | None, Issued | None]:
        """Authority and leaf; None for one whose key was sealed with another key file."""
        ca_key, tls_key = self._key(row, "ca"), self._key(row, "tls")
        return (
            Issued(row.ca_cert, ca_key, row.ca_ends_at) if ca_key is not None else None,
            Issued(row.tls_cert, tls_key, row.tls_ends_at) if tls_key is not None else None,
        )

    def _key(self, row: SealedCertificates, what: str) -> str | None:
        sealed = row.sealed_ca_key if what == "ca" else row.sealed_tls_key
        context = _context(row.server, what)
        return self._vault.opened(sealed, context)

    def _shown(self, row: SealedCertificates, *, keys: bool) -> ServerCertificates:
        ca, leaf = self._opened(row) if keys else (None, None)
        return ServerCertificates(
            _base64(row.ca_cert),
            _base64(row.tls_cert),
            _base64(ca.key) if ca is not None else None,
            _base64(leaf.key) if leaf is not None else None,
        )


def _context(server: str, what: str) -> str:
    """What a key is bound to: moved to another record it does not open."""
    return f"server/{server}/{what}"


def _base64(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
