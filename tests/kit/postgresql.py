"""A PostgreSQL of the tests' own: made in a folder below /tmp, on a free loopback port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.kit.programs import missing
from tests.kit.served import free_port

USER = "callwright"
_PATIENCE = 15.0  # seconds


def programs() -> Path | None:
    """The folder with initdb and postgres; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def require() -> None:
    """Skips the test where there is no PostgreSQL; fails it in CI."""
    if programs() is None:
        missing("PostgreSQL")


class PostgreSql:
    """`start()`, `kill()` as a power cut would, `start()` again, `close()`."""

    def __init__(self, *, durable: bool = False) -> None:
        folder = programs()
        assert folder is not None
        self._programs = folder
        self.folder = Path(tempfile.mkdtemp(prefix="callwright-pg-"))
        self.port = free_port()
        self._durable = durable
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run(
            "initdb", "--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "-D", self.data
        )

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        if not self._durable:
            settings += " -c fsync=off -c full_page_writes=off"
        given_up = time.monotonic() + _PATIENCE
        while True:
            try:
                log = str(self.folder / "log")
                self._run("pg_ctl", "-D", self.data, "-l", log, "-o", settings, "-w", "start")
                return self
            except RuntimeError:  # after a kill, until the children of then have let go of the memory
                if time.monotonic() > given_up:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to the first process; the others follow when they notice."""
        pid = int((Path(self.data) / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was killed
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, database: str) -> str:
        """Its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database)
        return self.url(database)

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:  # which PostgreSQL refuses to be run by
            command = ["runuser", "-u", "postgres", "--", *command]
        # Not captured by a pipe: the server would inherit it, and the end would never come.
        log = self.folder / f"{program}.log"
        with open(log, "w") as output:
            done = subprocess.run(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {log.read_text()[-1000:]}")
