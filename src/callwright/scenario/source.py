"""The text of a document as a tree that knows where everything stands, before anything is given a meaning.

YAML is read by its events and never by its rules for scalars: a scalar is a text until the type of its
parameter reads it, so that ``0043123`` stays a number to dial and ``no`` a word. Size, depth, aliases and
tags are bounded, since documents come from strangers too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 262_144
MAX_NODES = 20_000  # with every alias counted as what it stands for
MAX_DEPTH = 24


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value came from: line and column from 1, or an origin such as ``--set step.1.0.play``."""

    line: int | None = None
    column: int | None = None
    origin: str = ""


NOWHERE = Mark()


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    mark: Mark
    plain: bool = True  # False when it was quoted
    written: str | None = None  # as the author wrote it, when ``${NAME}`` was replaced


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Block:
    entries: tuple[tuple[Text, Node], ...]
    mark: Mark

    def get(self, key: str) -> Node | None:
        for name, node in self.entries:
            if name.value == key:
                return node
        return None

    def key(self, key: str) -> Text | None:
        for name, _ in self.entries:
            if name.value == key:
                return name
        return None


Node = Text | Items | Block


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document or an override; ``message`` is a sentence that names the value."""

    message: str
    line: int | None = None
    column: int | None = None
    address: str | None = None  # "step.1.0.codecs"
    key: str | None = None  # the offending key or value, as written
    nearest: str | None = None  # the valid name that was probably meant
    permitted: tuple[str, ...] = ()
    origin: str = ""  # "--set …" when it does not stand in the document

    def __str__(self) -> str:
        where = self.origin or (
            f"line {self.line}, column {self.column}" if self.line else self.address or ""
        )
        return f"{where}: {self.message}" if where else self.message

    def to_json(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "line": self.line,
            "column": self.column,
            "address": self.address,
            "key": self.key,
            "nearest": self.nearest,
            "permitted": list(self.permitted),
            "origin": self.origin or None,
        }


class DocumentError(ValueError):
    """Every problem of a document at once, in the order in which they stand there."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line is None, p.line or 0, p.column or 0)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Refusal(ValueError):
    """A value that its type does not take. ``mark`` is the spot inside the value, when it is a list or a
    block."""

    def __init__(
        self,
        message: str,
        *,
        permitted: Sequence[str] = (),
        nearest: str | None = None,
        key: str | None = None,
        mark: Mark | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.permitted = tuple(permitted)
        self.nearest = nearest
        self.key = key
        self.mark = mark

    def at(self, mark: Mark, address: str | None, key: str | None = None) -> Problem:
        spot = self.mark or mark
        return Problem(
            self.message,
            spot.line,
            spot.column,
            address,
            self.key or key,
            self.nearest,
            self.permitted,
            spot.origin,
        )


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, by spelling, whatever the case."""
    return next(iter(nearest_names(word, names, most=1)), None)


def nearest_names(word: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names that may have been meant, the likeliest first."""
    by_lower = {name.lower(): name for name in names}
    if word.lower() in by_lower:
        return [by_lower[word.lower()]]
    found = difflib.get_close_matches(word.lower(), by_lower, n=most, cutoff=0.6)
    return [by_lower[one] for one in found]


def did_you_mean(word: str, names: Sequence[str]) -> tuple[str, str | None]:
    """The tail of a message, `` Did you mean play? Permitted: …``, and the nearest name."""
    near = nearest(word, names)
    tail = f" Did you mean {near}?" if near else ""
    if names:
        tail += f" Permitted: {', '.join(names)}."
    return tail, near


def quoted(value: str) -> str:
    """A value for a sentence: short, printable, in quotes when its edges would not show."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
    if len(shown) > 60:
        shown = shown[:59] + "…"
    return f'"{shown}"' if not shown or not shown[0].isalnum() or " " in shown else shown


_SHORT = 20_000  # characters; larger trees are not kept


def read(text: str) -> Node:
    """The tree of one YAML document. Raises DocumentError: syntax, a second document, a duplicate key,
    limits."""
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(
            [Problem(f"The document has {len(text)} characters; the limit is {MAX_CHARACTERS}.", 1, 1)]
        )
    return _read_short(text) if len(text) <= _SHORT else _read(text)


def _read(text: str) -> Node:
    import yaml

    try:
        return _Builder().build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = error.problem or error.context or "it could not be read"
        known = (words for sign, words in _YAML_IN_WORDS if sign in said)
        message = next(known, f"This is not YAML: {said}.")
        if "found unexpected end of stream" in said and "quoted" in (error.context or ""):
            message = "This is not YAML: a quote is opened here and not closed."
            if error.context_mark is not None:
                line, column = error.context_mark.line + 1, error.context_mark.column + 1
        raise DocumentError([Problem(message, line, column)]) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        before = text[: position if isinstance(position, int) else 0]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = "YAML does not permit a character here."
        raise DocumentError([Problem(message, line, column)]) from None


#: What PyYAML says, and what it means for who wrote the line.
_YAML_IN_WORDS = (
    ("'\\t'", "YAML does not allow a tab here. Indent with spaces."),
    ("expected ',' or ']'", "A comma is missing here, or the closing ] of this list."),
    ("expected ',' or '}'", "A comma is missing here, or the closing } of this block."),
    ("mapping values are not allowed", "This value contains a colon. Put the value in quotes."),
    ("could not find expected ':'", "The key here has no colon after it."),
    (
        "expected <block end>",
        "This line does not fit the lines above it: check its indentation and its dash.",
    ),
    ("sequence entries are not allowed", "A dash cannot begin a list here. Begin it on a line of its own."),
    ("expected the node content", "A value is missing here."),
    ("cannot start any token", "A value cannot begin with this character. Put it in quotes."),
    ("expected a comment or a line break", "This text belongs on a line of its own."),
    ("found undefined alias", "There is no anchor of this name above this line."),
)

#: The platform reads the same document at each start of a run, and reading YAML is most of it.
_read_short = lru_cache(maxsize=64)(_read)


def from_value(value: Any, origin: str) -> Node:
    """The tree of a value that came by ``--set`` or as JSON: texts, numbers, booleans, lists and objects."""
    mark = Mark(origin=origin)
    if isinstance(value, bool):
        return Text("true" if value else "false", mark)
    if value is None:
        return Text("", mark)
    if isinstance(value, float) and value.is_integer():
        return Text(str(int(value)), mark)
    if isinstance(value, str | int | float):
        return Text(str(value), mark, plain=not isinstance(value, str))
    if isinstance(value, Mapping):
        entries = tuple((Text(str(k), mark), from_value(v, origin)) for k, v in value.items())
        return Block(entries, mark)
    if isinstance(value, Iterable):
        return Items(tuple(from_value(item, origin) for item in value), mark)
    return Text(str(value), mark)


class _Open:
    """A list or a block whose end has not come yet."""

    __slots__ = ("anchor", "block", "children", "mark", "size")

    def __init__(self, mark: Mark, anchor: str | None, block: bool) -> None:
        self.mark = mark
        self.anchor = anchor
        self.block = block
        self.children: list[Node] = []
        self.size = 1


class _Builder:
    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._problems: list[Problem] = []
        self._root: Node | None = None
        self._nodes = 0

    def build(self, events: Iterable[Any]) -> Node:
        import yaml

        documents = 0
        for event in events:
            mark = (
                Mark(event.start_mark.line + 1, event.start_mark.column + 1) if event.start_mark else Mark()
            )
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._give_up("A second document begins here; one file holds one test.", mark)
            elif isinstance(event, yaml.ScalarEvent):
                self._check_tag(event.tag, mark)
                node = Text(event.value, mark, plain=event.style is None)
                self._finish(node, 1, event.anchor)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._check_tag(event.tag, mark)
                if len(self._stack) >= MAX_DEPTH:
                    self._give_up(f"This is nested deeper than {MAX_DEPTH} levels.", mark)
                if event.anchor:
                    self._anchors[event.anchor] = None
                self._stack.append(_Open(mark, event.anchor, isinstance(event, yaml.MappingStartEvent)))
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                opened = self._stack.pop()
                closed = self._block(opened) if opened.block else Items(tuple(opened.children), opened.mark)
                self._finish(closed, opened.size, opened.anchor, counted=True)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor or "", mark)
        if self._problems:
            raise DocumentError(self._problems)
        return self._root if self._root is not None else Text("", Mark(1, 1))

    def _give_up(self, message: str, mark: Mark) -> None:
        raise DocumentError([*self._problems, Problem(message, mark.line, mark.column)])

    def _check_tag(self, tag: str | None, mark: Mark) -> None:
        if tag and tag != "!" and not tag.startswith("tag:yaml.org,2002:"):
            self._problems.append(
                Problem(
                    f"{quoted(tag)} is a tag; the test language has none.", mark.line, mark.column, key=tag
                )
            )
        elif tag and "python" in tag:
            self._problems.append(
                Problem("Tags that name Python objects are refused.", mark.line, mark.column, key=tag)
            )

    def _finish(self, node: Node, size: int, anchor: str | None, *, counted: bool = False) -> None:
        self._nodes += 1 if counted else size
        if self._nodes > MAX_NODES:
            self._give_up(f"The document has more than {MAX_NODES} values, aliases counted.", node.mark)
        if anchor:
            self._anchors[anchor] = (node, size)
        if self._stack:
            self._stack[-1].children.append(node)
            self._stack[-1].size += size
        else:
            self._root = node

    def _alias(self, anchor: str, mark: Mark) -> None:
        if anchor not in self._anchors:
            self._problems.append(
                Problem(f"*{anchor} names no anchor above it.", mark.line, mark.column, key=anchor)
            )
            self._finish(Text("", mark), 1, None)
            return
        known = self._anchors[anchor]
        if known is None:
            self._give_up(f"*{anchor} stands inside what it names.", mark)
            return
        self._finish(known[0], known[1], None)

    def _block(self, opened: _Open) -> Block:
        own: dict[str, tuple[Text, Node]] = {}
        merged: dict[str, tuple[Text, Node]] = {}
        pairs = zip(opened.children[::2], opened.children[1::2], strict=True)
        for key, value in pairs:
            if not isinstance(key, Text):
                self._problems.append(
                    Problem("A key must be a word, not a list or a block.", key.mark.line, key.mark.column)
                )
            elif key.value == "<<" and key.plain:
                for source in value.items if isinstance(value, Items) else (value,):
                    if isinstance(source, Block):
                        for name, node in source.entries:
                            merged.setdefault(name.value, (name, node))
            elif key.value in own:
                first = own[key.value][0].mark.line
                message = f"{quoted(key.value)} is given twice; the first stands in line {first}."
                self._problems.append(Problem(message, key.mark.line, key.mark.column, key=key.value))
            else:
                own[key.value] = (key, value)
        entries = [entry for name, entry in merged.items() if name not in own]
        return Block((*entries, *own.values()), opened.mark)
