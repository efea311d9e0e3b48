"""A reverse proxy before the platform: nginx or Caddy, with the configuration that the guide prints."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kit.programs import program
from tests.net.certificates import Authority

_GUIDE = Path(__file__).parents[2] / "docs" / "deployment.md"
NAME = "localhost"  # stands for the guide's calls.example.com


def _printed(start: str) -> str:
    """The one block of the guide that begins with this line."""
    found = [
        textwrap.dedent(block)
        for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", _GUIDE.read_text(), re.MULTILINE)
        if block.lstrip("\n").startswith(f"    {start}")
    ]
    assert len(found) == 1, f"{start!r} begins {len(found)} blocks of {_GUIDE.name}"
    return found[0].strip("\n")


def _into(block: str, inner: str) -> str:
    """`inner` before the last brace of `block`."""
    return f"{block.rstrip().removesuffix('}')}{textwrap.indent(inner, '    ')}\n}}\n"


def _nginx(folder: Path, port: int, platform: int, nats: int, authority: Authority) -> list[str]:
    identity = authority.issue("proxy", dns=[NAME])
    server = _into(_printed("server {"), _printed("location = /nats {"))
    for old, new in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("calls.example.com;", f"{NAME};"),
        ("/etc/letsencrypt/live/calls.example.com/fullchain.pem", str(identity.cert)),
        ("/etc/letsencrypt/live/calls.example.com/privkey.pem", str(identity.key)),
        ("http://127.0.0.1:8000;", f"http://127.0.0.1:{platform};"),
        ("https://127.0.0.1:4223;", f"https://127.0.0.1:{nats};"),
    ):
        assert server.count(old) == 1, f"{old!r} in\n{server}"
        server = server.replace(old, new)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Its workers would be somebody who may not look into a test's folder.
    user = "user root root;\n" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}\n{server}}}\n"
    )
    return [program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(file)]


def _caddy(folder: Path, port: int, platform: int, nats: int, authority: Authority) -> list[str]:
    identity = authority.issue("proxy", dns=[NAME])
    site = _into(_printed("calls.example.com {"), _printed("reverse_proxy /nats "))
    for old, new in (
        ("calls.example.com {", f"{NAME}:{port} {{\nbind 127.0.0.1\ntls {identity.cert} {identity.key}"),
        ("reverse_proxy 127.0.0.1:8000", f"reverse_proxy 127.0.0.1:{platform}"),
        ("https://127.0.0.1:4223 ", f"https://127.0.0.1:{nats} "),
    ):
        assert site.count(old) == 1, f"{old!r} in\n{site}"
        site = site.replace(old, new)
    file = folder / "Caddyfile"
    file.write_text(f"{{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n}}\n{site}")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


KINDS = {"nginx": _nginx, "caddy": _caddy}


@contextlib.contextmanager
def proxy(
    kind: str, folder: Path, *, port: int, platform: int, nats: int, authority: Authority
) -> Iterator[None]:
    """It listens on `port` of 127.0.0.1 with a certificate for NAME, before the ports of the platform and of
    its WebSocket listener; it is there when this is entered. Its words are in FOLDER/log."""
    folder.mkdir()
    command = KINDS[kind](folder, port, platform, nats, authority)
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(20)
