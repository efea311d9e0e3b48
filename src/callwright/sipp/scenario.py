"""What a scenario of SIPp is: steps, each with the line it stands on. Values only; `reading` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from callwright.sipp.search import Search
from callwright.sipp.template import Template

__all__ = [
    "Action",
    "Label",
    "Nop",
    "Pause",
    "Recv",
    "Scenario",
    "Send",
    "Spread",
    "Step",
    "Stopwatches",
    "Timewait",
    "Turn",
]


@dataclass(frozen=True, slots=True)
class Action:
    """One element of an `action`: its name and attributes, which `reading` has checked. `text`: of `log`,
    `warning` and `assignstr`; `search`: of `ereg`."""

    name: str
    line: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    text: Template | None = None
    search: Search | None = None


class Spread(Enum):
    """How the lengths of pauses are spread, and what `Turn.a` and `b` of it are."""

    FIXED = auto()  # the value
    UNIFORM = auto()  # least, most
    NORMAL = auto()  # mean, standard deviation
    EXPONENTIAL = auto()  # mean


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a step leads: to `to` when `test` is a variable that is set, or is "", and by `chance`."""

    to: str = ""
    test: str = ""
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Stopwatches:
    """Names of the response times that a step begins and ends."""

    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have. `only_if`: it is done when that variable is set; `unless`: when it is not."""

    line: int
    turn: Turn = Turn()
    watches: Stopwatches = Stopwatches()
    actions: tuple[Action, ...] = ()
    only_if: str = ""
    unless: str = ""

    @property
    def words(self) -> str:
        """What a person calls it."""
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Step):
    """Send a message. `method`: of a request, else ""; `repeat`: seconds until it is sent again over UDP, 0:
    never; `lost`: percent that are not sent at all."""

    template: Template
    method: str
    status: int = 0
    repeat: float = 0.0
    lost: float = 0.0

    @property
    def words(self) -> str:
        return self.method or str(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recv(Step):
    """Wait for a message. `request`: its method, or a pattern; `status`: of a response, or a pattern.
    `wait`: seconds, None: as long as the machine waits; then `late`: the label to go on at, "": it failed."""

    request: str = ""
    status: str = ""
    pattern: Search | None = None
    optional: bool = False
    anywhere: bool = False
    """`optional="global"`: it may come at any later time too."""
    keeps_route: bool = False
    wants_credentials: bool = False
    wait: float | None = None
    late: str = ""
    lost: float = 0.0

    @property
    def words(self) -> str:
        return self.request or self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Step):
    """Wait, in seconds; `a` None: as long as the run says; `variable`: milliseconds in that variable."""

    spread: Spread = Spread.FIXED
    a: float | None = None
    b: float = 0.0
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nop(Step):
    """Actions alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Step):
    """A place to go on at."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timewait(Step):
    """The call is over, but for what comes once more within so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Steps in order. `answers`: it waits for a request first; `labels`: index of the step by name."""

    name: str
    steps: tuple[Step, ...]
    answers: bool
    labels: Mapping[str, int]
    plays: bool = False
    """Some action sends audio."""
    shared: frozenset[str] = frozenset()
    """Variables that all calls share."""
    notes: tuple[str, ...] = ()
    """What the file says and nothing is done about, in sentences."""
