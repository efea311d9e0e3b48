"""The sound files of a test that strangers wrote: out of the folder that was given none leads."""

from __future__ import annotations

import pytest

from callwright.scenario.actions import Accept, Call
from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario

TEST = """
name: sounds
parties: {alice: {}, bob: {}}
steps:
  - - accept: {party: bob, play: "%s"}
  - - call: {party: alice, dial_destination: bob, play: "%s"}
    - wait: 1 s
"""


def read(accept: str, call: str) -> Scenario:
    return load(TEST % (accept, call))


def played(scenario: Scenario) -> list[str]:
    return [action.play for action in scenario.actions() if isinstance(action, Accept | Call)]


def test_files_are_those_of_the_folder_and_our_own_sounds_stay() -> None:
    assert played(read("speech", "silence").with_sounds("/sounds")) == ["speech", "silence"]
    assert played(read("a.wav", "./menu//b.WAV").with_sounds("/sounds")) == [
        "/sounds/a.wav",
        "/sounds/menu/b.WAV",
    ]
    assert played(read("menu/../a.wav", "..a.wav").with_sounds("/sounds")) == [
        "/sounds/a.wav",
        "/sounds/..a.wav",
    ]


@pytest.mark.parametrize("path", ["/etc/x.wav", "../x.wav", "a/../../x.wav", "//x.wav", "./../x.wav"])
def test_a_path_that_leads_out_of_the_folder_is_refused_with_its_address(path: str) -> None:
    with pytest.raises(ValueError, match=r"step\.1\.0: .*outside"):
        read("tone", path).with_sounds("/sounds")
