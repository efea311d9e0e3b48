"""The page of `callwright load --report`: the figures of JSON and terminal, and none that nobody measured."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from callwright.cli.load_result import print_result
from callwright.load.accounts import parse_accounts
from callwright.load.engine import Result
from callwright.load.outcome import document, settings
from callwright.load.plan import Plan, Stage, make_plan
from callwright.load.preparation import Wishes
from callwright.load.report import render
from callwright.load.statistics import LoadSecond
from callwright.load.verdict import judge, parse_threshold
from tests.load.test_statistics import snapshot


def second(**known: Any) -> LoadSecond:
    zeros: dict[str, Any] = {
        part.name: None if "None" in str(part.type) else "" if part.type == "str" else 0
        for part in fields(LoadSecond)
    }
    return LoadSecond(**{**zeros, "span": 1.0, **known})


def told_and_page(role: str, limits: tuple[str, ...] = (), **wishes: Any) -> tuple[dict[str, Any], str]:
    calls = role != "answerer"
    counts = {"attempted": 10, "answered": 10, "peak": 3}
    if calls:
        times = [2_215_400] * 10
        total = snapshot(counts, pdd=times, setup=times, lateness=[100] * 10)
    else:
        total = snapshot(counts, setup=[0] * 10)
    seconds = [
        second(at=1.0),
        second(at=2.0, attempted=10, active=3, rate=10.0, limited="RTP was sent 11 ms late"),
        second(at=3.0, active=2, target_rate=10.0 if calls else 0.0, pdd_p50=2215.4 if calls else None),
    ]
    result = Result(total, total, seconds, [], 3.0, False)
    fail_if = [parse_threshold(text) for text in limits]
    judgement = judge(total, total, fail_if=fail_if, seconds=3, loaded=result.loaded, limited=result.limited)
    told = document(
        result, judgement, name="load", target="sip:x@pbx.example" if calls else "", role=role, exit_code=0,
        cores=1, version="1.2.3", started_at=0.0,
    ) | {"capacity": None, "listen": "127.0.0.1:5060"}  # fmt: skip
    asked = Wishes(uri=told["target"] or None, **wishes)
    told["settings"] = settings(asked, make_plan(rate=10.0, calls=10), fail_if)
    return told, render(told, result)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def test_the_page_says_who_measured_what_with_which_settings_and_who_is_to_blame() -> None:
    accounts = parse_accounts("username,password\n1001,opensesame\n")
    told, page = told_and_page("caller", hold=1.5, media="shared", accounts=accounts)
    shown = words(page)
    assert "</svg>Callwright</span>" in page
    assert told["blame"] == "platform"
    for text in (
        "Blame Callwright itself",
        "Called sip:x@pbx.example",
        "Started 1 Jan 1970, 00:00:00 UTC",
        "Measured by Callwright 1.2.3",
        "Rate 10 calls/s Calls 10 Hold 1.5 s Ring 180 s Media RTP, one port for all Codec PCMU",
        "Accounts 1",
    ):
        assert text in shown, text
    assert "opensesame" not in page


def test_figures_are_the_same_on_the_page_and_on_the_terminal() -> None:
    told, page = told_and_page("caller", ("pdd_p99>3s",))
    lines: list[str] = []
    print_result(told, lines.append)
    terminal, shown = "\n".join(lines), words(page)
    delay = f"{told['pdd_ms']['p99']:,.1f}"
    assert f"p99 {delay}" in terminal
    assert f"Post-dial delay 10 {delay}" in shown
    assert "in 1 of 2 seconds" in told["reason"]
    assert (told["generator"]["limited_seconds"], told["generator"]["loaded_seconds"]) == (1, 2)
    assert "in 1 of 2 seconds (shaded)" in shown
    assert re.search(r"pdd_p99&gt;3s 2[,0-9.]+ ms held", shown)


def test_the_side_that_answers_shows_no_figure_that_it_did_not_measure() -> None:
    told, page = told_and_page("answerer")
    shown = words(page)
    assert "Answered at 127.0.0.1:5060" in shown
    for text in ("Post-dial delay", "Response times", "Setup", "asked", "were placed within"):
        assert text not in shown, text
    lines: list[str] = []
    print_result(told, lines.append)
    assert not any("setup" in line for line in lines)
    assert told["settings"]["rate"] is None


def test_a_plan_in_words() -> None:
    assert make_plan(rate=5.0, calls=20).in_words == "5 calls/s"
    plan = Plan((Stage(10, 200, 30), Stage(200, 200, 60), Stage(20, 20)))
    assert plan.in_words == "10 to 200 calls/s in 30 s, then 200 calls/s for 60 s, then 20 calls/s"
