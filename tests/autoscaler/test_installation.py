"""What a bare machine is told, and what its script does: run here, with stand-ins for pip and the agent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

from callwright.autoscaler.installation import PACKAGE, script, user_data
from callwright.autoscaler.provider import Order

ORDER = Order(
    "agent-a",
    "lab",
    "https://calls.example.com",
    "cwe_secret",
    capacity=7,
    labels={"site": "north; rm -rf /", "x": "$(id)"},
    ca="-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
)
#: As `python3 -m venv FOLDER` would, with a pip and an agent that write down how they were called.
VENV = """#!/bin/sh
echo venv >> "$LOG"
mkdir -p "$3/bin"
for name in pip callwright; do
    { echo '#!/bin/sh'; echo "echo $name \\"\\${CALLWRIGHT_ENROL:-}\\" >> '$LOG'"
      echo 'for one in "$@"; do echo "  $one" >> "'"$LOG"'"; done'; } > "$3/bin/$name"
    chmod +x "$3/bin/$name"
done
"""


def test_user_data_install_a_unit_and_keep_the_token_from_others() -> None:
    text = user_data(ORDER)
    assert text.startswith("#cloud-config\n")
    told = yaml.safe_load(text)
    files = {one["path"]: one for one in told["write_files"]}
    assert files["/etc/callwright/enrolment"] == {
        "path": "/etc/callwright/enrolment",
        "permissions": "0600",
        "content": "cwe_secret\n",
    }
    assert files["/etc/callwright/ca.pem"]["content"] == ORDER.ca
    unit = files["/etc/systemd/system/callwright-agent.service"]["content"]
    assert "ExecStart=/usr/local/sbin/callwright-agent\n" in unit
    assert PACKAGE in files["/usr/local/sbin/callwright-agent"]["content"]
    assert text.count("cwe_secret") == 1
    assert told["runcmd"][-1][-1] == "callwright-agent.service"


def test_the_script_installs_once_enrols_once_and_starts_the_agent_each_time(tmp_path: Path) -> None:
    root, log = tmp_path / "root", tmp_path / "log"
    for folder in ("opt", "etc/callwright", "var/lib/callwright", "bin"):
        (root / folder).mkdir(parents=True)
    (root / "bin/python3").write_text(VENV)
    (root / "bin/python3").chmod(0o755)
    (root / "etc/callwright/enrolment").write_text("cwe_secret\n")
    program = tmp_path / "script"
    program.write_text(script(ORDER, package="callwright @ https://example.com/c.whl", root=str(root)))

    def run() -> list[str]:
        environment = {"PATH": f"{root}/bin:{os.environ['PATH']}", "LOG": str(log)}
        subprocess.run(["sh", str(program)], env=environment, check=True, timeout=20)
        said = log.read_text().splitlines()
        log.unlink()
        return said

    first = run()
    assert first[:2] == ["venv", "pip "]
    assert "  callwright @ https://example.com/c.whl" in first
    assert "callwright cwe_secret" in first
    flags = [line.strip() for line in first[first.index("callwright cwe_secret") + 1 :]]
    assert flags[:3] == ["agent", "--data", f"{root}/var/lib/callwright"]
    assert flags[flags.index("--label") + 1] == "site=north; rm -rf /"
    assert flags[-1] == "x=$(id)"
    assert "cwe_secret" not in flags
    (root / "var/lib/callwright/agent.json").write_text("{}")  # it has enrolled
    assert run()[0] == "callwright "
    assert not (root / "etc/callwright/enrolment").exists()
