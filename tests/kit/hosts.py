"""Hosts to sign in to: real sshd processes on loopback, each with a home folder of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from callwright.autoscaler.providers.ssh import SshSettings
from tests.kit.programs import program
from tests.kit.served import free_port


@contextmanager
def some_hosts(folder: Path, count: int) -> Iterator[SshSettings]:
    """The settings of a provider with so many."""
    keygen, sshd = program("ssh-keygen"), program("sshd")
    program("ssh")
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    known = folder / "known_hosts"
    key = (folder / "host.pub").read_text().split()[:2]
    places = []
    with ExitStack() as ends:
        for number in range(1, count + 1):
            port, home = free_port(), folder / f"home{number}"
            home.mkdir()
            config = folder / f"sshd{number}.conf"
            config.write_text(
                f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nPidFile none\n"
                f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nUsePAM no\n"
                f"PasswordAuthentication no\nPermitRootLogin yes\nSetEnv HOME={home}\n"
            )
            log = ends.enter_context(open(folder / f"sshd{number}.log", "wb"))
            process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=log)
            ends.callback(process.wait)
            ends.callback(process.terminate)
            with known.open("a") as file:
                file.write(f"[127.0.0.1]:{port} {' '.join(key)}\n")
            _wait_for(port)
            places.append(f"{getpass.getuser()}@127.0.0.1:{port}")
        yield SshSettings(tuple(places), identity=str(folder / "user"), known_hosts=str(known))


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen on port {port}")
