"""Monitors as files: what is wrong is told with its place, and a plan is what applying it does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.control.monitors.changes import Kind, Known, Verb, plan
from callwright.control.monitors.reading import read_csv, read_yaml
from callwright.control.monitors.written import csv_text, row, yaml_text
from callwright.scenario.source import DocumentError

# The fixtures of the chapter's own tests.
from tests.control.test_monitoring_endpoints import api, servers  # noqa: F401

FILE = """\
project: default
alerts:
  - name: It sounds bad
    condition: mos<3.9 for 3m on 2 of 3 servers
    recovery: mos >= 4 for 5m
    reminder: 1800
    maintenance:
      - {from: 2026-12-01 21:00:00, to: "2026-12-02T00:00:00+01:00"}
      - {days: [sat, sun], start: "02:00", end: "04:00", time_zone: Europe/Vienna}
endpoints:
  - name: Head office PBX
    category: sip
    ip_address: 10.0.0.20
    interval: 30
    servers: [fra-1, lon-1]
    alert_threshold: 3.9
    alerts: [It sounds bad]
  - name: "no"
    ip_address: 10.0.0.21
    servers: all
"""


def problems(text: str, *, csv: bool = False) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        (read_csv if csv else read_yaml)(text)
    return [f"{one.line}:{one.address}: {one.message}" for one in caught.value.problems]


def test_a_file_says_endpoints_and_alerts_in_canonical_words() -> None:
    written = read_yaml(FILE)
    assert written.alerts is not None
    assert written.endpoints is not None
    (alert,) = written.alerts
    assert alert.fields["condition"] == "mos < 3.9 for 3m on 2 of 3 servers"
    assert alert.fields["maintenance"][0] == {"from": "2026-12-01T21:00:00Z", "to": "2026-12-01T23:00:00Z"}
    office, other = written.endpoints
    assert (office.endpoint.port, office.endpoint.interval, office.line) == (5060, 30, 11)
    assert (other.name, other.servers) == ("no", ("all",))


def test_every_problem_is_told_with_line_and_field() -> None:
    told = problems(
        "endpoints:\n"
        "  - name: a\n"
        "    categorie: sip\n"
        "    servers: all\n"
        "  - name: b\n"
        "    ip_address: not a host\n"
        "    servers: all\n"
        "  - name: c\n"
        "    ip_address: 10.0.0.1\n"
        "    interval: soon\n"
        "  - name: d\n"
        "    category: pong\n"
        "    servers: all\n"
        "alerts:\n"
        "  - name: x\n"
        "    condition: mos below 3.9\n"
    )
    assert [one.rpartition(":")[0].rpartition(":")[0] or one for one in told]
    assert told[0].startswith(
        "3:categorie: 'categorie' is not a field of the endpoint 1. Did you mean category?"
    )
    assert told[1].startswith("6:ip_address: 'not a host' is neither")
    assert "8:servers: The endpoint 3 has no servers" in told[2]
    assert told[3].startswith("10:interval: interval is a number, not 'soon'")
    assert told[4].startswith("12:category: 'pong' is no category.")
    assert told[5].startswith("16:condition: 'below' is not <, <=, > or >=.")


def test_the_column_of_a_condition_is_the_one_in_the_file() -> None:
    with pytest.raises(DocumentError) as caught:
        read_yaml('alerts:\n  - {name: x, condition: "mos below 3.9"}\n')
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, len('  - {name: x, condition: "mos ') + 1)


ONE = "  - {name: a, ip_address: 10.0.0.1, servers: all}\n"
RAISES = "endpoints:\n  - {name: a, ip_address: 10.0.0.1, servers: all, alerts: [y]"
ALERT = "alerts:\n  - {name: x, condition: unreachable}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no 'endpoints' and no 'alerts'"),
        ("endpoints: {a: b}", "endpoints is a list"),
        ("endpoints:\n  - a", "not a block of fields"),
        (f"endpoints:\n{ONE}{ONE}", "is there twice"),
        (f"{ALERT}{RAISES}, alert_threshold: 4}}", "that the file lacks"),
        (f"{RAISES}}}", "has an alert_threshold"),
        ("endpoints: [", "A value is missing here"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    assert any(words in one for one in problems(text))


def test_a_csv_tells_the_line_and_keeps_what_it_has_no_column_for() -> None:
    told = problems("name,category\na,sip\nb,sip,x\n", csv=True)
    assert told[0].startswith("2:ip_address: ip_address is missing")
    assert told[1].startswith("3:None: There are 3 columns; the first line has 2.")
    assert "is not known" in problems("name,colour\n", csv=True)[0]
    assert "one of them is name" in problems("", csv=True)[0]
    (one,) = read_csv("name,ip_address\na,10.0.0.1\n").endpoints or ()
    assert not {"servers", "alerts", "alert_threshold"} & set(one.said)


NAMES = (
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
    .map(str.strip)
    .filter(lambda name: name not in ("", "~", "null"))
)


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.sampled_from(["ping", "sip", "udp", "dns"]),
            st.integers(10, 86_400),
            st.one_of(st.none(), st.floats(1, 4.5).map(lambda mos: round(mos, 2))),
        ),
        unique_by=lambda one: one[0],
        max_size=4,
    )
)
def test_what_is_written_is_read_again(rows: list[tuple[str, str, int, float | None]]) -> None:
    import json

    text = json.dumps(
        {
            "endpoints": [
                {
                    "name": name,
                    "category": category,
                    "ip_address": "pbx.example.com",
                    "interval": interval,
                    "servers": ["fra-1"],
                    "alert_threshold": mos,
                }
                for name, category, interval, mos in rows
            ]
        }
    )
    written = read_yaml(text)
    again = read_yaml(yaml_text(written))
    by_csv = read_csv(csv_text(written.endpoints or ()))
    assert [row(one) for one in again.endpoints or ()] == [row(one) for one in written.endpoints or ()]
    assert [row(one) for one in by_csv.endpoints or ()] == [row(one) for one in written.endpoints or ()]


def test_a_plan_creates_changes_recovers_and_cancels_alerts_first_and_last() -> None:
    written = read_yaml(FILE)
    assert written.endpoints is not None
    office = row(written.endpoints[0])
    known = [
        Known(Kind.ENDPOINT, 1, "Head office PBX", {**office, "interval": 60}),
        Known(Kind.ENDPOINT, 2, "no", row(written.endpoints[1]), cancelled=True),
        Known(Kind.ENDPOINT, 3, "old", {}),
        Known(Kind.ALERT, 4, "old alert", {}),
        Known(Kind.ALERT, 5, "long gone", {}, cancelled=True),
    ]
    changes = plan(written, known)
    assert [(one.verb, one.kind, one.name) for one in changes] == [
        (Verb.CREATE, Kind.ALERT, "It sounds bad"),
        (Verb.CHANGE, Kind.ENDPOINT, "Head office PBX"),
        (Verb.RECOVER, Kind.ENDPOINT, "no"),
        (Verb.CANCEL, Kind.ENDPOINT, "old"),
        (Verb.CANCEL, Kind.ALERT, "old alert"),
    ]
    assert changes[1].fields == {"interval": (60, 30)}
    assert Verb.CANCEL not in [one.verb for one in plan(written, known, keep=True)]


async def applied(api: httpx.AsyncClient, text: str, **query: Any) -> Any:  # noqa: F811
    answer = await api.post(
        "/monitors/apply", content=text.encode(), headers={"Content-Type": "application/yaml"}, params=query
    )
    return answer.status_code, answer.json()


async def test_a_plan_changes_nothing_and_applying_twice_changes_once(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    status, planned = await applied(api, FILE, plan="true")
    assert status == 200, planned
    assert (planned["applied"], len(planned["changes"])) == (False, 3)
    assert (await api.get("/endpoints")).json()["metadata"] == {"count": 0}
    assert (await api.get("/alerts")).json()["metadata"] == {"count": 0}

    status, done = await applied(api, FILE, fingerprint=planned["fingerprint"])
    assert (status, done["applied"]) == (200, True)
    rows = {one["name"]: one for one in (await api.get("/endpoints")).json()["collection"]}
    alert = (await api.get("/alerts")).json()["collection"][0]
    assert rows["Head office PBX"]["server_ids"] == servers[:2]
    assert rows["Head office PBX"]["alert_ids"] == [alert["id"]]
    assert rows["no"]["server_ids"] == servers
    assert rows["no"]["project"] == alert["project"] == "default"

    status, again = await applied(api, FILE)
    assert (status, again["changes"]) == (200, [])
    status, stale = await applied(api, FILE, fingerprint=planned["fingerprint"])
    assert (status, stale["message"][:22]) == (409, "The monitors have chan")


async def test_what_is_left_out_is_cancelled_and_comes_back_with_its_id(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    await applied(api, FILE)
    before = {one["name"]: one["id"] for one in (await api.get("/endpoints")).json()["collection"]}
    short = FILE[: FILE.index('  - name: "no"')]
    _, done = await applied(api, short)
    assert [(one["verb"], one["name"]) for one in done["changes"]] == [("cancel", "no")]
    _, done = await applied(api, FILE.replace("10.0.0.21", "10.0.0.22"))
    assert [(one["verb"], one["name"]) for one in done["changes"]] == [("recover", "no")]
    assert done["changes"][0]["fields"] == {"ip_address": {"old": "10.0.0.21", "new": "10.0.0.22"}}
    rows = {one["name"]: one for one in (await api.get("/endpoints")).json()["collection"]}
    assert (rows["no"]["id"], rows["no"]["ip_address"]) == (before["no"], "10.0.0.22")


async def test_what_the_platform_refuses_names_the_line_and_nothing_is_half_done(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    status, told = await applied(api, FILE.replace("10.0.0.21", "8.8.8.8"), plan="true")
    assert status == 422
    assert (told["errors"][0]["line"], told["errors"][0]["message"][:4]) == (18, "no: ")
    status, told = await applied(api, FILE.replace("10.0.0.21", "8.8.8.8"))
    assert status == 422
    assert (await api.get("/alerts")).json()["metadata"] == {"count": 0}
    status, told = await applied(api, FILE.replace("lon-1", "lom-1"))
    assert (status, told["errors"][0]["line"]) == (422, 11)
    assert "Did you mean lon-1?" in told["errors"][0]["message"]


async def test_an_export_applies_without_a_change_in_both_formats(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    await applied(api, FILE)
    exported = await api.get("/monitors/export")
    assert exported.headers["content-type"].startswith("application/yaml")
    assert (await applied(api, exported.text))[1]["changes"] == []
    rows = (await api.get("/monitors/export?format=csv")).text
    assert rows.splitlines()[0].startswith("name,category,ip_address")
    answer = await api.post(
        "/monitors/apply", content=rows.replace(",30,", ",20,").encode(), headers={"Content-Type": "text/csv"}
    )
    assert [(one["verb"], one["fields"]) for one in answer.json()["changes"]] == [
        ("change", {"interval": {"old": 30, "new": 20}})
    ]


async def test_a_file_names_the_channels_of_an_alert(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    """All, some or none: an export says which, and the plan shows the change."""
    for name in ("ops", "night shift"):
        made = await api.post(
            "http://here/api/v2/notifications", json={"name": name, "url": "https://hooks.example.com/x"}
        )
        assert made.status_code == 201, made.text
    text = "alerts:\n  - {name: x, condition: unreachable}\n"
    status, done = await applied(api, text)
    assert status == 200, done
    for written, ids, old, new in (
        ("[night shift]", [2], None, ["night shift"]),
        ("[ops, night shift]", [1, 2], ["night shift"], ["ops", "night shift"]),
        ("[]", [], ["ops", "night shift"], []),
        ("all", None, [], None),
        ("[2]", [2], None, ["night shift"]),
    ):
        _, done = await applied(api, text.replace("}", f", channels: {written}}}"))
        assert [one["fields"] for one in done["changes"]] == [{"channels": {"old": old, "new": new}}]
        assert (await api.get("/alerts/1")).json()["channel_ids"] == ids
        exported = (await api.get("/monitors/export")).text
        assert (await applied(api, exported))[1]["changes"] == []
    status, told = await applied(api, text.replace("}", ", channels: [opps]}"))
    assert (status, told["errors"][0]["line"]) == (422, 2)
    assert "there is no channel 'opps' in this project. Did you mean ops?" in told["message"]
    _, done = await applied(api, text)
    assert done["changes"][0]["fields"] == {"channels": {"old": ["night shift"], "new": None}}


async def test_a_monitor_without_data_is_listed_so(
    api: httpx.AsyncClient,  # noqa: F811
    servers: list[int],  # noqa: F811
) -> None:
    await applied(api, FILE)
    rows = (await api.get("/monitors")).json()["collection"]
    assert [(one["name"], one["state"], one["mos"]) for one in rows] == [
        ("Head office PBX", "no data", None),
        ("no", "no data", None),
    ]
    assert [one["server"] for one in rows[0]["servers"]] == ["fra-1", "lon-1"]
    one = (await api.get(f"/monitors/{rows[0]['id']}")).json()
    assert one == rows[0]
    assert (await api.get("/monitors?state=good")).json()["metadata"] == {"count": 0}
    assert (await api.get("/monitors/4711")).status_code == 404
