"""Reading keys and values of a document: typed, overridden, expanded, every problem kept and none thrown."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callwright.scenario.parameter import Parameter, Words, parameters_of
from callwright.scenario.placing import HEAD_BLOCKS
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import (
    Block,
    DocumentError,
    Items,
    Mark,
    Node,
    Problem,
    Refusal,
    Text,
    did_you_mean,
    from_value,
    nearest,
    quoted,
)

Overrides = Mapping[str, Any]
Credentials = Mapping[str, Mapping[str, str]]
DOCUMENT_PARAMETERS = {spec.name: spec for spec in parameters_of(Scenario)}
MAX_PROBLEMS = 100
MAX_EXPANDED = 262_144  # characters that the environment adds to a document
_VARIABLE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Fields:
    """Collects problems; knows the overrides, the environment and the credentials.

    Every verb raises DocumentError for the problem after MAX_PROBLEMS: each may cost a search for the name
    that was meant.
    """

    def __init__(
        self, overrides: Overrides, environment: Mapping[str, str] | None, credentials: Credentials | None
    ) -> None:
        self.environment = environment
        self.credentials = credentials
        self.problems: list[Problem] = []
        self._told: set[Problem] = set()
        self._expanded = 0
        self.given: dict[str, str | None] = {}
        # the first parts of an address ("step.1.0", "party.alice", "") to parameter to node
        self.overrides: dict[str, dict[str, Node]] = {}
        for address, value in overrides.items():
            self._keep(address.strip(), value)

    # Problems

    def wrong(
        self,
        message: str,
        mark: Mark,
        address: str | None = None,
        key: str | None = None,
        near: str | None = None,
        permitted: Sequence[str] = (),
    ) -> None:
        self.tell(Problem(message, mark.line, mark.column, address, key, near, tuple(permitted), mark.origin))

    def tell(self, problem: Problem) -> None:
        if problem in self._told:
            return
        if len(self.problems) >= MAX_PROBLEMS:
            message = f"There are more than {MAX_PROBLEMS} problems; the rest is not listed."
            raise DocumentError([*self.problems, Problem(message)])
        self._told.add(problem)
        self.problems.append(problem)

    def unknown(self, key: Text, what: str, names: Sequence[str], address: str | None) -> None:
        tail, near = did_you_mean(key.value, names)
        self.wrong(f"{quoted(key.value)} is not {what}.{tail}", key.mark, address, key.value, near, names)

    # Overrides

    def _keep(self, address: str, value: Any) -> None:
        origin = f"--set {address}"
        node = from_value(value, origin)
        step = re.fullmatch(r"(step\.\d+\.\d+)\.(\w+)", address)
        block, _, parameter = address.partition(".")
        party = re.fullmatch(r"(?:party\.)?([A-Za-z][\w-]*)(?:\.(\w+))?", address)
        if step:
            self.overrides.setdefault(step[1], {})[step[2]] = node
        elif address in DOCUMENT_PARAMETERS:
            self.overrides.setdefault("", {})[address] = node
        elif block in HEAD_BLOCKS and parameter:
            self.overrides.setdefault(block, {})[parameter] = node
        elif party and not address.startswith("step") and party[1] != "party":
            self.overrides.setdefault(f"party.{party[1]}", {})[party[2] or ""] = node
        else:
            blocks = (f"{name}.parameter" for name in HEAD_BLOCKS)
            forms = ("step.S.A.parameter", "party.NAME.parameter", *DOCUMENT_PARAMETERS, *blocks)
            message = f"{quoted(address)} is not an address. Permitted: {', '.join(forms)}."
            self.wrong(message, Mark(origin=origin), address, address, None, forms)

    def merged(self, address: str, aliases: Mapping[str, str], node: Block | None) -> list[tuple[Text, Node]]:
        """The entries of a block under their own names, with what the overrides say about them."""
        changes = {aliases.get(name, name): value for name, value in self.overrides.pop(address, {}).items()}
        entries: dict[str, tuple[Text, Node]] = {}
        for key, value in node.entries if node else ():
            name = aliases.get(key.value, key.value)
            if name in entries:
                first = entries[name][0]
                message = f"{quoted(key.value)} and {quoted(first.value)} mean the same; keep one of them."
                self.wrong(message, key.mark, address, key.value)
            entries[name] = (dataclasses.replace(key, value=name), value)
        for name, value in changes.items():
            entries[name] = (Text(name, value.mark), value)
        return list(entries.values())

    # Values

    def expand(self, node: Node) -> Node:
        """``${NAME}`` by the environment, everywhere in a value; ``$${`` stands for ``${``."""
        if isinstance(node, Items):
            return Items(tuple(self.expand(item) for item in node.items), node.mark)
        if isinstance(node, Block):
            return Block(tuple((key, self.expand(value)) for key, value in node.entries), node.mark)
        if self.environment is None or "${" not in node.value:
            return node

        def value_of(match: re.Match[str]) -> str:
            assert self.environment is not None
            if match[1]:
                return f"${{{match[2]}}}"
            if match[2] not in self.environment:
                near = nearest(match[2], [name for name in self.environment if len(name) < 64])
                hint = f" Did you mean {near}?" if near else ""
                message = f"The environment variable {match[2]} is not set.{hint}"
                self.wrong(message, node.mark, None, match[2], near)
                return ""
            value = self.environment[match[2]]
            self._expanded += len(value)
            if self._expanded > MAX_EXPANDED:
                message = f"The environment adds more than {MAX_EXPANDED} characters to this document."
                raise DocumentError([*self.problems, Problem(message, node.mark.line, node.mark.column)])
            return value

        return Text(_VARIABLE.sub(value_of, node.value), node.mark, node.plain, written=node.value)

    def read_fields(
        self,
        specs: Iterable[Parameter],
        entries: Sequence[tuple[Text, Node]],
        address: str,
        what: str,
        at: Mark,
        extra: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Typed values by name; every unknown key, wrong value and missing value is a problem."""
        by_name = {spec.name: spec for spec in specs}
        values: dict[str, Any] = {}
        names = (*by_name, *extra)
        seen: set[str] = set()
        for key, node in entries:
            spec = by_name.get(key.value)
            seen.add(key.value)
            if spec is None:
                if key.value not in extra:
                    self.unknown(key, f"a parameter of {what}", names, f"{address}.{key.value}".lstrip("."))
                continue
            full = f"{address}.{spec.name}".lstrip(".")
            self._one(spec, node, full, values)
        for spec in by_name.values():
            if spec.required and spec.name not in seen:
                message = (
                    f"{what[0].upper()}{what[1:]} needs {spec.name}: {spec.help[0].lower()}{spec.help[1:]}"
                )
                self.wrong(message, at, f"{address}.{spec.name}", spec.name)
        return values

    def _one(self, spec: Parameter, node: Node, address: str, values: dict[str, Any]) -> None:
        before = len(self.problems)
        expanded = self.expand(node)
        if len(self.problems) > before:
            return
        unresolved = self.environment is None and isinstance(node, Text) and _VARIABLE.search(node.value)
        if isinstance(expanded, Text) and expanded.plain and expanded.value in ("", "~", "null"):
            if spec.required or not isinstance(spec.type, Words):
                self.wrong(f"{spec.name} has no value. {spec.help}", node.mark, address, spec.name)
            return
        try:
            values[spec.name] = spec.type.read(expanded)
        except Refusal as refusal:
            if not unresolved:
                problem = refusal.at(node.mark, address, spec.name)
                values_permitted = problem.permitted or spec.type.choices
                self.tell(dataclasses.replace(problem, permitted=values_permitted))
                return
            values[spec.name] = spec.default
        self.given[address] = _as_written(expanded)
        if unresolved and isinstance(node, Text):
            self.given[address] = node.value

    def line(self, node: Node | None, what: str, *, limit: int = 200) -> str:
        if node is None:
            return ""
        if not isinstance(node, Text):
            self.wrong(f"The {what} must be a text.", node.mark, None, what)
            return ""
        text = node.value.strip()
        if len(text) > limit:
            self.wrong(f"The {what} has {len(text)} characters; at most {limit}.", node.mark, None, what)
        if "\x00" in text:
            self.wrong(f"The {what} holds a NUL.", node.mark, None, what)
        return text


def _as_written(node: Node) -> str | None:
    """The author's text of a value in which a ``${NAME}`` was replaced, in one line; None where none was."""
    if isinstance(node, Text):
        return node.written
    parts = node.items if isinstance(node, Items) else tuple(value for _, value in node.entries)
    texts = [_as_written(part) for part in parts]
    if not any(texts):
        return None
    names = [""] * len(parts) if isinstance(node, Items) else [f"{key.value}: " for key, _ in node.entries]
    own = [part.value if isinstance(part, Text) else "…" for part in parts]
    return ", ".join(name + (text or value) for name, text, value in zip(names, texts, own, strict=True))
