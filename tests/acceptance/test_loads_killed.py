"""SIGKILL leaves no call of a load up: the guardian ends those of a SIPp scenario and those over TCP too."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop import peers
from tests.interop.test_load import status
from tests.kit.served import environment

TALK = """<scenario name="talk">
<send retrans="500"><![CDATA[
  INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
  Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
  From: <sip:me@[local_ip]:[local_port]>;tag=[call_number]
  To: <sip:[service]@[remote_ip]:[remote_port]>
  Call-ID: [call_id]
  CSeq: 1 INVITE
  Contact: <sip:me@[local_ip]:[local_port]>
  Content-Length: 0
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200"/>
<send><![CDATA[
  ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
  Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
  From: <sip:me@[local_ip]:[local_port]>;tag=[call_number]
  To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
  Call-ID: [call_id]
  CSeq: 1 ACK
  Content-Length: 0
]]></send>
<pause milliseconds="90000"/>
</scenario>"""


@pytest.mark.parametrize("how", ["sipp", "tcp"])
def test_the_calls_of_a_load_that_is_killed_are_hung_up(tmp_path: Path, how: str) -> None:
    port = peers.free_port()
    control, talk = tmp_path / "control", tmp_path / "talk.xml"
    talk.write_text(TALK)
    arguments = ["--answer", "--listen", f"127.0.0.1:{port}", "--calls", "5", "--json"]
    arguments += ["--control", str(control)]
    caller = [sys.executable, "-m", "callwright", "load", f"sip:x@127.0.0.1:{port}", "--calls", "5"]
    if how == "sipp":
        caller += ["--sipp", str(talk)]
    else:
        arguments += ["--transport", "tcp"]
        caller += ["--transport", "tcp", "--hold", "90"]
    with peers.start_callwright(tmp_path, "load", *arguments, wait_for="answering at") as answer:
        quiet = subprocess.DEVNULL
        with subprocess.Popen(caller, cwd=tmp_path, env=environment(), stdout=quiet, stderr=quiet) as placed:
            try:
                answer.until(lambda: status(control).get("active") == 5, "calls", 60)
            finally:
                placed.send_signal(signal.SIGKILL)
        assert answer.wait(60) == 0, answer.log
    told = answer.document()
    assert (told["attempted"], told["answered"]) == (5, 5)
