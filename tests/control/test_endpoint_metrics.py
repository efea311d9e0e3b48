"""Endpoints on /metrics, and the dashboard that reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from callwright.control.accounts.model import Identity
from callwright.control.api import endpoint_metrics
from callwright.control.monitors.model import Figures, Latest, SlotState
from callwright.control.services import Services
from callwright.net.clock import ManualClock
from tests.control.monitored import a_server, an_endpoint, read
from tests.control.test_metrics import ask, samples, value

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "monitoring.json"
NOW = 1_800_000_000.0


async def test_each_endpoint_has_its_figures_from_each_server_and_none_where_nothing_was_measured(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    clock.advance(NOW - clock.wall())
    fra, sin, syd = [await a_server(services, name) for name in ("fra-1", "sin-1", "syd-1")]
    lyon = await an_endpoint(services, admin, "Lyon", [fra, sin, syd])
    await read(services, lyon, fra, loss_pct=4.0, jitter_ms=1.5)
    await read(services, lyon, sin, state=SlotState.FAILED, mos=1.0, loss_pct=None, rtt_ms=None)
    text = (await ask(services)).text
    from_fra, from_sin, from_syd = (
        {"endpoint": "Lyon", "endpoint_id": str(lyon.id), "server": name}
        for name in ("fra-1", "sin-1", "syd-1")
    )
    for name, expected in (
        ("up", 1.0),
        ("mos", 4.41),
        ("loss_ratio", 0.04),
        ("rtt_seconds", 0.024),
        ("jitter_seconds", 0.0015),
        ("no_data", 0.0),
    ):
        assert value(text, f"endpoint_{name}", **from_fra) == expected, name
    assert value(text, "endpoint_up", **from_sin) == 0.0
    assert value(text, "endpoint_mos", **from_sin) == 1.0
    assert value(text, "endpoint_rtt_seconds", **from_sin) is None
    assert value(text, "endpoint_no_data", **from_syd) == 1.0
    assert value(text, "endpoint_up", **from_syd) is None
    clock.advance(600)
    later = (await ask(services)).text
    assert value(later, "endpoint_mos", **from_fra) is None, "an old figure is none of now"
    assert value(later, "endpoint_no_data", **from_fra) == 1.0
    await services.monitors.pause(admin, lyon.id)
    clock.advance(2)
    assert not [name for name, labels in samples((await ask(services)).text) if dict(labels).get("endpoint")]


def test_the_number_of_series_is_bounded_and_told() -> None:
    most = endpoint_metrics.MOST_TESTS
    one = Latest(
        voip_test_id=1,
        endpoint_id=1,
        server_id=9,
        interval=60,
        updated_at=None,
        slot=int(NOW),
        state="done",
        reason="",
        verdict="passed",
        figures=Figures(),
    )
    families = {
        found.name: found for found in endpoint_metrics.endpoint_families([one] * (most + 7), {}, {}, NOW)
    }
    assert len(families["callwright_endpoint_up"].samples) == most
    assert families["callwright_endpoint_tests_left_out"].samples[0].value == 7.0
    assert families["callwright_endpoint_up"].samples[0].labels["server"] == "server-9"


async def test_the_dashboard_asks_for_metrics_and_labels_that_exist(
    services: Services, admin: Identity
) -> None:
    fra = await a_server(services, "fra-1")
    await read(services, await an_endpoint(services, admin, "Lyon", [fra]), fra, jitter_ms=1.0)
    there: dict[str, set[str]] = {}
    for name, labels in samples((await ask(services)).text):
        there.setdefault(name, set()).update(name for name, _ in labels)
    board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    chosen = [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]
    used: set[str] = set()
    for text in asked + chosen:
        for name, matched in re.findall(r"(callwright_\w+)(?:\{([^}]*)\})?", text):
            used.add(name)
            assert name in there, text
            assert set(re.findall(r"(\w+)=~", matched)) <= there[name], text
    for text in chosen:
        name, label = re.findall(r"label_values\((callwright_\w+).*, (\w+)\)", text)[0]
        assert label in there[name], text
    told = {name for name in there if name.startswith("callwright_endpoint_")}
    assert used == told, "each metric of endpoints is on the dashboard"


def test_the_panels_of_the_dashboard_do_not_overlap_and_take_the_chosen_source() -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = board["panels"]
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["datasource"]["uid"] == "${datasource}"
    variables = {one["name"] for one in board["templating"]["list"]}
    text = DASHBOARD.read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{?([a-z]+)", text)) <= variables
