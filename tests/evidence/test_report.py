from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from callwright.evidence.ladder import build_ladder
from callwright.evidence.naming import call_names
from callwright.evidence.report import EvidenceFile, render_report
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import PhaseOutcome, RunOutcome
from callwright.outcome.terms import Blame, Verdict
from tests.evidence.sample import STARTED, packets, run, write_wav

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page(outcome: RunOutcome | None = None, folder: Path | None = None) -> str:
    outcome = outcome if outcome is not None else run()
    ladder = build_ladder(packets(), origin=STARTED, call_names=call_names(outcome))
    files = [EvidenceFile("signalling.pcap", "SIP and RTP", 1_400_000)]
    return render_report(outcome, ladder, folder=folder, files=files, notes=["A note."])


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "input", "img", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(text: str) -> Tags:
    parser = Tags()
    parser.feed(text)
    parser.close()
    return parser


def words(text: str) -> str:
    body = re.sub(r"(?s)<(script|style).*?</\1>", "", text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_verdict_is_a_sentence_and_the_blame_has_proofs() -> None:
    said = words(page())
    assert "Failed. Bob stopped hearing Alice 4.2 s after answering: the PBX moved her audio" in said
    assert "Target at fault" in said
    assert "Platform cleared Packets left within 0.5 ms of their time" in said


def test_every_message_can_be_read_without_javascript() -> None:
    parser = tags_of(page())
    details = [at for tag, at in parser.tags if tag == "details" and at.get("class") != "fold"]
    assert len(details) == 22
    assert parser.open == []


def test_nothing_is_fetched_from_anywhere() -> None:
    for tag, attributes in tags_of(page()).tags:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?i)(https?:)?//", value), (tag, value)
    style = re.search(r"(?s)<style>(.*?)</style>", page())
    assert style is not None
    assert "@import" not in style[1]
    assert not re.search(r"url\((?!#)", style[1])


def test_hostile_content_stays_text() -> None:
    text = page()
    assert "<script>alert" not in text
    assert "\0" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert sum(tag == "script" for tag, _ in tags_of(text).tags) == 2


def test_the_result_in_the_page_is_json_that_no_text_can_leave() -> None:
    found = re.search(r'(?s)<script type="application/json" id="run">(.*?)</script>', page())
    assert found is not None
    assert "<" not in found[1]
    assert json.loads(found[1])["verdict"] == "failed"
    assert "hunter22" not in found[1]


def test_hostile_names_of_parties_and_of_files_stay_text() -> None:
    evil = '"><img src=x onerror=alert(1)>\x00\ud800'
    call = dataclasses.replace(run().calls[0], party=evil, destination=evil, reason=evil)
    outcome = dataclasses.replace(run(), calls=(call,), title=evil, reason=evil, warnings=(evil,))
    text = page(outcome)
    text.encode("utf-8")
    assert not [tag for tag, _ in tags_of(text).tags if tag == "img"]


def test_a_run_about_which_nothing_is_known_is_still_a_page() -> None:
    text = render_report(RunOutcome(Verdict.ERROR, Blame.PLATFORM, "The agent was lost."), build_ladder([]))
    assert "Error. The agent was lost." in words(text)
    text = render_report(
        RunOutcome(Verdict.CANCELED, None, "Stopped by hand.", calls=(CallOutcome(),)), build_ladder([])
    )
    assert "Canceled. Stopped by hand." in words(text)


def test_a_recording_is_linked_or_put_into_the_page_when_small(tmp_path: Path) -> None:
    for seconds, source in ((2, "data:audio/wav;base64,"), (14, "alice.wav")):
        write_wav(tmp_path / "alice.wav", 1, seconds=seconds)
        (found,) = [a.get("src") or "" for tag, a in tags_of(page(folder=tmp_path)).tags if tag == "audio"]
        assert found.startswith(source)


def test_a_call_that_both_ends_recorded_is_played_once_and_drawn_twice(tmp_path: Path) -> None:
    write_wav(tmp_path / "alice.wav", 1, seconds=2)
    write_wav(tmp_path / "bob.wav", 2, seconds=2)
    html = page(folder=tmp_path)
    assert len([tag for tag, _ in tags_of(html).tags if tag == "audio"]) == 1
    assert html.count("as Alice heard it") == html.count("as Bob heard it") == 1
    assert "as the far end reported it" not in html


def test_a_recording_that_is_no_wav_or_lies_elsewhere_is_left_out(tmp_path: Path) -> None:
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "alice.wav").write_bytes(b"%PDF-1.7")
    write_wav(tmp_path / "bob.wav", 2, seconds=1)
    bob = dataclasses.replace(
        run().calls[1], audio=(dataclasses.replace(run().calls[1].audio[0], path="../bob.wav"),)
    )
    text = page(dataclasses.replace(run(), calls=(run().calls[0], bob)), folder=inside)
    assert "<audio" not in text


def test_no_data_is_said_and_never_drawn_as_zero() -> None:
    said = words(page())
    assert "no packet, so nothing to rate" in said
    assert "not known" in said


@pytest.mark.peer
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [320, 390, 1600])
def test_the_page_never_scrolls_sideways(tmp_path: Path, width: int) -> None:
    assert CHROMIUM is not None
    probe = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script>"
    (tmp_path / "report.html").write_text(page().replace("</body>", probe + "</body>"))
    (tmp_path / "frame.html").write_text(
        "<script>addEventListener('message', e => document.title = 'width ' + e.data)</script>"
        f"<iframe src='report.html' style='border:0;width:{width}px;height:3000px'></iframe>"
    )
    with tempfile.TemporaryDirectory() as profile:
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--window-size=1700,3100",
            "--virtual-time-budget=3000",
            "--dump-dom",
            f"file://{tmp_path / 'frame.html'}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r"<title>width (\d+)</title>", done.stdout)
    assert found is not None
    assert int(found[1]) <= width


def test_the_phases_of_a_run_have_words() -> None:
    outcome = dataclasses.replace(
        run(), phases=(PhaseOutcome("step.0", 0.0, 80.0), PhaseOutcome("teardown", 0.08, 20.0))
    )
    said = words(page(outcome))
    assert "Step 0" in said
    assert "The end hang up, unregister" in said
    assert "teardown" not in said
