"""What the agent has written down is there after a crash, and says what may have happened."""

from __future__ import annotations

from pathlib import Path

from callwright.agent.spool import Spool
from callwright.dispatch.messages.runs import Attempt

RUN = Attempt(7, "s7", 2)


def test_what_was_written_is_found_by_the_next_process(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    entry.intend({"call": "step.1.0"})
    entry.intend({"call": "step.1.1"})
    entry.conclude({"verdict": "passed"})
    (entry.evidence / "audio").mkdir()
    (entry.evidence / "audio" / "a.wav").write_bytes(b"12345")
    (entry.evidence / "run.json").write_bytes(b"{}")
    (found,) = Spool(tmp_path).entries()
    assert found.attempt == RUN
    assert found.intents == 2
    assert found.outcome() == {"verdict": "passed"}
    assert [name for name, _ in found.files()] == ["run.json", "audio/a.wav"]


def test_files_that_were_sent_are_not_sent_again(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    for name in ("a", "b"):
        (entry.evidence / name).write_bytes(b"x")
    entry.mark_sent("a")
    (found,) = Spool(tmp_path).entries()
    assert [name for name, _ in found.files()] == ["b"]


def test_an_intent_that_is_half_written_counts(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    entry.intend({"call": "step.1.0"})
    with open(entry.folder / "intents", "ab") as file:
        file.write(b'{"call": "st')
    (found,) = Spool(tmp_path).entries()
    assert found.intents == 2


def test_a_result_that_is_half_written_is_none(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    (entry.folder / "outcome.json").write_bytes(b'{"verdict": "pas')
    (found,) = Spool(tmp_path).entries()
    assert found.outcome() is None


def test_a_folder_without_a_claim_did_nothing_and_goes(tmp_path: Path) -> None:
    (tmp_path / "9-1" / "evidence").mkdir(parents=True)
    assert Spool(tmp_path).entries() == []
    assert not (tmp_path / "9-1").exists()


def test_what_is_forgotten_is_gone_also_when_the_removal_was_cut_short(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.open(RUN).forget()
    (tmp_path / ".8-1.gone").mkdir()
    assert Spool(tmp_path).entries() == []
    assert list(tmp_path.iterdir()) == []


def test_opening_the_same_attempt_again_keeps_its_intents(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.open(RUN).intend({})
    assert spool.open(RUN).intents == 1


def test_evidence_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    entry = Spool(tmp_path / "spool").open(RUN)
    (entry.evidence / "link").symlink_to(secret)
    assert entry.files() == []


def test_what_was_sent_takes_no_room(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    (entry.evidence / "a").write_bytes(bytes(10))
    (entry.evidence / "b").write_bytes(bytes(7))
    assert entry.weigh() == 17
    assert entry.mark_sent("a") == 10
    assert entry.weigh() == 7


def test_room_is_made_by_the_largest_files_and_the_result_stays(tmp_path: Path) -> None:
    entry = Spool(tmp_path).open(RUN)
    entry.intend({})
    entry.conclude({"verdict": "passed"})
    for name, size in (("run.json", 10), ("a.wav", 500), ("b.wav", 300)):
        (entry.evidence / name).write_bytes(bytes(size))
    assert entry.shed(600) == (2, 800)
    (found,) = Spool(tmp_path).entries()
    assert [name for name, _ in found.files()] == ["run.json"]
    assert found.dropped() == ["a.wav", "b.wav"]
    assert (found.outcome(), found.intents) == ({"verdict": "passed"}, 1)
