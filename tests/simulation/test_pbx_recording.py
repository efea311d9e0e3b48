"""Calls that are recorded while they go on, in virtual time: by a user's wish or by a program."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.pbx.path import DirectPath, MediaPath
from callwright.pbx.plan import PbxPlan
from callwright.pbx.recording import Recordist
from callwright.pbx.tape import Tape
from callwright.sip.events import CallReceived
from callwright.sip.transport import Hop
from tests.simulation.exchange import Exchange, account, description


class HeardPath(DirectPath):
    """Media that passes the PBX, as far as a recording is concerned."""

    tape: Tape | None = None

    def record(self, tape: Tape | None) -> bool:
        self.tape = tape
        return True


class HeardPaths:
    def __init__(self) -> None:
        self.opened: list[HeardPath] = []

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        self.opened.append(HeardPath())
        return self.opened[-1]


class Shelf(Recordist):
    """Which tapes were asked for, and which of them ended when."""

    def __init__(self) -> None:
        self.tapes: dict[Tape, tuple[str, int]] = {}
        self.ended: list[tuple[tuple[str, int], float]] = []

    def tape(self, call: str, part: int = 1) -> Tape | None:
        tape = Tape(b"\0\0")
        self.tapes[tape] = call, part
        return tape

    def end(self, tape: Tape, now: float) -> None:
        self.ended.append((self.tapes.pop(tape), now))


class Scene:
    """1001 has called 1002."""

    def __init__(self, *, heard: bool = True, record: bool = False) -> None:
        self.shelf, self.paths = Shelf(), HeardPaths()
        users = (account("1001"), account("1002", record=record))
        self.exchange = Exchange(
            paths=self.paths if heard else None,
            plan=PbxPlan(users),
            recordist=self.shelf,
        )
        self.alice, self.bob = self.exchange.registered("1001"), self.exchange.registered("1002")
        self.exchange.pass_time(1)
        self.call = self.alice.call("1002", description(40_000))
        self.exchange.pass_time(1)
        self.id = self.exchange.pbx.live_calls[0][0].id

    @property
    def now(self) -> float:
        return self.exchange.clock.now

    def answer(self) -> None:
        self.bob.all(CallReceived)[-1].call.answer(description(50_000), now=self.now)
        self.exchange.pass_time(1)

    def hang_up(self) -> None:
        self.call.hangup(now=self.now)
        self.exchange.pass_time(1)


def test_a_program_records_a_call_stops_and_records_it_again() -> None:
    scene = Scene()
    pbx = scene.exchange.pbx
    assert not pbx.record(scene.id, scene.now), "nobody has answered"
    scene.answer()
    assert pbx.recorded == frozenset()
    assert pbx.record(scene.id, scene.now)
    assert pbx.record(scene.id, scene.now), "twice is once"
    (path,) = scene.paths.opened
    assert scene.shelf.tapes[path.tape or Tape(b"")] == (scene.id, 1)
    assert pbx.recorded == {scene.id}
    scene.exchange.pass_time(5)
    stopped = scene.now
    assert pbx.stop_recording(scene.id, stopped)
    assert not pbx.stop_recording(scene.id, stopped)
    assert path.tape is None, "what is said now is kept nowhere"
    assert pbx.record(scene.id, scene.now), "another recording, beside the first"
    scene.hang_up()
    ended = [(of, round(at - stopped)) for of, at in scene.shelf.ended]
    assert ended == [((scene.id, 1), 0), ((scene.id, 2), 0)]
    assert pbx.recorded == frozenset()
    assert not pbx.record(scene.id, scene.now), "the call is over"


def test_a_recording_that_a_user_always_wants_can_be_stopped() -> None:
    scene = Scene(record=True)
    scene.answer()
    assert scene.exchange.pbx.recorded == {scene.id}
    assert scene.exchange.pbx.stop_recording(scene.id, scene.now)
    scene.hang_up()
    assert [of for of, _ in scene.shelf.ended] == [(scene.id, 1)]


def test_a_call_whose_audio_goes_elsewhere_is_not_said_to_be_recorded() -> None:
    scene = Scene(heard=False)
    scene.answer()
    assert not scene.exchange.pbx.record(scene.id, scene.now)
    assert scene.exchange.pbx.recorded == frozenset()
    assert scene.shelf.tapes == {}
