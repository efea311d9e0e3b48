"""What became of calls is on disk before it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.host.call_journal import CallJournal

NEWS = [CallNews(f"call-{number}", CallStep.ENDED, "1001", "1002", f"{number}@x", 1.0) for number in range(3)]


def test_what_a_killed_process_has_noted_is_there_and_goes_once_it_is_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "pbx" / "calls"
    assert CallJournal(path).left() == []
    first = CallJournal(path)
    for one in NEWS:
        first.note(one)
    with path.open("ab") as out:
        out.write(b'{"call": "half')
    second = CallJournal(path)
    assert second.left() == NEWS
    second.clear()
    assert CallJournal(path).left() == []
    first.clear()
    first.note(NEWS[0])
    assert CallJournal(path).left() == NEWS[:1]
    first.close()


def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_text("")
    journal = CallJournal(tmp_path / "taken" / "calls")
    for one in NEWS:
        journal.note(one)
    assert caplog.text.count("cannot be kept") == 1
