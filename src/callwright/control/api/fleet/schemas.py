"""What this chapter answers. Typed clients decode it: each key is always there, each type is exact."""

from __future__ import annotations

import msgspec

from callwright.control.certificates.model import ServerCertificates
from callwright.control.servers.model import ServerRecord

__all__ = ["Server", "Varz", "Version", "server"]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Times are unix seconds, 0: not yet; texts are empty where nothing is known. The certificates and keys
    are the standard base64 of PEM texts, null where there are none."""

    id: str
    provider: str
    state: str
    name: str
    image: str
    region: str
    size: str
    platform: str
    address: str
    capacity: int
    secret: str
    error: str
    ca_key: str | None
    ca_cert: str | None
    tls_key: str | None
    tls_cert: str | None
    created: int
    updated: int
    started: int
    stopped: int


class Varz(msgspec.Struct, frozen=True):
    paused: bool


class Version(msgspec.Struct, frozen=True):
    """``commit``: of the source that was installed; empty where the installation does not know it."""

    source: str
    version: str
    commit: str


_NONE = ServerCertificates("", "")


def server(record: ServerRecord, certificates: ServerCertificates | None, secret: str = "") -> Server:
    """``secret``: the token with which the agent of a new server enrols; shown once."""
    shown = certificates or _NONE
    return Server(
        id=record.machine,
        provider=record.provider,
        state=str(record.state),
        name=record.name,
        image=record.image,
        region=record.region,
        size=record.size,
        platform=record.platform,
        address=record.address,
        capacity=record.capacity,
        secret=secret,
        error=record.error,
        ca_key=shown.ca_key,
        ca_cert=shown.ca_cert or None,
        tls_key=shown.tls_key,
        tls_cert=shown.tls_cert or None,
        created=int(record.created),
        updated=int(record.updated),
        started=int(record.started or 0),
        stopped=int(record.stopped or 0),
    )
