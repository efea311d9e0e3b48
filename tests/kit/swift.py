"""An S3 server of the tests' own: OpenStack Swift with s3api. It checks signatures and keeps files on disk.

Four processes on free loopback ports, in a folder below /tmp that goes away afterwards.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.kit.programs import missing
from tests.kit.served import free_port

PYTHON = "/usr/bin/python3"  # Debian's: it has python3-swift
_PATIENCE = 90.0  # seconds, of a busy machine
_BEHIND = ("account", "container", "object")

# Imported once and forked: four processes of Python take their time.
_LAUNCH = """
import os, sys
from swift.common import utils
folder = sys.argv[1]
utils.set_swift_dir(folder)
from swift.common.wsgi import run_wsgi
import swift.account.server, swift.container.server, swift.obj.server, swift.proxy.server
for name in ("account", "container", "object", "proxy"):
    if name == "proxy" or os.fork() == 0:
        with open(f"{folder}/pids", "a") as pids:  # each makes a session of its own
            print(os.getpid(), file=pids)
        sys.exit(run_wsgi(f"{folder}/{name}.conf", f"{name}-server", verbose=True))
"""
_RINGS = """
import sys
from swift.common import utils
folder = sys.argv[1]
utils.set_swift_dir(folder)
from swift.common.ring.builder import RingBuilder
for ring, port in zip(("account", "container", "object"), sys.argv[2:]):
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": int(port),
                     "replication_ip": "127.0.0.1", "replication_port": int(port), "device": "disk"})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{ring}.ring.gz")
"""
_BACKEND = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
workers = 0
log_address = {folder}/nowhere

[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
log_address = {folder}/nowhere
{tls}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth bulk slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
recheck_account_existence = 0
recheck_container_existence = 0

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
# tempauth wants one to be named; that none answers there does no harm.
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = 1
[filter:tempauth]
use = egg:swift#tempauth
user_test_platform = {secret} .admin
user_test_reader = {secret}
"""


def require() -> None:
    """Skips the test where there is no Swift; fails it in CI."""
    there = subprocess.run([PYTHON, "-c", "import swift.common.wsgi"], capture_output=True, check=False)
    if there.returncode != 0:
        missing("python3-swift")


class Swift:
    """`start()`, `kill()` as a power cut would, `start()` again, `close()`.

    `access_key` may do everything, `reader` (the same secret) nothing.
    """

    access_key, reader, secret = "test:platform", "test:reader", "not-so-secret"

    def __init__(
        self, *, certificate: tuple[Path, Path] | None = None, authority: Path | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="callwright-swift-"))
        self._ports = [free_port() for _ in range(4)]
        self.port, *others = self._ports
        self._authority = None if authority is None else str(authority)
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "devices" / "disk").mkdir(parents=True)
        (self.folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = one\ndefault = yes\n"
        )
        common = {"folder": self.folder, "user": getpass.getuser()}
        for name, port in zip(_BEHIND, others, strict=True):
            text = _BACKEND.format(name=name, port=port, **common)
            (self.folder / f"{name}.conf").write_text(text)
        self.scheme = "http"
        tls = ""
        if certificate is not None:
            self.scheme, tls = "https", "cert_file = {}\nkey_file = {}\n".format(*certificate)
        proxy = _PROXY.format(port=self.port, secret=self.secret, tls=tls, **common)
        (self.folder / "proxy.conf").write_text(proxy)
        subprocess.run(
            [PYTHON, "-c", _RINGS, str(self.folder), *map(str, others)], check=True, capture_output=True
        )

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Until it answers."""
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-c", _LAUNCH, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not (self.folder / "pids").is_file() or any(not _listens(port) for port in self._ports):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        if self._process is not None:
            pids = self.folder / "pids"
            for pid in pids.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            pids.unlink()
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Any:
        """A client of botocore's own, to look what is there."""
        from botocore.config import Config
        from botocore.session import Session

        return Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret,
            verify=self._authority,
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Of the objects that are there."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
