"""What channels are told of incidents, written in the transaction of each transition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from callwright.alerting.cause import Cause
from callwright.alerting.watch import Event, EventKind
from callwright.control.alerts.model import Alert, Incident
from callwright.control.monitors.model import Endpoint
from callwright.control.notifications.model import Channel
from callwright.control.notifications.outbox import Audience, Outbox, in_audience

__all__ = ["IncidentTeller"]

Names = Callable[[], Awaitable[Mapping[int, str]]]
_NOBODY: Audience = ()


class IncidentTeller:
    """``server_names``: number of a server to what people call it."""

    def __init__(self, outbox: Outbox, server_names: Names) -> None:
        self._outbox, self._server_names = outbox, server_names

    async def tell(
        self,
        alerts: Mapping[int, Alert],
        endpoints: Mapping[int, Endpoint],
        alert: Alert,
        endpoint: Endpoint,
        incident: Incident,
        event: Event,
    ) -> None:
        """``incident``: after the event; ``alerts``: cancelled ones too."""
        data = await self._data(endpoints, alert, endpoint, incident, event.servers)
        audience = alert.channel_ids
        match event.kind:
            case EventKind.FIRED:
                # One that an earlier alert told of this incident hears of it no second time.
                earlier = [child for child in incident.children[:-1] if child.ended_at is None]
                told = _audiences(alerts, [child.alert_id for child in earlier])
                await self._write("incident.opened", data, event.at, incident, [audience], told)
                await self._one("alert.fired", data, event.at, incident, alert)
            case EventKind.REMINDED:
                await self._write("incident.reminded", data, event.at, incident, [audience])
            case EventKind.RECOVERED:
                await self._one("alert.recovered", data, event.at, incident, alert)
                if incident.ended_at is not None:
                    everybody = _audiences(alerts, [child.alert_id for child in incident.children])
                    await self._write("incident.recovered", data, event.at, incident, everybody)

    async def tell_closed(
        self,
        alerts: Mapping[int, Alert],
        endpoints: Mapping[int, Endpoint],
        alert: Alert,
        endpoint: Endpoint,
        incident: Incident,
        at: float,
    ) -> None:
        """It ended since nobody watches any more."""
        data = await self._data(endpoints, alert, endpoint, incident, ())
        everybody = _audiences(alerts, [child.alert_id for child in incident.children])
        await self._write("incident.closed", data, at, incident, everybody)

    async def _write(
        self,
        event: str,
        data: Mapping[str, Any],
        at: float,
        incident: Incident,
        audiences: Sequence[Audience],
        but: Sequence[Audience] = (),
    ) -> None:
        def wants(channel: Channel) -> bool:
            return any(in_audience(channel, event, one) for one in audiences) and not any(
                in_audience(channel, event, one) for one in but
            )

        await self._outbox.tell(event, data, at=at, project_id=incident.project_id, wants=wants)

    async def _one(
        self, event: str, data: Mapping[str, Any], at: float, incident: Incident, alert: Alert
    ) -> None:
        """For channels that asked for each alert by itself."""

        def wants(channel: Channel) -> bool:
            return event in channel.events and in_audience(channel, event, alert.channel_ids)

        await self._outbox.tell(event, data, at=at, project_id=incident.project_id, wants=wants)

    async def _data(
        self,
        endpoints: Mapping[int, Endpoint],
        alert: Alert,
        endpoint: Endpoint,
        incident: Incident,
        servers: Sequence[int],
    ) -> dict[str, Any]:
        names = await self._server_names()
        return {
            "incident": {
                "id": incident.id,
                "cause": _cause(incident.cause, endpoints, names),
                "started_at": incident.started_at,
                "ended_at": incident.ended_at,
                "alerts": len({(child.alert_id, child.endpoint_id) for child in incident.children}),
            },
            "alert": {"id": alert.id, "name": alert.name, "condition": alert.condition},
            "endpoint": {"id": endpoint.id, "name": endpoint.name},
            "servers": [{"id": one, "name": names.get(one, str(one))} for one in servers],
            "link": self._outbox.link(f"/monitoring/incidents/{incident.id}"),
        }


def _audiences(alerts: Mapping[int, Alert], ids: Sequence[int]) -> list[Audience]:
    return [alerts[one].channel_ids if one in alerts else _NOBODY for one in dict.fromkeys(ids)]


def _cause(cause: Cause, endpoints: Mapping[int, Endpoint], servers: Mapping[int, str]) -> dict[str, Any]:
    server, endpoint = cause.server, cause.endpoint
    return {
        "kind": str(cause.kind),
        "server_id": server,
        "server": None if server is None else servers.get(server, str(server)),
        "endpoint_id": endpoint,
        "endpoint": None
        if endpoint is None
        else endpoints[endpoint].name
        if endpoint in endpoints
        else str(endpoint),
    }
