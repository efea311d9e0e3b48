"""What the Internet sends to a PBX: SIPVicious from an address of strangers, in namespaces of their own.

SIPVicious is GPL; it is called as a program, and nothing of ours is made from it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers import PeerProcess
from tests.kit.networks import Networks, two_networks
from tests.kit.programs import missing

pytestmark = pytest.mark.peer

FOLDER = Path(__file__).parents[2] / ".peers" / "sipvicious" / "bin"
PLAN = """
users: {1001: {password: s3cret}, 1002: {password: other}}
trunks:
  carrier: {uri: "sip:127.0.0.1:5070"}
outbound:
  world: {prefix: "00", trunks: [carrier]}
inbound:
  "4312345": {to: 1001, trunk: carrier}
"""
TRUNK = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 5070))
print("listens", flush=True)
while True:
    data, source = sock.recvfrom(65536)
    print(data.split(b"\\r\\n")[0].decode(), flush=True)
    kept = (b"Via:", b"From", b"To: ", b"Call", b"CSeq")
    lines = [line for line in data.split(b"\\r\\n") if line[:4] in kept]
    sock.sendto(b"\\r\\n".join([b"SIP/2.0 486 Busy Here", *lines, b"Content-Length: 0", b"", b""]), source)
"""


def attack(networks: Networks, folder: Path, tool: str, *arguments: str, seconds: float = 60.0) -> str:
    """All that the tool says; it is ended after so many seconds."""
    path = FOLDER / f"sipvicious_{tool}"
    if not path.exists():
        missing("sipvicious")
    command = ["ip", "netns", "exec", networks.far, "timeout", str(seconds), str(path), *arguments]
    with PeerProcess(command, folder=folder, name=tool) as peer:
        peer.wait(seconds + 30)
        return f"{peer.output}\n{peer.log}"


@pytest.fixture
def networks() -> Iterator[Networks]:
    with two_networks() as made:
        yield made


def test_strangers_find_no_user_crack_no_password_and_reach_no_trunk(
    networks: Networks, tmp_path: Path
) -> None:
    (tmp_path / "pbx.yaml").write_text(PLAN)
    ours, (first, second) = networks.ours, networks.theirs
    listen = ("--listen", f"{ours}:5060", "--plan", str(tmp_path / "pbx.yaml"))
    serve = networks.command(networks.near, "-m", "callwright", "pbx", *listen)
    trunk_command = networks.command(networks.near, "-c", TRUNK)
    with (
        PeerProcess(trunk_command, folder=tmp_path, name="trunk") as trunk,
        PeerProcess(serve, folder=tmp_path, name="pbx") as pbx,
    ):
        trunk.wait_for("listens")
        pbx.wait_for("Ctrl-C ends")
        assert "Callwright" in attack(networks, tmp_path, "svmap", ours), "the attack arrives at all"

        for method in ("REGISTER", "INVITE", "OPTIONS"):
            said = attack(networks, tmp_path, "svwar", "--force", "-m", method, "-e", "1000-1004", ours)
            assert "found nothing" in said, said
            assert not re.search(r"\b100[0-4]\s*\|", said), "no table of users"
        assert "reqauth" not in attack(networks, tmp_path, "svwar", "-m", "INVITE", "-e", "0043123", ours)

        attack(networks, tmp_path, "svcrack", "-u", "1001", "-r", "1-500", ours, seconds=8)
        tried = pbx.log.count("as 1001: wrong user name or password")
        assert 3 <= tried <= 8, "a few at once, then slower and slower"
        assert "is banned" not in pbx.log, "one account is no reason for a ban"

        move = ["ip", "-n", networks.far, "route", "replace", "default", "dev", "wire", "src", second]
        subprocess.run(move, check=True, timeout=20)
        for user in range(2001, 2013):
            attack(networks, tmp_path, "svcrack", "-u", str(user), "-r", "1-2", ours, seconds=6)
            if f"{second} is banned" in pbx.log:
                break
        pbx.wait_for(f"{second} is banned for 3600 s: wrong passwords for 10 accounts")
        assert f"{first} is banned" not in pbx.log

        assert "INVITE" not in trunk.log + trunk.output, "nothing of strangers leaves the machine"
        call = networks.command(networks.near, "-m", "callwright", "call", f"sip:0043123@{ours}")
        with PeerProcess(
            [*call, "--user", "1001", "--password", "s3cret", "--json", "--no-media"],
            folder=tmp_path,
            name="call",
        ) as caller:
            caller.wait(60)
            assert json.loads(caller.output)["sip_code"] == 486
        trunk.wait_for("INVITE sip:0043123@127.0.0.1:5070")
