from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callwright.evidence import folder as evidence_folder
from callwright.evidence.folder import EvidenceFolder, write_whole
from tests.evidence.sample import packets, run, write_wav


def written(path: Path) -> EvidenceFolder:
    folder = EvidenceFolder.open(path)
    assert folder.capture is not None
    seen = packets()
    folder.capture(seen)
    write_wav(path / "alice.wav", 1, seconds=1)
    folder.write(run(), seen)
    return folder


def test_a_run_leaves_its_files_and_nothing_half_done(tmp_path: Path) -> None:
    folder = written(tmp_path / "deep" / "run")
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "alice.wav",
        "junit.xml",
        "ladder.json",
        "report.html",
        "run.json",
        "signalling.pcap",
    ]
    assert folder.problems == []


def test_run_json_names_the_evidence_and_no_secret(tmp_path: Path) -> None:
    folder = written(tmp_path)
    text = (folder.path / "run.json").read_text()
    document = json.loads(text)
    assert document["evidence"] == {
        "report": "report.html",
        "run": "run.json",
        "ladder": "ladder.json",
        "junit": "junit.xml",
        "pcap": "signalling.pcap",
        "audio.call-1.stereo": "alice.wav",
    }
    assert "hunter22" not in text
    assert document["calls"][0]["received"]["mos"] == 4.31


def test_no_secret_is_in_any_file(tmp_path: Path) -> None:
    folder = written(tmp_path)
    for path in folder.path.iterdir():
        assert b"6629fae49393a05397450978507c4ef1" not in path.read_bytes(), path


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    write_whole(target, "old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", "x")
    write_whole(target, "new \ud800")
    assert target.read_text() == "new ?"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "run.json"]


def test_a_file_that_cannot_be_written_is_told_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes | str) -> None:
        if path.name == "report.html":
            raise OSError(28, "No space left on device")
        write_whole(path, data)

    monkeypatch.setattr(evidence_folder, "write_whole", refuse)
    folder = EvidenceFolder.open(tmp_path)
    outcome = folder.write(run(), packets())
    assert folder.problems == [f"report.html could not be written to {tmp_path}: No space left on device."]
    assert "report" not in outcome.evidence
    assert outcome.evidence["run"] == "run.json"
    assert outcome.reason == run().reason


@pytest.mark.chaos
def test_a_full_disk_leaves_what_fits_and_says_so(tmp_path: Path) -> None:
    child = f"""
import resource, signal, sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from tests.evidence.test_folder import EvidenceFolder, packets, run
import callwright.evidence.report, jinja2, numpy
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
folder = EvidenceFolder.open({str(tmp_path / "run")!r})
seen = packets()
for n in range(0, len(seen), 50):
    folder.capture(seen[n : n + 50])
outcome = folder.write(run(), seen)
print(outcome.verdict.value, *folder.problems, sep="\\n")
"""
    command = [sys.executable, "-c", child]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    first, *problems = done.stdout.splitlines()
    assert first == "failed"
    assert any(p.startswith("The capture signalling.pcap stops after") for p in problems)
    assert any(p.startswith("report.html could not be written") for p in problems)
    assert (tmp_path / "run" / "run.json").is_file()


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_wireshark_finds_calls_and_streams_in_the_capture(tmp_path: Path) -> None:
    folder = written(tmp_path)
    command = ["tshark", "-n", "-q", "-r", str(folder.path / "signalling.pcap"), "-z", "rtp,streams"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    streams = [line.split() for line in done.splitlines() if "PCMA" in line or "g711A" in line]
    assert len(streams) == 5
    assert any("203.0.113.45" in line and "16402" in line for line in streams)
