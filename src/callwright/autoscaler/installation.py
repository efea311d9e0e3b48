"""What makes a bare machine a server: the agent's flags, and user data with which cloud-init installs it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from callwright.autoscaler.provider import Order
from callwright.version import __version__

__all__ = ["PACKAGE", "agent_flags", "script", "user_data"]

PACKAGE = f"callwright=={__version__}"
"""What pip installs unless a setting says otherwise; agents of another version may be refused."""

_FOLDER, _KEPT, _DATA = "/opt/callwright", "/etc/callwright", "/var/lib/callwright"
_SCRIPT = "/usr/local/sbin/callwright-agent"
_UNIT = f"""\
[Unit]
Description=Callwright agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={_SCRIPT}
Restart=always
RestartSec=5
# The agent was revoked: it makes no sense to start it again.
RestartPreventExitStatus=4
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""


def agent_flags(order: Order, *, ca: str = "") -> list[str]:
    """Those of `callwright agent` that come from an order. ``ca``: the file in which its CA lies."""
    flags = ["--url", order.url, "--name", order.name, "--capacity", str(order.capacity)]
    if order.ca:
        flags += ["--ca", ca]
    for key, value in order.labels.items():
        flags += ["--label", f"{key}={value}"]
    return flags


def script(order: Order, *, package: str = PACKAGE, root: str = "") -> str:
    """A program of sh that installs the agent where it is missing, and becomes it. It may be started again at
    any time, and enrols once. ``root``: what all paths begin with."""
    folder, data, kept = f"{root}{_FOLDER}", f"{root}{_DATA}", f"{root}{_KEPT}"
    agent = [f"{folder}/bin/callwright", "agent", "--data", data, *agent_flags(order, ca=f"{kept}/ca.pem")]
    return f"""\
#!/bin/sh
set -eu
if [ ! -e {folder}/installed ]; then
    python3 -m venv {folder}
    {folder}/bin/pip install --quiet --disable-pip-version-check {shlex.quote(package)}
    touch {folder}/installed
fi
if [ ! -e {data}/agent.json ]; then
    CALLWRIGHT_ENROL="$(cat {kept}/enrolment)"
    export CALLWRIGHT_ENROL
else
    rm -f {kept}/enrolment
fi
exec {shlex.join(agent)}
"""


def user_data(order: Order, *, package: str = PACKAGE, packages: Sequence[str] = ("python3-venv",)) -> str:
    """Cloud-init's own form. The token in it is good once: whoever reads it later, as any program on the
    machine may, has nothing. ``packages``: of the machine's distribution."""
    files: list[dict[str, Any]] = [
        {"path": f"{_KEPT}/enrolment", "permissions": "0600", "content": f"{order.token}\n"},
        {"path": _SCRIPT, "permissions": "0755", "content": script(order, package=package)},
        {"path": "/etc/systemd/system/callwright-agent.service", "permissions": "0644", "content": _UNIT},
    ]
    if order.ca:
        files.append({"path": f"{_KEPT}/ca.pem", "permissions": "0644", "content": order.ca})
    config = {
        "package_update": True,
        "packages": list(packages),
        "write_files": files,
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", "--no-block", "callwright-agent.service"],
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)
