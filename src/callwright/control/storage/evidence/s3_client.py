"""A client of an S3 server, and what its failures mean in sentences. Blocks: to be called in a thread.

botocore is imported when the first client is made: it takes half a second.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callwright.control.errors import DomainError, EvidenceAway, NotFound
from callwright.control.storage.evidence.location import EvidenceLocation

__all__ = ["AtOnce", "S3Client"]

AtOnce = 8  # requests of one process at a time
_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 3, 10, 2
_WHOLE = 16 * 1024 * 1024  # a file up to this size is sent in one request, a larger one in parts of it
_LOST = "Nothing is lost: agents keep their files and bring them again."

#: What the server says, in a sentence about {it} with the {bucket}, and what to do.
_SAID: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("There is no bucket {bucket} at {it}.", "Make it, or name another with --evidence."),
    "AccessDenied": (
        "{it} refuses access to the bucket {bucket}.",
        "Let the key get, put, list and delete objects in it.",
    ),
    "InvalidAccessKeyId": ("{it} does not know our access key.", "Look at --evidence-access-key."),
    "SignatureDoesNotMatch": (
        "{it} refuses our signature: the secret key is wrong.",
        "Look at CALLWRIGHT_EVIDENCE_SECRET_KEY.",
    ),
    "RequestTimeTooSkewed": (
        "{it} refuses our requests, since its clock and ours differ too much.",
        "Set the clocks of both machines (NTP).",
    ),
    "AuthorizationHeaderMalformed": ("{it} expects another region.", "Name it with --evidence-region."),
    "PermanentRedirect": ("The bucket {bucket} is in another region.", "Name it with --evidence-region."),
    "QuotaExceeded": ("{it} has no room left for the bucket {bucket}.", "Raise its quota, or ours less."),
    "ExpiredToken": ("{it} says that our credentials have expired.", "Renew them."),
}
_SAID["InsufficientStorage"] = _SAID["XMinioStorageFull"] = _SAID["QuotaExceeded"]
_SAID["Forbidden"] = _SAID["403"] = _SAID["AccessDenied"]
_SAID["RequestExpired"] = _SAID["RequestTimeTooSkewed"]
_SAID["301"] = _SAID["PermanentRedirect"]


class S3Client:
    """Each method raises EvidenceAway with a sentence and a remedy, and NotFound for an absent object.

    Keys are whole: the prefix is in them.
    """

    def __init__(self, location: EvidenceLocation) -> None:
        from botocore.config import Config
        from botocore.session import Session

        self._location = location
        with self._telling():
            self._client: Any = Session().create_client(
                "s3",
                region_name=location.region or (None if location.endpoint is None else "us-east-1"),
                endpoint_url=location.endpoint,
                aws_access_key_id=location.access_key,
                aws_secret_access_key=location.secret_key,
                verify=location.ca,
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": _TRIES},
                    max_pool_connections=AtOnce,
                    s3={"addressing_style": "auto" if location.endpoint is None else "path"},
                    # CRC32 trailers are younger than most servers; Content-MD5 is understood by all.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        self._bucket = {"Bucket": location.bucket}

    @property
    def endpoint(self) -> str:
        return str(self._client.meta.endpoint_url)

    def close(self) -> None:
        self._client.close()

    def size(self, key: str) -> int | None:
        """None: there is none."""
        try:
            with self._telling(key):
                return int(self._client.head_object(Key=key, **self._bucket)["ContentLength"])
        except NotFound:
            return None

    def put(self, key: str, file: Path, size: int, sha256: str, media_type: str) -> None:
        """Durable when this returns; the server has checked that it is what we sent."""
        kind = {"ContentType": media_type, "Metadata": {"sha256": sha256}}
        with self._telling(key):
            if size <= _WHOLE:
                data = file.read_bytes()
                self._client.put_object(Key=key, Body=data, ContentMD5=_md5(data), **kind, **self._bucket)
            else:
                self._put_parts(key, file, kind)

    def _put_parts(self, key: str, file: Path, kind: dict[str, Any]) -> None:
        self._abort(key)
        upload = self._client.create_multipart_upload(Key=key, **kind, **self._bucket)["UploadId"]
        of_it = {"Key": key, "UploadId": upload, **self._bucket}
        parts: list[dict[str, Any]] = []
        try:
            with open(file, "rb") as source:
                while data := source.read(_WHOLE):
                    number = len(parts) + 1
                    done = self._client.upload_part(
                        PartNumber=number, Body=data, ContentMD5=_md5(data), **of_it
                    )
                    parts.append({"PartNumber": number, "ETag": done["ETag"]})
            self._client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **of_it)
        except BaseException:
            with contextlib.suppress(Exception):  # what remains goes with the next try, or with the run
                self._client.abort_multipart_upload(**of_it)
            raise

    def open(self, key: str, first: int, last: int | None) -> Any:
        """A body with `read(size)` and `close()`; what `read` raises is translated by `telling`."""
        span = (
            {} if first == 0 and last is None else {"Range": f"bytes={first}-{'' if last is None else last}"}
        )
        with self._telling(key):
            return self._client.get_object(Key=key, **span, **self._bucket)["Body"]

    def read(self, body: Any, size: int) -> bytes:
        with self._telling():
            return bytes(body.read(size))

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with it."""
        with self._telling():
            pages = self._client.get_paginator("list_objects_v2").paginate(Prefix=prefix, **self._bucket)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def remove(self, key: str) -> None:
        """An absent one is as good as removed."""
        with contextlib.suppress(NotFound), self._telling(key):
            self._client.delete_object(Key=key, **self._bucket)

    def remove_all(self, prefix: str) -> None:
        """Also what a broken upload has left. One by one, since not every server takes lists."""
        for key in list(self.list(prefix)):
            self.remove(key)
        with self._telling():
            self._abort(prefix)

    def check(self, key: str) -> None:
        """Writes, reads and removes a small object."""
        data = b"Callwright can write here."
        with self._telling():
            self._client.put_object(Key=key, Body=data, ContentMD5=_md5(data), **self._bucket)
            self._client.get_object(Key=key, **self._bucket)["Body"].read()
            self._client.list_objects_v2(Prefix=key, MaxKeys=1, **self._bucket)
            self._client.delete_object(Key=key, **self._bucket)

    def _abort(self, prefix: str) -> None:
        from botocore.exceptions import ClientError

        try:
            found = self._client.list_multipart_uploads(Prefix=prefix, **self._bucket)
            for upload in found.get("Uploads", ()):
                if upload["Key"].startswith(prefix):
                    self._client.abort_multipart_upload(
                        Key=upload["Key"], UploadId=upload["UploadId"], **self._bucket
                    )
        except ClientError as error:
            if _code(error) not in ("NotImplemented", "NoSuchUpload", "AccessDenied"):
                raise

    @contextlib.contextmanager
    def _telling(self, key: str = "") -> Iterator[None]:
        from botocore import exceptions

        try:
            yield
        except DomainError:
            raise
        except exceptions.ClientError as error:
            raise self._meaning(error, key) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise EvidenceAway(
                f"There are no credentials for the evidence in {self._location.url}.",
                f"Set CALLWRIGHT_EVIDENCE_ACCESS_KEY and CALLWRIGHT_EVIDENCE_SECRET_KEY. {_LOST}",
            ) from error
        except exceptions.SSLError as error:
            raise EvidenceAway(
                f"{self._it} cannot be trusted: {_last(error)}.",
                f"Name the authority of its certificate with --evidence-ca. {_LOST}",
            ) from error
        except (exceptions.BotoCoreError, OSError, ValueError) as error:
            raise EvidenceAway(
                f"{self._it} cannot be reached: {_last(error)}.",
                f"Look whether it runs, and at --evidence-endpoint. {_LOST}",
            ) from error

    @property
    def _it(self) -> str:
        where = getattr(self, "_client", None)
        url = self._location.endpoint if where is None else where.meta.endpoint_url
        return f"The evidence store at {url or 'Amazon S3'}"

    def _meaning(self, error: Any, key: str) -> DomainError:
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchKey" or (code in ("404", "NotFound") and key):
            return NotFound("file", key)
        sentence, remedy = _SAID.get(
            code, (f"{{it}} answers {code} ({status}).", "Check its log; the platform retries.")
        )
        filled = sentence.format(it=self._it, bucket=self._location.bucket)
        return EvidenceAway(filled[0].upper() + filled[1:], f"{remedy} {_LOST}")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _last(error: BaseException) -> str:
    """What was at the bottom of it, without our URL once more."""
    inner: BaseException = getattr(error, "kwargs", {}).get("error") or error
    text = re.sub(r"\[Errno -?\d+\] ", "", str(inner).rpartition(": ")[2]) or type(inner).__name__
    return text.strip(" .()'\"")[:200]
