"""From the XML of SIPp to a scenario. What cannot be done is refused by its name and line, all at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from callwright.sipp.scenario import (
    Action,
    Label,
    Nop,
    Pause,
    Recv,
    Scenario,
    Send,
    Spread,
    Step,
    Stopwatches,
    Timewait,
    Turn,
)
from callwright.sipp.search import Search, SearchError
from callwright.sipp.template import Template, TemplateError, message_template, text_template

__all__ = ["MOST_OCTETS", "NotSipp", "read_scenario"]

MOST_OCTETS = 1 << 20
_MOST_STEPS = 2_000
_MOST_PROBLEMS = 20
_MOST_SECONDS = 86_400.0

_TURN = {"next", "test", "chance", "condexec", "condexec_inverse"}
_WATCHES = {"rtd", "start_rtd", "repeat_rtd", "crlf", "counter", "hide", "display"}
_STEPS: Mapping[str, set[str]] = {
    "send": {"retrans", "lost", "start_txn", "ack_txn"} | _TURN | _WATCHES,
    "recv": {
        "response",
        "request",
        "optional",
        "rrs",
        "auth",
        "timeout",
        "ontimeout",
        "regexp_match",
        "lost",
        "ignoresdp",
        "response_txn",
    }
    | _TURN
    | _WATCHES,
    "pause": {
        "milliseconds",
        "variable",
        "distribution",
        "value",
        "min",
        "max",
        "mean",
        "stdev",
        "sanity_check",
    }
    | _TURN
    | _WATCHES,
    "nop": _TURN | _WATCHES,
    "label": {"id"},
    "timewait": {"milliseconds"},
}
_ACTIONS: Mapping[str, tuple[set[str], set[str]]] = {
    # what each has to have, and what it may have
    "ereg": (
        {"regexp", "assign_to"},
        {
            "search_in",
            "header",
            "variable",
            "check_it",
            "check_it_inverse",
            "case_indep",
            "occurrence",
            "occurence",
            "start_line",
        },
    ),
    "log": ({"message"}, set()),
    "warning": ({"message"}, set()),
    "assign": ({"assign_to"}, {"value", "variable"}),
    "assignstr": ({"assign_to", "value"}, set()),
    "add": ({"assign_to"}, {"value", "variable"}),
    "subtract": ({"assign_to"}, {"value", "variable"}),
    "multiply": ({"assign_to"}, {"value", "variable"}),
    "divide": ({"assign_to"}, {"value", "variable"}),
    "todouble": ({"assign_to", "variable"}, set()),
    "trim": ({"assign_to"}, set()),
    "urlencode": ({"variable"}, set()),
    "urldecode": ({"variable"}, set()),
    "test": ({"assign_to", "variable", "compare"}, {"value", "variable2"}),
    "strcmp": ({"assign_to", "variable"}, {"value", "variable2"}),
    "gettimeofday": ({"assign_to"}, set()),
    "verifyauth": ({"assign_to", "username", "password"}, set()),
    "exec": (set(), {"int_cmd", "play_pcap_audio", "rtp_stream"}),
}
_COMPARISONS = {
    "equal",
    "not_equal",
    "greater_than",
    "less_than",
    "greater_than_equal",
    "less_than_equal",
}
_COMMANDS = {"stop_call", "stop_gracefully", "stop_now"}
_WHY = {
    "sendcmd": "Two scenarios that talk with each other (3PCC) cannot be run here.",
    "recvcmd": "Two scenarios that talk with each other (3PCC) cannot be run here.",
    "init": "Steps before the first call cannot be run here.",
    "command": "A scenario runs no programs of this machine.",
    "play_pcap_image": "T.38 is not sent from captures.",
    "play_pcap_video": "Video is not sent from captures.",
    "play_dtmf": "Digits are sent by play_pcap_audio, or with callwright call --dtmf.",
    "rtp_echo": "Echoes are what callwright answer --echo is for.",
    "setdest": "Messages go to the target and nowhere else.",
}
_IGNORED = {"responsetimerepartition", "calllengthrepartition", "user", "global", "reference"}
_METHOD = re.compile(r"([A-Z][A-Z0-9._~-]{0,31})\s+\S")
_STATUS = re.compile(r"SIP/2\.0\s+(\d{3})\b")


class NotSipp(ValueError):
    """A file that is no scenario, or asks for what cannot be done. `problems`: sentences with their lines."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class _Element:
    name: str
    line: int
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)
    text: str = ""


def read_scenario(text: str, given: frozenset[str] = frozenset()) -> Scenario:
    """``given``: keywords that the run brings. Raises NotSipp."""
    if len(text) > MOST_OCTETS:
        raise NotSipp([f"A scenario has at most {MOST_OCTETS:,} octets."])
    root = _parsed(text)
    if root.name != "scenario":
        raise NotSipp([f"line {root.line}: The root is <{root.name}>, and a scenario's is <scenario>."])
    return _Reader(given).scenario(root)


def _parsed(text: str) -> _Element:
    """The elements. No entity is read but those of XML itself, and nothing that the file names is opened."""
    parser = expat.ParserCreate()
    stack: list[_Element] = [_Element("", 0, {})]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > 8:
            raise NotSipp([f"line {parser.CurrentLineNumber}: Elements lie deeper than a scenario has them."])
        element = _Element(name.lower(), parser.CurrentLineNumber, attributes)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(data: str) -> None:
        stack[-1].text += data

    def entity(name: str, *_: Any) -> None:
        raise NotSipp([f"line {parser.CurrentLineNumber}: The entity {name} is not read."])

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = characters, entity
    # SIPp's own files say ISO-8859-1 or us-ascii, and are text by now.
    declared = re.sub(r"^\s*<\?xml[^>]*\?>", lambda found: re.sub(r"[^\n]", " ", found.group(0)), text)
    try:
        parser.Parse(declared.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        said = expat.errors.messages.get(error.code, "it is no XML")
        raise NotSipp([f"line {error.lineno}: {said[:1].upper()}{said[1:]}."]) from None
    return stack[0].children[0]


class _Reader:
    """Reads one file, and gathers what is wrong with it."""

    def __init__(self, given: frozenset[str]) -> None:
        self._given = given
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._shared: set[str] = set()
        self._plays = False

    def scenario(self, root: _Element) -> Scenario:
        steps: list[Step] = []
        for element in root.children:
            step = self._element(element)
            if step is not None:
                steps.append(step)
        if len(steps) > _MOST_STEPS:
            self._problems.append(f"A scenario has at most {_MOST_STEPS:,} steps.")
        labels: dict[str, int] = {}
        for index, step in enumerate(steps):
            if isinstance(step, Label):
                if step.name in labels:
                    self._problem(step.line, f"The label {step.name} is there twice.")
                labels[step.name] = index
        for step in steps:
            late = step.late if isinstance(step, Recv) else ""
            for name in (step.turn.to, late):
                if name and name not in labels:
                    self._problem(step.line, f"There is no label {name}.")
        first = next((step for step in steps if isinstance(step, Send | Recv)), None)
        if first is None and not self._problems:
            self._problem(root.line, "Nothing is sent or received.")
        if self._problems:
            raise NotSipp(self._problems[:_MOST_PROBLEMS])
        return Scenario(
            name=root.attributes.get("name", "")[:200],
            steps=tuple(steps),
            answers=isinstance(first, Recv),
            labels=labels,
            plays=self._plays,
            shared=frozenset(self._shared),
            notes=tuple(self._notes),
        )

    def _problem(self, line: int, sentence: str) -> None:
        self._problems.append(f"line {line}: {sentence}")

    def _element(self, element: _Element) -> Step | None:
        name = element.name
        if name in _IGNORED:
            if name == "global":
                self._shared |= _names(element.attributes.get("variables", ""))
            return None
        if name not in _STEPS:
            self._problem(element.line, f"<{name}> is not done here. {_WHY.get(name, '')}".rstrip())
            return None
        self._known(element, _STEPS[name])
        for child in element.children:
            if child.name != "action" or name in ("label", "timewait"):
                self._problem(child.line, f"<{child.name}> is not read inside <{name}>.")
        reader: Callable[[_Element, dict[str, Any]], Step | None] = getattr(self, f"_{name}")
        return reader(element, self._common(element))

    def _known(self, element: _Element, known: set[str]) -> None:
        for attribute in element.attributes:
            if attribute not in known:
                why = _WHY.get(attribute, "")
                self._problem(
                    element.line, f"{attribute} of <{element.name}> is not done here. {why}".rstrip()
                )

    def _common(self, element: _Element) -> dict[str, Any]:
        said = element.attributes
        actions = [
            action
            for child in element.children
            if child.name == "action"
            for one in child.children
            if (action := self._action(one)) is not None
        ]
        again = _names(said.get("repeat_rtd", ""))
        ends = _timers(said.get("rtd", ""))
        begins = _timers(said.get("start_rtd", ""))
        if again:
            begins = (*begins, *ends)
        return {
            "line": element.line,
            "turn": Turn(
                said.get("next", ""), said.get("test", ""), self._number(element, "chance", 1.0, 0.0, 1.0)
            ),
            "watches": Stopwatches(begins, ends),
            "actions": tuple(actions),
            "only_if": said.get("condexec", "") if said.get("condexec_inverse") != "true" else "",
            "unless": said.get("condexec", "") if said.get("condexec_inverse") == "true" else "",
        }

    def _number(self, element: _Element, name: str, default: float, least: float, most: float) -> float:
        text = element.attributes.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            self._problem(element.line, f"{name} is a number from {least:g} to {most:g}, not {text[:40]!r}.")
            return default
        return value

    # -- the steps

    def _send(self, element: _Element, common: dict[str, Any]) -> Step | None:
        template = self._message(element)
        if template is None:
            return None
        first = "".join(part if isinstance(part, str) else "x" for part in template.lines[0])
        method, status = _METHOD.match(first), _STATUS.match(first)
        if status is None and (method is None or not first.rstrip().endswith("SIP/2.0")):
            self._problem(
                element.line, f"A message begins with a request or a status line, not {first[:60]!r}."
            )
            return None
        return Send(
            **common,
            template=template,
            method="" if status is not None or method is None else method.group(1),
            status=int(status.group(1)) if status is not None else 0,
            repeat=self._number(element, "retrans", 0.0, 0.0, 60_000.0) / 1000.0,
            lost=self._number(element, "lost", 0.0, 0.0, 100.0),
        )

    def _message(self, element: _Element) -> Template | None:
        try:
            if not element.text.strip():
                raise TemplateError("It has no message.")
            return message_template(element.text, self._given)
        except TemplateError as error:
            self._problem(element.line, f"In <{element.name}>: {error}")
            return None

    def _recv(self, element: _Element, common: dict[str, Any]) -> Step | None:
        said = element.attributes
        if ("request" in said) == ("response" in said):
            self._problem(element.line, "<recv> awaits either a request or a response.")
            return None
        optional = said.get("optional", "false")
        if optional not in ("true", "false", "global"):
            self._problem(element.line, f"optional is true, false or global, not {optional[:40]!r}.")
        status, request = said.get("response", ""), said.get("request", "")
        pattern = None
        if said.get("regexp_match") == "true":
            pattern = self._search(element.line, status or request, ignore_case=False)
        elif status and not re.fullmatch(r"[1-6]\d\d", status):
            self._problem(element.line, f"{status[:40]!r} is no status of a response.")
        wait = self._number(element, "timeout", 0.0, 0.0, _MOST_SECONDS * 1000) / 1000.0
        return Recv(
            **common,
            request=request,
            status=status,
            pattern=pattern,
            optional=optional in ("true", "global"),
            anywhere=optional == "global",
            keeps_route=said.get("rrs") == "true",
            wants_credentials=said.get("auth") == "true",
            wait=wait or None,
            late=said.get("ontimeout", ""),
            lost=self._number(element, "lost", 0.0, 0.0, 100.0),
        )

    def _pause(self, element: _Element, common: dict[str, Any]) -> Step | None:
        said = element.attributes
        most = _MOST_SECONDS * 1000
        if "variable" in said:
            return Pause(**common, variable=said["variable"])
        if "milliseconds" in said:
            return Pause(**common, a=self._number(element, "milliseconds", 0.0, 0.0, most) / 1000.0)
        spread = said.get("distribution")
        if spread is None:
            return Pause(**common)
        wanted = {
            "fixed": (Spread.FIXED, "value", ""),
            "uniform": (Spread.UNIFORM, "min", "max"),
            "normal": (Spread.NORMAL, "mean", "stdev"),
            "exponential": (Spread.EXPONENTIAL, "mean", ""),
        }.get(spread)
        if wanted is None:
            self._problem(element.line, f"Pauses that are spread {spread[:40]!r} are not done here.")
            return None
        kind, first, second = wanted
        for name in (first, second):
            if name and name not in said:
                self._problem(element.line, f"distribution={spread!r} needs {name}.")
        return Pause(
            **common,
            spread=kind,
            a=self._number(element, first, 0.0, 0.0, most) / 1000.0,
            b=self._number(element, second, 0.0, 0.0, most) / 1000.0 if second else 0.0,
        )

    def _nop(self, element: _Element, common: dict[str, Any]) -> Step:
        return Nop(**common)

    def _label(self, element: _Element, common: dict[str, Any]) -> Step | None:
        name = element.attributes.get("id", "")
        if not name:
            self._problem(element.line, "A label has an id.")
            return None
        return Label(**common, name=name)

    def _timewait(self, element: _Element, common: dict[str, Any]) -> Step:
        seconds = self._number(element, "milliseconds", 0.0, 0.0, _MOST_SECONDS * 1000) / 1000.0
        return Timewait(**common, seconds=seconds)

    # -- the actions

    def _action(self, element: _Element) -> Action | None:
        name, said = element.name, element.attributes
        if name not in _ACTIONS:
            self._problem(
                element.line, f"The action <{name}> is not done here. {_WHY.get(name, '')}".rstrip()
            )
            return None
        needed, more = _ACTIONS[name]
        before = len(self._problems)
        self._known(element, needed | more)
        for attribute in sorted(needed - said.keys()):
            self._problem(element.line, f"<{name}> needs {attribute}.")
        if len(self._problems) > before:
            return None
        text, search = None, None
        if name in ("log", "warning", "assignstr"):
            try:
                text = text_template(said["message" if name != "assignstr" else "value"], self._given)
            except TemplateError as error:
                self._problem(element.line, str(error))
        elif name == "ereg":
            search = self._ereg(element)
        elif name == "test" and said["compare"] not in _COMPARISONS:
            self._problem(element.line, f"compare is one of {', '.join(sorted(_COMPARISONS))}.")
        elif name == "exec":
            self._exec(element)
        if name in ("assign", "add", "subtract", "multiply", "divide") and "variable" not in said:
            self._number(element, "value", 0.0, -1e15, 1e15)
            if "value" not in said:
                self._problem(element.line, f"<{name}> needs value or variable.")
        return Action(name, element.line, dict(said), text, search)

    def _search(self, line: int, text: str, *, ignore_case: bool) -> Search | None:
        try:
            return Search(text, ignore_case=ignore_case)
        except SearchError as error:
            self._problem(line, f"{text[:80]!r} is not a regular expression that is read here: {error}.")
            return None

    def _ereg(self, element: _Element) -> Search | None:
        said = element.attributes
        place = said.get("search_in", "msg")
        if place not in ("msg", "hdr", "body", "var"):
            self._problem(element.line, f"search_in is msg, hdr, body or var, not {place[:40]!r}.")
        if place == "hdr" and not said.get("header", "").strip():
            self._problem(element.line, 'search_in="hdr" needs header.')
        if place == "var" and not said.get("variable"):
            self._problem(element.line, 'search_in="var" needs variable.')
        self._number(element, "occurrence", 1, 1, 1000)
        self._number(element, "occurence", 1, 1, 1000)
        search = self._search(element.line, said["regexp"], ignore_case=said.get("case_indep") == "true")
        if search is not None and len(said["assign_to"].split(",")) > search.groups + 1:
            self._problem(
                element.line,
                f"assign_to names more variables than the expression has groups ({search.groups}).",
            )
        return search

    def _exec(self, element: _Element) -> None:
        said = element.attributes
        if len(said) != 1:
            self._problem(element.line, "<exec> does one thing: int_cmd, play_pcap_audio or rtp_stream.")
        elif "int_cmd" in said and said["int_cmd"] not in _COMMANDS:
            self._problem(element.line, f"int_cmd is one of {', '.join(sorted(_COMMANDS))}.")
        elif "int_cmd" not in said:
            self._plays = True


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _timers(text: str) -> tuple[str, ...]:
    """`rtd="true"` is the first one."""
    if text in ("", "false"):
        return ()
    return ("1",) if text == "true" else tuple(sorted(_names(text)))
