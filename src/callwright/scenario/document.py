"""From the text of a document to a Scenario, or to every problem it has, each with its place.

    load(text, overrides={"step.1.0.dial_destination": "4102"}, environment=os.environ, credentials=…) ->
    Scenario

Overrides are put in before anything is judged, so they are typed and checked as if they stood in the
document. The environment and the credentials are plain mappings; ``environment=None`` leaves ``${NAME}``
as it is, for an editor that must check a document without knowing the secrets.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callwright.scenario.actions import KINDS, Action
from callwright.scenario.condition import METRICS, Condition, parse_condition
from callwright.scenario.parameter import Parameter, Words, parameters_of
from callwright.scenario.party import Party
from callwright.scenario.scenario import Scenario, Step
from callwright.scenario.source import (
    NOWHERE,
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
    read,
)

VERSION = 1
_PARAMETERS = {spec.name: spec for spec in parameters_of(Scenario)}
_KEYS = ("name", "title", "description", "tags", "version", *_PARAMETERS, "parties", "steps", "conditions")
_RESERVED = {"step", "party", "sent", "received", *METRICS, *_KEYS}
_PARTY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)\}")

Overrides = Mapping[str, Any]
Credentials = Mapping[str, Mapping[str, str]]


def load(
    text: str,
    *,
    overrides: Overrides | None = None,
    environment: Mapping[str, str] | None = None,
    credentials: Credentials | None = None,
) -> Scenario:
    """Raises DocumentError with every problem of the document and of the overrides."""
    return _Reader(overrides or {}, environment, credentials).scenario(read(text))


def check(text: str, **more: Any) -> tuple[Problem, ...]:
    """The problems of a document, none when it is right; the same arguments as ``load``."""
    try:
        load(text, **more)
    except DocumentError as error:
        return error.problems
    return ()


def read_credentials(text: str) -> dict[str, dict[str, str]]:
    """A credentials file: ``office: {user: 4101, password: …}``, an entry a line. Raises DocumentError."""
    root = read(text)
    problems: list[Problem] = []
    found: dict[str, dict[str, str]] = {}
    known = tuple(spec.name for spec in parameters_of(Party) if spec.name != "credentials")
    if isinstance(root, Text) and not root.value:
        return found
    if not isinstance(root, Block):
        raise DocumentError([Problem("A credentials file is a block: office: {user: …, password: …}.", 1, 1)])
    for name, node in root.entries:
        if not isinstance(node, Block):
            message = f"{quoted(name.value)} must be a block: {{user: …, password: …}}."
            problems.append(Problem(message, node.mark.line, node.mark.column, key=name.value))
            continue
        entry = found[name.value] = {}
        for key, value in node.entries:
            field = Party.aliases.get(key.value, key.value)
            if field not in known or not isinstance(value, Text):
                tail, near = did_you_mean(key.value, known)
                message = f"{quoted(key.value)} is no part of an account.{tail}"
                problems.append(
                    Problem(message, key.mark.line, key.mark.column, name.value, key.value, near, known)
                )
            else:
                entry[field] = value.value
    if problems:
        raise DocumentError(problems)
    return found


class _Reader:
    def __init__(
        self, overrides: Overrides, environment: Mapping[str, str] | None, credentials: Credentials | None
    ) -> None:
        self._environment = environment
        self._credentials = credentials
        self._problems: list[Problem] = []
        self._given: dict[str, str | None] = {}
        # the first parts of an address ("step.1.0", "party.alice", "") to parameter to node
        self._overrides: dict[str, dict[str, Node]] = {}
        for address, value in overrides.items():
            self._keep(address.strip(), value)

    # Problems

    def _wrong(
        self,
        message: str,
        mark: Mark,
        address: str | None = None,
        key: str | None = None,
        near: str | None = None,
        permitted: Sequence[str] = (),
    ) -> None:
        problem = Problem(message, mark.line, mark.column, address, key, near, tuple(permitted), mark.origin)
        if problem not in self._problems:
            self._problems.append(problem)

    def _unknown(self, key: Text, what: str, names: Sequence[str], address: str | None) -> None:
        tail, near = did_you_mean(key.value, names)
        self._wrong(f"{quoted(key.value)} is not {what}.{tail}", key.mark, address, key.value, near, names)

    # Overrides

    def _keep(self, address: str, value: Any) -> None:
        origin = f"--set {address}"
        node = from_value(value, origin)
        step = re.fullmatch(r"(step\.\d+\.\d+)\.(\w+)", address)
        party = re.fullmatch(r"(?:party\.)?([A-Za-z][\w-]*)(?:\.(\w+))?", address)
        if step:
            self._overrides.setdefault(step[1], {})[step[2]] = node
        elif address in _PARAMETERS:
            self._overrides.setdefault("", {})[address] = node
        elif party and not address.startswith("step") and party[1] != "party":
            self._overrides.setdefault(f"party.{party[1]}", {})[party[2] or ""] = node
        else:
            forms = ("step.S.A.parameter", "party.NAME.parameter", *_PARAMETERS)
            message = f"{quoted(address)} is not an address. Permitted: {', '.join(forms)}."
            self._wrong(message, Mark(origin=origin), address, address, None, forms)

    def _merged(
        self, address: str, aliases: Mapping[str, str], node: Block | None
    ) -> list[tuple[Text, Node]]:
        """The entries of a block under their own names, with what the overrides say about them."""
        changes = {aliases.get(name, name): value for name, value in self._overrides.pop(address, {}).items()}
        entries: dict[str, tuple[Text, Node]] = {}
        for key, value in node.entries if node else ():
            name = aliases.get(key.value, key.value)
            if name in entries:
                first = entries[name][0]
                message = f"{quoted(key.value)} and {quoted(first.value)} mean the same; keep one of them."
                self._wrong(message, key.mark, address, key.value)
            entries[name] = (dataclasses.replace(key, value=name), value)
        for name, value in changes.items():
            entries[name] = (Text(name, value.mark), value)
        return list(entries.values())

    # Values

    def _expand(self, node: Node) -> Node:
        """``${NAME}`` by the environment, everywhere in a value; ``$${`` stands for ``${``."""
        if isinstance(node, Items):
            return Items(tuple(self._expand(item) for item in node.items), node.mark)
        if isinstance(node, Block):
            return Block(tuple((key, self._expand(value)) for key, value in node.entries), node.mark)
        if self._environment is None or "${" not in node.value:
            return node

        def value_of(match: re.Match[str]) -> str:
            assert self._environment is not None
            if match[1]:
                return f"${{{match[2]}}}"
            if match[2] not in self._environment:
                near = nearest(match[2], [name for name in self._environment if len(name) < 64])
                hint = f" Did you mean {near}?" if near else ""
                message = f"The environment variable {match[2]} is not set.{hint}"
                self._wrong(message, node.mark, None, match[2], near)
                return ""
            return self._environment[match[2]]

        return Text(_VARIABLE.sub(value_of, node.value), node.mark, node.plain, written=node.value)

    def _fields(
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
                    self._unknown(key, f"a parameter of {what}", names, f"{address}.{key.value}".lstrip("."))
                continue
            full = f"{address}.{spec.name}".lstrip(".")
            self._one(spec, node, full, values)
        for spec in by_name.values():
            if spec.required and spec.name not in seen:
                message = (
                    f"{what[0].upper()}{what[1:]} needs {spec.name}: {spec.help[0].lower()}{spec.help[1:]}"
                )
                self._wrong(message, at, f"{address}.{spec.name}", spec.name)
        return values

    def _one(self, spec: Parameter, node: Node, address: str, values: dict[str, Any]) -> None:
        before = len(self._problems)
        expanded = self._expand(node)
        if len(self._problems) > before:
            return
        unresolved = self._environment is None and isinstance(node, Text) and _VARIABLE.search(node.value)
        if isinstance(expanded, Text) and expanded.plain and expanded.value in ("", "~", "null"):
            if spec.required or not isinstance(spec.type, Words):
                self._wrong(f"{spec.name} has no value. {spec.help}", node.mark, address, spec.name)
            return
        try:
            values[spec.name] = spec.type.read(expanded)
        except Refusal as refusal:
            if not unresolved:
                problem = refusal.at(node.mark, address, spec.name)
                values_permitted = problem.permitted or spec.type.choices
                self._problems.append(dataclasses.replace(problem, permitted=values_permitted))
                return
            values[spec.name] = spec.default
        self._given[address] = expanded.written if isinstance(expanded, Text) else None
        if unresolved and isinstance(node, Text):
            self._given[address] = node.value

    def _line(self, node: Node | None, what: str, *, limit: int = 200) -> str:
        if node is None:
            return ""
        if not isinstance(node, Text):
            self._wrong(f"The {what} must be a text.", node.mark, None, what)
            return ""
        text = node.value.strip()
        if len(text) > limit:
            self._wrong(f"The {what} has {len(text)} characters; at most {limit}.", node.mark, None, what)
        if "\x00" in text:
            self._wrong(f"The {what} holds a NUL.", node.mark, None, what)
        return text

    # The document

    def scenario(self, root: Node) -> Scenario:
        if not isinstance(root, Block):
            empty = isinstance(root, Text) and not root.value
            message = "The document is empty." if empty else "A document is a block of keys: name, steps, …"
            raise DocumentError(
                [*self._problems, Problem(message, root.mark.line or 1, root.mark.column or 1)]
            )
        entries = self._merged("", {}, root)
        values = self._fields(
            _PARAMETERS.values(),
            entries,
            "",
            "a document",
            root.mark,
            [k for k in _KEYS if k not in _PARAMETERS],
        )
        self._version(root.get("version"))
        steps = self._steps(root)
        parties = self._parties(root.get("parties"), steps)
        first_and_last = (*list(parties)[:1], *list(parties)[-1:]) if len(parties) <= 2 else ()
        addresses = [address for step in steps for address, *_ in step[1]]
        built = tuple(
            Step(
                name,
                tuple(
                    action
                    for raw in actions
                    if (action := self._action(*raw, parties, first_and_last, addresses)) is not None
                ),
            )
            for name, actions in steps
        )
        conditions = self._conditions(root.get("conditions"), None, parties, addresses)
        self._left_over(addresses, parties)
        name = self._line(root.get("name"), "name")
        if not name:
            self._wrong("The document needs a name.", (root.key("name") or root).mark, None, "name")
        if self._problems:
            raise DocumentError(self._problems)
        return Scenario(
            name=name,
            title=self._line(root.get("title"), "title") or name,
            description=self._line(root.get("description"), "description", limit=10_000),
            tags=self._tags(root.get("tags")),
            parties=parties,
            steps=built,
            conditions=conditions,
            given=self._given,
            **values,
        )

    def _version(self, node: Node | None) -> None:
        if node is not None and (not isinstance(node, Text) or node.value != str(VERSION)):
            value = quoted(node.value) if isinstance(node, Text) else "this"
            message = f"{value} is no version of the test language that is known here. Permitted: {VERSION}."
            self._wrong(message, node.mark, "version", "version", None, (str(VERSION),))

    def _tags(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        if isinstance(node, Block):
            self._wrong("The tags must be a list.", node.mark, None, "tags")
            return ()
        items = (
            node.items
            if isinstance(node, Items)
            else [Text(part, node.mark) for part in node.value.split(",")]
        )
        return tuple(tag for item in items if (tag := self._line(item, "tag")))

    def _steps(self, root: Block) -> list[tuple[str, list[tuple[str, Text, Node, Node | None]]]]:
        node = root.get("steps")
        if not isinstance(node, Items) or not node.items:
            mark = (root.key("steps") or root).mark
            message = "The document needs steps: a list, each step a list of actions."
            self._wrong(message, mark, None, "steps")
            return []
        steps = []
        for number, step in enumerate(node.items):
            name, actions = "", step
            if isinstance(step, Block) and step.get("actions") is not None:
                for key, _ in step.entries:
                    if key.value not in ("name", "actions"):
                        self._unknown(key, "a key of a step", ("name", "actions"), f"step.{number}")
                name, actions = self._line(step.get("name"), "name of the step"), step.get("actions") or step
            items = actions.items if isinstance(actions, Items) else (actions,)
            if not items:
                self._wrong("A step has no action.", actions.mark, f"step.{number}")
            found = [
                raw for i, item in enumerate(items) if (raw := self._raw_action(item, f"step.{number}.{i}"))
            ]
            steps.append((name, found))
        return steps

    def _raw_action(self, node: Node, address: str) -> tuple[str, Text, Node, Node | None] | None:
        """(address, kind, parameters, expect) of one item of a step."""
        kinds = tuple(KINDS)
        if isinstance(node, Text) and node.value in KINDS:
            return address, node, Text("", node.mark), None  # ``- register``
        if not isinstance(node, Block):
            message = f"An action is wanted, such as {KINDS['call'].example}. Permitted: {', '.join(kinds)}."
            self._wrong(message, node.mark, address, None, None, kinds)
            return None
        named = [(key, value) for key, value in node.entries if key.value != "expect"]
        for key, _ in named:
            if key.value not in KINDS:
                self._unknown(key, "a kind of action", kinds, address)
        known = [(key, value) for key, value in named if key.value in KINDS]
        if len(known) > 1:
            message = f"{known[1][0].value} begins another action: put a dash before it."
            self._wrong(message, known[1][0].mark, address, known[1][0].value)
        return (address, *known[0], node.get("expect")) if known else None

    def _action(
        self,
        address: str,
        kind: Text,
        node: Node,
        expect: Node | None,
        parties: Mapping[str, Party],
        usual: Sequence[str],
        addresses: Sequence[str],
    ) -> Action | None:
        cls = KINDS[kind.value]
        block = self._block(cls, node)
        if block is None:
            message = f"{kind.value} takes a block of parameters. Write {cls.example}."
            self._wrong(message, node.mark, address, kind.value)
            return None
        entries = self._merged(address, cls.aliases, block)
        before = len(self._problems)
        specs = parameters_of(cls)
        values = self._fields(specs, entries, address, f"the action {cls.kind}", kind.mark, ("expect",))
        party = values.get("party") or ""
        if not party and usual:
            values["party"] = usual[0] if cls.calls else usual[-1]
        elif not party:
            names = tuple(parties)
            message = f"{cls.kind} needs party: there are {len(names)} of them, {', '.join(names)}."
            self._wrong(message, kind.mark, f"{address}.party", "party", None, names)
        elif party not in parties:
            at = next((value for key, value in entries if key.value == "party"), node)
            tail, near = did_you_mean(party, tuple(parties))
            message = f"{quoted(party)} is not a party of this test.{tail}"
            self._wrong(message, at.mark, f"{address}.party", party, near, tuple(parties))
        inside = next((value for key, value in entries if key.value == "expect"), None)
        conditions = [*self._conditions(inside, address, parties, addresses)]
        conditions += self._conditions(expect, address, parties, addresses)
        if len(self._problems) > before:
            return None
        return cls(address=address, expect=tuple(conditions), **values)

    @staticmethod
    def _block(cls: type[Action], node: Node) -> Block | None:
        """A block of parameters; a scalar is the main one: ``wait: 2 s``, ``register: bob``."""
        if isinstance(node, Block):
            return node
        if isinstance(node, Items):
            return None
        if node.plain and node.value in ("", "~", "null"):
            return Block((), node.mark)
        return Block(((Text(cls.main, node.mark), node),), node.mark)

    # Parties

    def _parties(
        self, node: Node | None, steps: Sequence[tuple[str, list[tuple[str, Text, Node, Node | None]]]]
    ) -> dict[str, Party]:
        blocks: dict[str, tuple[Text, Block]] = {}
        if isinstance(node, Block):
            for key, value in node.entries:
                block = self._party_block(key, value)
                if block is not None:
                    blocks[key.value] = (key, block)
        elif isinstance(node, Items):
            for item in node.items:
                if isinstance(item, Text):
                    blocks[item.value] = (item, Block((), item.mark))
                else:
                    self._wrong("A party is wanted: alice, or a block of its keys.", item.mark, "parties")
        elif node is not None:
            self._wrong("The parties must be a block or a list of names.", node.mark, "parties", "parties")
        if not blocks:
            for key in self._named_in(steps):
                blocks.setdefault(key.value, (key, Block((), key.mark)))
        specs = parameters_of(Party)
        parties = {}
        for name, (key, block) in blocks.items():
            if not _PARTY_NAME.fullmatch(name) or name in _RESERVED:
                why = (
                    "is a word of the language"
                    if name in _RESERVED
                    else "is not a name: letters, digits, - and _"
                )
                self._wrong(
                    f"{quoted(name)} {why}. Choose another name for the party.", key.mark, "parties", name
                )
                continue
            address = f"party.{name}"
            short = self._overrides.get(address, {}).pop("", None)
            if short is not None:
                replaced = self._party_block(key, short)
                for field, value in replaced.entries if replaced else ():
                    self._overrides[address].setdefault(field.value, value)
            entries = self._merged(address, Party.aliases, block)
            values = self._fields(specs, entries, address, "a party", key.mark)
            parties[name] = Party(name=name, **self._with_credentials(values, entries, address))
        return parties

    def _party_block(self, key: Text, value: Node) -> Block | None:
        """A party is a block, nothing at all, or ``user:password``."""
        if isinstance(value, Block):
            return value
        if isinstance(value, Items):
            message = f"The party {key.value} must be a block: {{user: …, password: …}}."
            self._wrong(message, value.mark, f"party.{key.value}", key.value)
            return None
        if not value.value or value.value in ("~", "null"):
            return Block((), value.mark)
        user, colon, password = value.value.partition(":")
        entries: list[tuple[Text, Node]] = [
            (Text("user", value.mark), dataclasses.replace(value, value=user))
        ]
        if colon:
            entries.append((Text("password", value.mark), dataclasses.replace(value, value=password)))
        return Block(tuple(entries), value.mark)

    def _named_in(self, steps: Sequence[tuple[str, list[tuple[str, Text, Node, Node | None]]]]) -> list[Text]:
        """Without a list of parties, they are who the actions name; and whom nobody names is caller or
        callee."""
        caller: list[Text] = []
        others: list[Text] = []
        for _, actions in steps:
            for address, kind, node, _ in actions:
                cls = KINDS[kind.value]
                block = self._block(cls, node) or Block((), node.mark)
                merged = {cls.aliases.get(key.value, key.value): value for key, value in block.entries}
                changes = self._overrides.get(address, {})
                merged |= {cls.aliases.get(name, name): value for name, value in changes.items()}
                named = merged.get("party")
                default = Text("caller" if cls.calls else "callee", NOWHERE)
                party = named if isinstance(named, Text) and named.value.strip() else default
                (caller if cls.calls else others).append(
                    dataclasses.replace(party, value=party.value.strip())
                )
        return [*caller, *others]

    def _with_credentials(
        self, values: dict[str, Any], entries: Sequence[tuple[Text, Node]], address: str
    ) -> dict[str, Any]:
        name = values.get("credentials")
        if not name or self._credentials is None:
            return values
        if name not in self._credentials:
            at = next(value for key, value in entries if key.value == "credentials")
            names = tuple(self._credentials)
            tail, near = did_you_mean(name, names)
            message = f"{quoted(name)} is not in the credentials file.{tail}"
            self._wrong(message, at.mark, f"{address}.credentials", name, near, names)
            return values
        fields = {spec.name for spec in parameters_of(Party)} - {"credentials"}
        entry = {Party.aliases.get(key, key): str(value) for key, value in self._credentials[name].items()}
        return {key: value for key, value in entry.items() if key in fields} | values

    # Conditions

    def _conditions(
        self,
        node: Node | None,
        address: str | None,
        parties: Mapping[str, Party],
        addresses: Sequence[str],
    ) -> tuple[Condition, ...]:
        if node is None:
            return ()
        found: list[Condition] = []
        for text in self._condition_texts(node, address):
            expanded = self._expand(text)
            assert isinstance(expanded, Text)
            try:
                found.append(
                    parse_condition(expanded, address=address, parties=tuple(parties), addresses=addresses)
                )
            except Refusal as refusal:
                self._problems.append(refusal.at(text.mark, address, text.value))
        return tuple(found)

    def _condition_texts(self, node: Node, address: str | None) -> list[Text]:
        """A text, a list of texts, or a block ``{mos: ">= 4.0", code: 200}``."""
        if isinstance(node, Text):
            return [node] if node.value else []
        if isinstance(node, Items):
            return [text for item in node.items for text in self._condition_texts(item, address)]
        texts = []
        for key, value in node.entries:
            if isinstance(value, Items):
                words = ", ".join(item.value for item in value.items if isinstance(item, Text))
                operator = "=" if key.value.endswith("states") else "in"
                texts.append(Text(f"{key.value} {operator} [{words}]", key.mark))
            elif isinstance(value, Text):
                has_operator = re.match(
                    r"([<>=!~≥≤≠]|(not\s+)?in\b|present\b|absent\b|ordered\b|has\b|lacks\b)", value.value
                )
                texts.append(Text(f"{key.value} {'' if has_operator else '= '}{value.value}", key.mark))
            else:
                self._wrong("A condition is a line of text: mos >= 4.0.", value.mark, address, key.value)
        return texts

    # Overrides that found no place

    def _left_over(self, addresses: Sequence[str], parties: Mapping[str, Party]) -> None:
        for address, values in self._overrides.items():
            for name, node in values.items():
                full = f"{address}.{name}".strip(".")
                if address.startswith("step."):
                    tail, near = did_you_mean(address, tuple(addresses))
                    message = f"This test has no action {address}.{tail}"
                    self._wrong(message, node.mark, full, address, near, tuple(addresses))
                else:
                    word = address.removeprefix("party.")
                    names = (*_PARAMETERS, *(f"party.{party}" for party in parties))
                    near = nearest(word, (*_PARAMETERS, *parties))
                    hint = f" Did you mean {near}?" if near else ""
                    permitted = f"Permitted: {', '.join(names)}, step.S.A.…"
                    message = f"This test has no {quoted(word)} to set.{hint} {permitted}"
                    self._wrong(message, node.mark, full, word, near, names)
