from __future__ import annotations

from typing import Any

from callwright.control.web.watching import Watching, planned_seconds
from callwright.dispatch.messages.live import Progress
from callwright.evidence.unfolding import Unfolding
from callwright.scenario import catalogue
from callwright.scenario.document import load
from tests.evidence.sample import STARTED, packets

SCENARIO = catalogue.scenario("basic_call")


def told(watching: Watching, at: float, kind: str, **data: Any) -> None:
    watching.take(Progress("s", 1, 1, at, kind, data))


def talking() -> Watching:
    watching = Watching(SCENARIO, "running", "default")
    told(watching, 0.1, "state", call="step.1.0/1", state="calling", code=None)
    told(watching, 0.12, "state", call="bob/1", state="incoming", code=None, party="bob")
    told(watching, 0.2, "state", call="step.1.0/1", state="ringing", code=180)
    told(watching, 1.1, "state", call="step.1.0/1", state="answered", code=200)
    return watching


def test_the_sentence_follows_the_run() -> None:
    watching = Watching(SCENARIO, "queued", "default")
    assert watching.sentence == "It waits for an agent of the pool default."
    watching.phase = "running"
    told(watching, 0.0, "registration", id="step.0.0", registered=True)
    assert watching.sentence == "bob is registered."
    assert talking().sentence == "alice and bob are talking."
    ended = talking()
    told(ended, 7, "state", call="step.1.0/1", state="failed", code=486)
    assert ended.sentence == "The call of alice was refused with 486."


def test_who_begins_to_watch_late_is_told_what_has_happened_before() -> None:
    watching = Watching(SCENARIO, "running", "default")
    states = [[0.0, "calling", None], [0.1, "ringing", 180], [1.0, "answered", 200]]
    calls: list[dict[str, Any]] = [
        {"call": "bob/1", "party": "bob", "ago": 2.9, "states": [[0.0, "incoming", None]]},
        {"call": "step.1.0/1", "party": "alice", "ago": 3.0, "states": states},
    ]
    told(watching, 3.5, "states", calls=calls)
    told(watching, 4.5, "states", calls=[{**call, "ago": call["ago"] + 1} for call in calls])
    assert watching.sentence == "alice and bob are talking."
    assert (watching.so_far[0].word, watching.so_far[0].fact) == ("answered", "200 after 1.00 s.")
    scope = watching.scope()
    assert scope is not None
    assert sorted(plot.summary for plot in scope.states) == ["1 state", "3 states"]


def test_each_second_reaches_the_axis_which_is_as_long_as_the_test_plans_to_be() -> None:
    watching = talking()
    figures = {"packets": 50, "lost": 2, "jitter_ms": 3.0, "mos": 4.2}
    told(
        watching,
        2.1,
        "metrics",
        calls=[{"call": "step.1.0/1", "party": "alice", "at": 1.0, "received": figures}],
    )
    scope = watching.scope()
    assert scope is not None
    assert scope.axis.end >= planned_seconds(SCENARIO)
    assert any("To alice" in group.title for group in scope.groups)
    network = watching.so_far[1]
    assert network.word == "loses"
    assert network.fact.startswith("2 of 52 packets lost, 3.85 %")


def test_the_ladder_is_taken_as_it_is_told() -> None:
    unfolding = Unfolding()
    unfolding(packets())
    watching = Watching(None, "running", "default")
    told(watching, 1.0, "ladder", **unfolding.tell(STARTED))
    assert watching.ladder.messages[0].label == "REGISTER"


def test_an_agent_of_another_version_breaks_nothing() -> None:
    watching = talking()
    before = watching.sentence
    events: list[tuple[str, dict[str, Any]]] = [
        ("state", {}),
        ("state", {"call": "x", "state": "levitating"}),
        ("metrics", {"calls": [{"call": "x"}]}),
        ("metrics", {"calls": 3}),
        ("ladder", {"rows": [{}]}),
        ("phase", {}),
        ("a new kind", {"a": 1}),
    ]
    for kind, data in events:
        told(watching, 2, kind, **data)
    assert watching.sentence == before
    assert [s.name for s in watching.so_far] == ["Target", "Network", "Platform", "Test"]


def test_a_load_is_told_in_figures() -> None:
    watching = Watching(SCENARIO, "running", "default")
    told(
        watching, 3.0, "load", load="step.1.0/load", rate=39.97, active=12, failed=2, pdd_p95=4.25, limited=""
    )
    told_now = "39.97 calls/s, 12 under way, 2 failed in this second, post-dial delay p95 4.25 ms"
    assert watching.sentence == told_now
    target, _, _, test = watching.so_far
    assert (target.word, target.fact) == ("under load", "12 calls under way.")
    assert test.word.startswith("step 2 of")
    told(watching, 4.0, "load", load="step.1.0/load", rate=None)  # of another version: only watched
    assert watching.sentence == told_now


def test_the_headline_says_how_long_they_have_talked_and_who_hears_whom() -> None:
    watching = talking()
    told(watching, 1.2, "state", call="bob/1", state="answered", code=200)
    told(watching, 10.0, "metrics", calls=[second("step.1.0/1", 9.0, 50), second("bob/1", 9.0, 50)])
    assert "and they hear each other." in watching.sentence
    told(watching, 11.0, "metrics", calls=[second("step.1.0/1", 10.0, 50), second("bob/1", 10.0, 0)])
    assert "hears nothing." in watching.sentence


def second(call: str, at: float, packets: int) -> dict[str, Any]:
    return {
        "call": call,
        "party": call.partition("/")[0],
        "at": at,
        "received": {"packets": packets},
    }


def test_a_load_is_drawn_while_it_runs_with_the_limit_of_its_condition() -> None:
    watching = Watching(load(LOAD), "running", "default")
    for n in [0, 1, 1, 2, 3, 4]:  # a second may be told twice
        figures = {"at": n + 1.0, "target_rate": 10.0, "rate": 10.0, "active": 3, "failed": 0, "limited": ""}
        data = {"load": "step.1.0/load", "pdd_p95": 20.0 + n, **figures}
        watching.take(Progress("s", 1, 1, n + 1.0, "load", data))
    ((party, charts),) = watching.loads
    assert party == "alice"
    delay = next(chart for chart in charts if chart["title"] == "Post-dial delay")
    assert [line["name"] for line in delay["lines"]] == ["p95"]
    assert len(delay["lines"][0]["points"].split()) == 5
    assert [text for text, _ in delay["limits"]] == ["pdd_p95 < 50 ms"]


LOAD = """
name: loaded
parties: {alice: {}, bob: {}}
steps:
  - - accept: {party: bob, load: yes}
  - - call: {from: alice, to: bob, load: yes, call_rate: 10, max_total_calls: 50, max_duration: 1 s}
conditions:
  - pdd_p95 < 50 ms
"""
