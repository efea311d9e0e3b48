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
from collections.abc import Mapping, Sequence
from typing import Any

from callwright.scenario.actions import KINDS, Accept, Action, Call
from callwright.scenario.check import LEVELS, Check
from callwright.scenario.condition import METRICS, Condition
from callwright.scenario.fields import DOCUMENT_PARAMETERS, Credentials, Fields, Overrides
from callwright.scenario.load_condition import condition_on
from callwright.scenario.parameter import parameters_of
from callwright.scenario.party import Party
from callwright.scenario.placing import HEAD_BLOCKS
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
    nearest,
    quoted,
    read,
)

VERSION = 1
MAX_ACTIONS = 1_000
MAX_PARTIES = 1_000
MAX_CONDITIONS = 1_000  # of the document and of its actions, all together
MAX_TAGS = 100
MAX_CHECKS = 200
_KEYS = (
    "name",
    "title",
    "description",
    "tags",
    "version",
    *DOCUMENT_PARAMETERS,
    *HEAD_BLOCKS,
    "parties",
    "steps",
    "conditions",
    "checks",
)
_CHECK_KEYS = ("check", "level", "conditions", "actions")
_RESERVED = {"step", "party", "sent", "received", *METRICS, *_KEYS}
_PARTY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


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
                message = f"{quoted(key.value)} is not part of an account.{tail}"
                problems.append(
                    Problem(message, key.mark.line, key.mark.column, name.value, key.value, near, known)
                )
            else:
                entry[field] = value.value
    if problems:
        raise DocumentError(problems)
    return found


class _Reader(Fields):
    _conditions_read = 0

    def scenario(self, root: Node) -> Scenario:
        if not isinstance(root, Block):
            empty = isinstance(root, Text) and not root.value
            message = "The document is empty." if empty else "A document is a block of keys: name, steps, …"
            raise DocumentError(
                [*self.problems, Problem(message, root.mark.line or 1, root.mark.column or 1)]
            )
        entries = self.merged("", {}, root)
        values = self.read_fields(
            DOCUMENT_PARAMETERS.values(),
            entries,
            "",
            "a document",
            root.mark,
            [k for k in _KEYS if k not in DOCUMENT_PARAMETERS],
        )
        values |= {name: self._head_block(name, root) for name in HEAD_BLOCKS}
        self._version(root.get("version"))
        steps = self._steps(root)
        parties = self._parties(root.get("parties"), steps)
        first_and_last = (*list(parties)[:1], *list(parties)[-1:]) if len(parties) <= 2 else ()
        addresses = [address for step in steps for address, *_ in step[1]]
        raws = [raw for _, actions in steps for raw in actions]
        done: dict[str, Action] = {}
        # Who is called by a load is answered by one: calls are read before whoever accepts them.
        for raw in sorted(raws, key=lambda raw: KINDS[raw[1].value] is Accept):
            action = self._action(*raw, parties, first_and_last, addresses, list(done.values()))
            if action is not None:
                done[action.address] = action
        built = tuple(
            Step(name, tuple(done[address] for address, *_ in actions if address in done))
            for name, actions in steps
        )
        in_order = [action for step in built for action in step.actions]
        conditions = self._conditions(root.get("conditions"), None, parties, addresses, in_order)
        checks = self._checks(root.get("checks"), parties, addresses, in_order)
        self._loads_over_udp(in_order, parties, values.get("transport") or "udp", root.mark)
        self._left_over(addresses, parties)
        name = self.line(root.get("name"), "name")
        if not name:
            self.wrong("The document needs a name.", (root.key("name") or root).mark, None, "name")
        title = self.line(root.get("title"), "title") or name
        description = self.line(root.get("description"), "description", limit=10_000)
        tags = self._tags(root.get("tags"))
        if self.problems:
            raise DocumentError(self.problems)
        return Scenario(
            name=name,
            title=title,
            description=description,
            tags=tags,
            parties=parties,
            steps=built,
            conditions=conditions,
            checks=checks,
            given=self.given,
            **values,
        )

    def _head_block(self, name: str, root: Block) -> Any:
        cls, node = HEAD_BLOCKS[name], root.get(name)
        block, at = Block((), root.mark), (root.key(name) or root).mark
        if isinstance(node, Block):
            block = node
        elif isinstance(node, Text) and cls.main:  # ``agentpool: lab``
            block = Block(((Text(cls.main, node.mark), node),), node.mark)
        elif node is not None:
            names = tuple(spec.name for spec in parameters_of(cls))
            message = f"{name} is a block of keys. Write {name}: {{{names[0]}: …}}."
            self.wrong(message, node.mark, name, name, None, names)
        entries = self.merged(name, {}, block)
        return cls(**self.read_fields(parameters_of(cls), entries, name, f"the block {name}", at))

    def _version(self, node: Node | None) -> None:
        if node is not None and (not isinstance(node, Text) or node.value != str(VERSION)):
            value = quoted(node.value) if isinstance(node, Text) else "this"
            message = f"{value} is not a known version of the test language. Permitted: {VERSION}."
            self.wrong(message, node.mark, "version", "version", None, (str(VERSION),))

    def _tags(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        if isinstance(node, Block):
            self.wrong("The tags must be a list.", node.mark, None, "tags")
            return ()
        items = (
            node.items
            if isinstance(node, Items)
            else [Text(part, node.mark) for part in node.value.split(",")]
        )
        if len(items) > MAX_TAGS:
            self.wrong(f"There are {len(items)} tags; at most {MAX_TAGS}.", node.mark, None, "tags")
            return ()
        return tuple(tag for item in items if (tag := self.line(item, "tag")))

    def _steps(self, root: Block) -> list[tuple[str, list[tuple[str, Text, Node, Node | None]]]]:
        node = root.get("steps")
        if not isinstance(node, Items) or not node.items:
            mark = (root.key("steps") or root).mark
            message = "The document needs steps: a list, each step a list of actions."
            self.wrong(message, mark, None, "steps")
            return []
        steps = []
        actions_so_far = 0
        for number, step in enumerate(node.items):
            name, actions = "", step
            if isinstance(step, Block) and step.get("actions") is not None:
                for key, _ in step.entries:
                    if key.value not in ("name", "actions"):
                        self.unknown(key, "a key of a step", ("name", "actions"), f"step.{number}")
                name, actions = self.line(step.get("name"), "name of the step"), step.get("actions") or step
            items = actions.items if isinstance(actions, Items) else (actions,)
            if not items:
                self.wrong("A step has no action.", actions.mark, f"step.{number}")
            found = [
                raw for i, item in enumerate(items) if (raw := self._raw_action(item, f"step.{number}.{i}"))
            ]
            steps.append((name, found))
            actions_so_far += len(found)
            if actions_so_far > MAX_ACTIONS:
                message = f"The document has more than {MAX_ACTIONS} actions."
                self.wrong(message, step.mark, f"step.{number}", "steps")
                raise DocumentError(self.problems)
        return steps

    def _raw_action(self, node: Node, address: str) -> tuple[str, Text, Node, Node | None] | None:
        """(address, kind, parameters, expect) of one item of a step."""
        kinds = tuple(KINDS)
        if isinstance(node, Text) and node.value in KINDS:
            return address, node, Text("", node.mark), None  # ``- register``
        if not isinstance(node, Block):
            message = f"An action is wanted, such as {KINDS['call'].example}. Permitted: {', '.join(kinds)}."
            self.wrong(message, node.mark, address, None, None, kinds)
            return None
        named = [(key, value) for key, value in node.entries if key.value != "expect"]
        for key, _ in named:
            if key.value not in KINDS:
                self.unknown(key, "a kind of action", kinds, address)
        known = [(key, value) for key, value in named if key.value in KINDS]
        if len(known) > 1:
            message = f"{known[1][0].value} begins another action: put a dash before it."
            self.wrong(message, known[1][0].mark, address, known[1][0].value)
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
        before: Sequence[Action],
    ) -> Action | None:
        """`before`: the actions that are read already; those that call, when this one accepts."""
        cls = KINDS[kind.value]
        block = self._block(cls, node)
        if block is None:
            message = f"{kind.value} takes a block of parameters. Write {cls.example}."
            self.wrong(message, node.mark, address, kind.value)
            return None
        entries = self.merged(address, cls.aliases, block)
        known = len(self.problems)
        specs = parameters_of(cls)
        values = self.read_fields(specs, entries, address, f"the action {cls.kind}", kind.mark, ("expect",))
        values = cls.completed(values)
        party = values.get("party") or ""
        if not party and usual:
            values["party"] = usual[0] if cls.calls else usual[-1]
        elif not party:
            names = tuple(parties)
            message = f"{cls.kind} needs party: there are {len(names)} of them, {', '.join(names)}."
            self.wrong(message, kind.mark, f"{address}.party", "party", None, names)
        elif party not in parties:
            at = next((value for key, value in entries if key.value == "party"), node)
            tail, near = did_you_mean(party, tuple(parties))
            message = f"{quoted(party)} is not a party of this test.{tail}"
            self.wrong(message, at.mark, f"{address}.party", party, near, tuple(parties))
        if cls is Accept and values.get("load") is None:
            values["load"] = any(
                isinstance(call, Call) and call.is_load and call.dial_destination == values["party"]
                for call in before
            )
        if len(self.problems) > known:
            return None
        action = cls(address=address, **values)
        given = {key.value: value for key, value in entries}
        for unfit in action.unfit(given):
            mark = (given.get(unfit.name) or node).mark
            name = f"{address}.{unfit.name}"
            self.wrong(unfit.message, mark, name, unfit.name, None, unfit.permitted)
        inside = given.get("expect")
        conditions = [*self._conditions(inside, address, parties, addresses, [action])]
        conditions += self._conditions(expect, address, parties, addresses, [action])
        return None if len(self.problems) > known else dataclasses.replace(action, expect=tuple(conditions))

    def _loads_over_udp(
        self, actions: Sequence[Action], parties: Mapping[str, Party], transport: str, at: Mark
    ) -> None:
        for action in actions:
            party = parties.get(action.party)
            used = (getattr(action, "transport", "") or (party.transport if party else "")) or transport
            if action.is_load and used != "udp":
                message = (
                    f"{action.address} is a load, and the load engine sends over UDP, not {used.upper()}."
                )
                self.wrong(message, at, f"{action.address}.transport", "transport", None, ("udp",))

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
        given = len(
            node.entries if isinstance(node, Block) else node.items if isinstance(node, Items) else ()
        )
        if node is not None and given > MAX_PARTIES:
            self.wrong(f"There are {given} parties; at most {MAX_PARTIES}.", node.mark, "parties", "parties")
            raise DocumentError(self.problems)
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
                    self.wrong("A party is wanted: alice, or a block of its keys.", item.mark, "parties")
        elif node is not None:
            self.wrong("The parties must be a block or a list of names.", node.mark, "parties", "parties")
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
                self.wrong(
                    f"{quoted(name)} {why}. Choose another name for the party.", key.mark, "parties", name
                )
                continue
            address = f"party.{name}"
            short = self.overrides.get(address, {}).pop("", None)
            if short is not None:
                replaced = self._party_block(key, short)
                for field, value in replaced.entries if replaced else ():
                    self.overrides[address].setdefault(field.value, value)
            entries = self.merged(address, Party.aliases, block)
            values = self.read_fields(specs, entries, address, "a party", key.mark)
            parties[name] = Party(name=name, **self._with_credentials(values, entries, address))
        return parties

    def _party_block(self, key: Text, value: Node) -> Block | None:
        """A party is a block, nothing at all, or ``user:password``."""
        if isinstance(value, Block):
            return value
        if isinstance(value, Items):
            message = f"The party {key.value} must be a block: {{user: …, password: …}}."
            self.wrong(message, value.mark, f"party.{key.value}", key.value)
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
                changes = self.overrides.get(address, {})
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
        if not name or self.credentials is None:
            return values
        if name not in self.credentials:
            at = next(value for key, value in entries if key.value == "credentials")
            names = tuple(self.credentials)
            tail, near = did_you_mean(name, names)
            message = f"{quoted(name)} is not in the credentials file.{tail}"
            self.wrong(message, at.mark, f"{address}.credentials", name, near, names)
            return values
        fields = {spec.name for spec in parameters_of(Party)} - {"credentials"}
        entry = {Party.aliases.get(key, key): str(value) for key, value in self.credentials[name].items()}
        return {key: value for key, value in entry.items() if key in fields} | values

    # Conditions

    def _conditions(
        self,
        node: Node | None,
        address: str | None,
        parties: Mapping[str, Party],
        addresses: Sequence[str],
        actions: Sequence[Action],
    ) -> tuple[Condition, ...]:
        """`actions`: those that they may look at."""
        if node is None:
            return ()
        found: list[Condition] = []
        for text in self._condition_texts(node, address):
            self._conditions_read += 1
            if self._conditions_read > MAX_CONDITIONS:
                message = f"The document has more than {MAX_CONDITIONS} conditions."
                self.wrong(message, text.mark, address, text.value)
                raise DocumentError(self.problems)
            expanded = self.expand(text)
            assert isinstance(expanded, Text)
            try:
                known = bool(actions) and not self.problems
                found.append(
                    condition_on(actions, expanded, address, tuple(parties), addresses, all_known=known)
                )
            except Refusal as refusal:
                self.tell(refusal.at(text.mark, address, text.value))
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
                self.wrong("A condition is a line of text: mos >= 4.0.", value.mark, address, key.value)
        return texts

    # Checks

    def _checks(
        self,
        node: Node | None,
        parties: Mapping[str, Party],
        addresses: Sequence[str],
        actions: Sequence[Action],
    ) -> tuple[Check, ...]:
        if node is None:
            return ()
        if not isinstance(node, Items) or len(node.items) > MAX_CHECKS:
            message = (
                f"The checks are a list of at most {MAX_CHECKS}: - {{check: …, level: ko, conditions: …}}."
            )
            self.wrong(message, node.mark, "checks", "checks")
            return ()
        found = [
            check
            for number, item in enumerate(node.items)
            if (check := self._check(item, f"checks.{number}", parties, addresses, actions))
        ]
        for check in found:
            if sum(other.title == check.title for other in found) > 1:
                message = (
                    f"Two checks have the title {quoted(check.title)}; a report could not tell them apart."
                )
                self.wrong(message, node.mark, "checks", check.title)
        return tuple(found)

    def _check(
        self,
        node: Node,
        address: str,
        parties: Mapping[str, Party],
        addresses: Sequence[str],
        actions: Sequence[Action],
    ) -> Check | None:
        if not isinstance(node, Block):
            message = "A check is a block: {check: Busy, level: important, conditions: step.1.0.code = 486}."
            self.wrong(message, node.mark, address)
            return None
        for key, _ in node.entries:
            if key.value not in _CHECK_KEYS:
                self.unknown(key, "a key of a check", _CHECK_KEYS, address)
        title = self.line(node.get("check"), "title of the check")
        if not title:
            self.wrong("A check needs a title: check: Busy.", node.mark, address, "check")
        level = self.line(node.get("level"), "level of the check")
        if level not in LEVELS:
            tail, near = did_you_mean(level, LEVELS)
            message = f"{quoted(level)} is not a level of a check.{tail}"
            self.wrong(message, (node.get("level") or node).mark, f"{address}.level", "level", near, LEVELS)
        listed = node.get("actions")
        named = listed.items if isinstance(listed, Items) else [listed] if listed is not None else []
        covered = []
        for item in named:
            word = item.value if isinstance(item, Text) else ""
            covered.append(word)
            if word not in addresses:
                tail, near = did_you_mean(word, tuple(addresses))
                message = f"{quoted(word)} is not an action of this test.{tail}"
                self.wrong(message, item.mark, f"{address}.actions", "actions", near, tuple(addresses))
        conditions = self._conditions(node.get("conditions"), None, parties, addresses, actions)
        check = Check(title, level, tuple(c for c in conditions if isinstance(c, Condition)), tuple(covered))
        if len(check.conditions) < len(conditions):
            message = "A check judges calls, registrations and requests, not loads."
            self.wrong(message, node.mark, f"{address}.conditions", "conditions")
        if not conditions and not covered:
            message = "A check needs conditions, or actions whose verdicts it takes."
            self.wrong(message, node.mark, address, "conditions")
        return check

    # Overrides that found no place

    def _left_over(self, addresses: Sequence[str], parties: Mapping[str, Party]) -> None:
        for address, values in self.overrides.items():
            for name, node in values.items():
                full = f"{address}.{name}".strip(".")
                if address.startswith("step."):
                    tail, near = did_you_mean(address, tuple(addresses))
                    message = f"This test has no action {address}.{tail}"
                    self.wrong(message, node.mark, full, address, near, tuple(addresses))
                else:
                    word = address.removeprefix("party.")
                    names = (*DOCUMENT_PARAMETERS, *(f"party.{party}" for party in parties))
                    near = nearest(word, (*DOCUMENT_PARAMETERS, *parties))
                    hint = f" Did you mean {near}?" if near else ""
                    permitted = f"Permitted: {', '.join(names)}, step.S.A.…"
                    message = f"This test has no {quoted(word)} to set.{hint} {permitted}"
                    self.wrong(message, node.mark, full, word, near, names)
