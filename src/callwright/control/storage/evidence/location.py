"""Where evidence is: a folder, or ``s3://bucket/prefix`` with what it takes to get in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from callwright.net.clock import Clock

if TYPE_CHECKING:
    from callwright.control.runs.store import EvidenceStore

__all__ = ["EvidenceLocation", "open_evidence"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,512}")
_DEFAULT_FOLDER = "evidence"
_INCOMING = "evidence-incoming"


class EvidenceLocation(msgspec.Struct, frozen=True, kw_only=True):
    """``bucket`` None: a folder, ``<data>/evidence`` unless ``folder`` names another.

    ``endpoint``: the URL of a server other than Amazon's; its buckets are then in the path. Without keys the
    standard chain is asked: AWS_ACCESS_KEY_ID, ~/.aws/credentials, the role of the machine. ``ca``: a file
    with the authority that signed the server's certificate.
    """

    folder: str | None = None
    bucket: str | None = None
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    ca: str | None = None
    access_key: str | None = None
    secret_key: str | None = None

    @classmethod
    def parse(
        cls,
        text: str | None,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        ca: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> EvidenceLocation:
        """Raises ValueError with a sentence that shows no secret."""
        if not text or not text.startswith("s3:"):
            if endpoint or access_key or secret_key:
                raise ValueError("an endpoint or a key needs --evidence s3://bucket/prefix")
            if text and "://" in text:
                raise ValueError(f"{text.partition('://')[0]}:// is not a place for evidence")
            return cls(folder=str(Path(text).expanduser()) if text else None)
        parts = urlsplit(text)
        prefix = parts.path.strip("/")
        if "@" in parts.netloc:
            raise ValueError("keys do not belong into the URL")
        if not _BUCKET.fullmatch(parts.netloc):
            raise ValueError(f"{parts.netloc!r} is not the name of a bucket")
        nowhere = any(part in ("", ".", "..") for part in prefix.split("/")) and prefix
        if nowhere or parts.query or parts.fragment or not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{parts.path!r} is not a prefix for file names")
        if (access_key is None) != (secret_key is None):
            raise ValueError("the access key and the secret key belong together")
        if ca is not None and not Path(ca).is_file():
            raise ValueError(f"there is no file {ca} with an authority")
        return cls(
            bucket=parts.netloc,
            prefix=f"{prefix}/" if prefix else "",
            endpoint=_endpoint(endpoint),
            region=region,
            ca=ca,
            access_key=access_key,
            secret_key=secret_key,
        )

    @property
    def url(self) -> str | None:
        """``s3://bucket/prefix``; None for a folder."""
        return None if self.bucket is None else f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def path(self, data: Path) -> Path:
        """Of the folder."""
        return data / _DEFAULT_FOLDER if self.folder is None else Path(self.folder)

    def __repr__(self) -> str:
        return f"EvidenceLocation({self.url or self.folder or _DEFAULT_FOLDER})"


def open_evidence(location: EvidenceLocation, data: Path, clock: Clock) -> EvidenceStore:
    """Nothing is asked of a server yet. ``data``: the platform's folder."""
    if location.bucket is None:
        from callwright.control.storage.evidence.directory import DirectoryEvidence

        return DirectoryEvidence(location.path(data))
    from callwright.control.storage.evidence.s3 import S3Evidence

    return S3Evidence(location, data / _INCOMING, clock=clock)


def _endpoint(url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise ValueError("the endpoint is a URL such as https://minio.example.com:9000")
    return url.rstrip("/")
