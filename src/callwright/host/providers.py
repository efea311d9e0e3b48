"""Where servers come from: the tables `[providers.NAME]` of the settings file, and what opens each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from callwright.autoscaler.provider import Provider, Unusable
from callwright.autoscaler.providers.libcloud import Clouds, CloudSettings
from callwright.autoscaler.providers.netns import Namespaces, NamespaceSettings
from callwright.autoscaler.providers.process import Processes
from callwright.autoscaler.providers.ssh import Hosts, SshSettings
from callwright.host.logging import message_of

__all__ = ["NETNS", "PROCESS", "Agents", "checked", "local", "openers"]

PROCESS, NETNS = "process", "netns"
"""The providers that are there without a table."""

#: By `driver`; every other one is a cloud's, as Libcloud calls it.
_DRIVERS: Mapping[str, type[Any]] = {NETNS: NamespaceSettings, "ssh": SshSettings}


@dataclass(frozen=True, slots=True)
class Agents:
    """Agents on this machine. ``data``: the platform's folder; ``command`` and ``environment``: theirs;
    ``reach``: the URLs of NATS that they ask."""

    data: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    reach: Sequence[str] = ()


def checked(table: Any) -> Any:
    """The settings of one table. Raises ValidationError, ValueError."""
    driver = table.get("driver") if isinstance(table, Mapping) else None
    return msgspec.convert(table, _DRIVERS.get(str(driver), CloudSettings))


def local(tables: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """The names of providers whose agents are on this machine."""
    return frozenset({PROCESS, NETNS} | {name for name, one in tables.items() if one.get("driver") == NETNS})


def openers(
    tables: Mapping[str, Mapping[str, Any]], agents: Agents, installation: str, public_url: str | None
) -> dict[str, Callable[[], Provider]]:
    """By name, each raises Unusable. ``installation``: by which our machines are known elsewhere;
    ``public_url``: where they find the platform and its broker, None: they cannot."""
    made: dict[str, Callable[[], Provider]] = {PROCESS: partial(_processes, agents)}
    for name, table in ({NETNS: {"driver": NETNS}} | dict(tables)).items():
        if table.get("driver") == NETNS:
            made[name] = partial(_namespaces, name, table, agents)
        else:
            made[name] = partial(_elsewhere, table, installation, public_url)
    return made


def _processes(agents: Agents) -> Provider:
    return Processes(
        agents.data / "fleet",
        command=agents.command,
        environment=agents.environment,
        readable=message_of,
    )


def _namespaces(name: str, table: Mapping[str, Any], agents: Agents) -> Provider:
    return Namespaces(
        agents.data / "namespaces" / name,
        checked(table),
        reach=agents.reach,
        command=agents.command,
        environment=agents.environment,
        readable=message_of,
    )


def _elsewhere(table: Mapping[str, Any], installation: str, public_url: str | None) -> Provider:
    if public_url is None:
        raise Unusable("machines elsewhere need the platform started with --public-url and --nats-listen")
    settings = checked(table)
    if isinstance(settings, SshSettings):
        return Hosts(settings, installation)
    try:
        arguments = {name: _argument(value) for name, value in settings.arguments.items()}
    except OSError as error:
        raise Unusable(f"{error.filename}: {error.strerror}") from None
    return Clouds(replace(settings, arguments=arguments), installation)


def _argument(value: Any) -> Any:
    """`{file = "/run/secrets/key"}`: what is in it. Raises OSError."""
    if isinstance(value, Mapping) and set(value) == {"file"}:
        return Path(value["file"]).read_text(encoding="utf-8").strip()
    return value
