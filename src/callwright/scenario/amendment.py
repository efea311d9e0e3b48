"""One parameter of a document changed in its text: comments, order and layout stay as they were.

What an editor's form needs, whose fields and whose text are the same test. The text is cut at the places
that YAML itself names, and the result is read again: when anything but the one value came out otherwise, the
change is refused rather than made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from callwright.scenario.actions import KINDS
from callwright.scenario.fields import DOCUMENT_PARAMETERS
from callwright.scenario.parameter import Parameter, parameters_of
from callwright.scenario.party import Party
from callwright.scenario.placing import HEAD_BLOCKS
from callwright.scenario.source import DocumentError, read

_HEAD_KEYS = ("name", "title", "description", "tags", "version", *DOCUMENT_PARAMETERS, *HEAD_BLOCKS)


class CannotAmend(ValueError):
    """The text is a sentence: why it must be changed in the document itself."""


def amend(text: str, address: str, value: str | Sequence[str] | None) -> str:
    """The document with the parameter at ``address`` ("step.1.0.play", "party.bob.user", "target") set to
    ``value`` as an author would write it, a list for the types that take one; None takes it out.

    The value is not judged here. Raises CannotAmend.
    """
    import yaml

    try:
        read(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (DocumentError, yaml.YAMLError):
        raise CannotAmend("The document has errors. Fix them first.") from None
    if not isinstance(root, yaml.MappingNode):
        raise CannotAmend("The document is not a block of keys. Change it in the text.")
    changed = _Amender(text, value).change(root, address)
    try:
        after = yaml.compose(changed, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        after = None
    if after is None or _other_changes(_plain(root), _plain(after), address):
        raise CannotAmend("This value cannot be changed here. Change it in the text.")
    return changed


def amend_condition(text: str, address: str, value: str | None) -> str:
    """The document with the condition at ``address`` ("conditions.2", "step.1.0.expect.0") set to ``value``,
    with None taken out; "conditions.N" behind the last one adds it. It is not judged here.

    Raises CannotAmend.
    """
    import yaml

    try:
        read(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (DocumentError, yaml.YAMLError):
        raise CannotAmend("The document has errors. Fix them first.") from None
    holder, _, digits = address.rpartition(".")
    if not re.fullmatch(r"[0-9]{1,5}", digits) or "\n" in (value or ""):
        raise CannotAmend(f"This test has no condition {address}.")
    node, number = _conditions_at(root, holder), int(digits)
    if node is None and holder == "conditions" and value is not None and isinstance(root, yaml.MappingNode):
        if root.flow_style:
            raise CannotAmend("The document is written in braces. Add the condition in the text.")
        line = f"- {_scalar(value, block=True)}"
        old = _member(root, ("conditions",))
        end = _Amender(text, None)._end(old[0] if old else root)
        begin = f"{text[:end]}" if old else f"{text[:end].rstrip()}\n\nconditions"
        rest = text[end:].lstrip(":") if old else text[end:].lstrip("\n")
        return f"{begin}:\n  {line}\n{rest.lstrip(chr(10))}"
    if isinstance(node, yaml.ScalarNode) and number == 0 and value is not None:
        return _Amender(text, value)._replace(node, _scalar(value))
    if not isinstance(node, yaml.SequenceNode):
        raise CannotAmend("These conditions are not written as a list. Change them in the text.")
    before = _plain(node)
    changed = _ConditionList(text, node).change(number, value)
    after = _conditions_at(yaml.compose(changed, Loader=yaml.SafeLoader), holder)
    wanted = [*before[:number], *([] if value is None else [value]), *before[number + 1 :]]
    if (_plain(after) if after is not None else []) != wanted:
        raise CannotAmend("This condition cannot be changed here. Change it in the text.")
    return changed


def _conditions_at(root: Any, holder: str) -> Any:
    """The node that holds the conditions of the document or of an action; None where there are none."""
    import yaml

    if holder == "conditions":
        found = _member(root, ("conditions",))
        empty = found and isinstance(found[1], yaml.ScalarNode) and found[1].value in ("", "~", "null")
        return None if not found or empty else found[1]
    place = re.fullmatch(r"step\.(\d+)\.(\d+)\.expect", holder)
    steps = _member(root, ("steps",))
    try:
        step = steps[1].value[int(place[1])]  # type: ignore[index]
        named = _member(step, ("actions",))
        items = named[1] if named else step
        item = items.value[int(place[2])] if isinstance(items, yaml.SequenceNode) else items  # type: ignore[index]
    except (TypeError, IndexError, AttributeError):
        raise CannotAmend(f"There is no action {holder.removesuffix('.expect')}.") from None
    action = _member(item, tuple(KINDS))
    inside = _member(action[1], ("expect",)) if action else None
    beside = _member(item, ("expect",))
    if inside and beside:
        raise CannotAmend("This action has its conditions in two places. Change them in the text.")
    chosen = inside or beside
    return chosen[1] if chosen else None


class _ConditionList:
    def __init__(self, text: str, node: Any) -> None:
        self._amender, self.text, self.node = _Amender(text, None), text, node

    def change(self, number: int, value: str | None) -> str:
        items, flow = self.node.value, bool(self.node.flow_style)
        if number > len(items) or (number == len(items) and value is None):
            raise CannotAmend("This condition no longer exists.")
        if number == len(items):
            assert value is not None
            return self._added(value, flow)
        item = items[number]
        if value is not None:
            return self._amender._replace(item, _scalar(value, block=not flow))
        end = self._amender._end(item)
        if flow:
            if number:
                return self.text[: self._amender._end(items[number - 1])] + self.text[end:]
            upto = items[1].start_mark.index if len(items) > 1 else end
            return self.text[: item.start_mark.index] + self.text[upto:]
        start = self.text.rfind("\n", 0, item.start_mark.index) + 1
        if self.text[start : item.start_mark.index].strip() != "-":
            raise CannotAmend("This condition cannot be removed here. Remove it in the text.")
        if len(items) == 1:  # a key with nothing below it is no list
            raise CannotAmend("Remove the last condition in the text, with its key.")
        line_end = self.text.find("\n", end)
        return self.text[:start] + (self.text[line_end + 1 :] if line_end >= 0 else "")

    def _added(self, value: str, flow: bool) -> str:
        items = self.node.value
        if flow:
            at = self._amender._end(items[-1]) if items else self.node.start_mark.index + 1
            return f"{self.text[:at]}{', ' if items else ''}{_scalar(value)}{self.text[at:]}"
        dash = " " * self.node.start_mark.column
        line = f"{dash}- {_scalar(value, block=True)}"
        return self._amender._after_line(self._amender._end(items[-1]), line)


def _written(value: str | Sequence[str]) -> str:
    """As it stands in a document, in a block or between braces."""
    if not isinstance(value, str):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    return _scalar(value)


def _scalar(text: str, *, block: bool = False) -> str:
    """``block``: in a list of lines, where commas and brackets need no quotes."""
    import yaml

    try:
        node: Any = yaml.compose(f"- {text}" if block else f"[{text}]", Loader=yaml.SafeLoader)
        items = node.value
        plain = len(items) == 1 and isinstance(items[0], yaml.ScalarNode) and items[0].style is None
        if plain and items[0].value == text:
            return text
    except yaml.YAMLError:
        pass
    return json.dumps(text, ensure_ascii=False)


def written(text: str) -> dict[str, tuple[Parameter, str]]:
    """Every parameter that stands in the text, as its author wrote it, whether its value is right or not: a
    list as its items with commas between. Empty for a text that is not YAML."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return {}
    found: dict[str, tuple[Parameter, str]] = {}

    def take(node: Any, address: str, kind: type, aliases: Mapping[str, str], main: str | None) -> None:
        specs = {spec.name: spec for spec in parameters_of(kind)}
        if isinstance(node, yaml.ScalarNode) and main and node.value not in ("", "~", "null"):
            found[f"{address}.{main}"] = (specs[main], node.value)
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            name = aliases.get(key.value, key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in specs and (shown := _as_typed(value)) is not None:
                found[f"{address}.{name}"] = (specs[name], shown)

    steps = _member(root, ("steps",))
    for s, step in enumerate(steps[1].value if steps and isinstance(steps[1], yaml.SequenceNode) else ()):
        named = _member(step, ("actions",))
        items = named[1] if named else step
        for a, item in enumerate(items.value if isinstance(items, yaml.SequenceNode) else [items]):
            action = _member(item, tuple(KINDS))
            if action:
                cls = KINDS[action[0].value]
                take(action[1], f"step.{s}.{a}", cls, cls.aliases, cls.main)
    parties = _member(root, ("parties",))
    for key, value in parties[1].value if parties and isinstance(parties[1], yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            take(value, f"party.{key.value}", Party, Party.aliases, None)
    for name, kind in HEAD_BLOCKS.items():
        block = _member(root, (name,))
        if block:
            take(block[1], name, kind, {}, kind.main or None)
    for name, spec in DOCUMENT_PARAMETERS.items():
        entry = _member(root, (name,))
        if entry and (shown := _as_typed(entry[1])) is not None:
            found[name] = (spec, shown)
    return found


def _as_typed(node: Any) -> str | None:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in node.value):
        return ", ".join(one.value for one in node.value)
    return None


class _Amender:
    def __init__(self, text: str, value: str | Sequence[str] | None) -> None:
        self.text, self.value = text, value

    def change(self, root: Any, address: str) -> str:
        step = re.fullmatch(r"step\.(\d+)\.(\d+)\.(\w+)", address)
        party = re.fullmatch(r"party\.([A-Za-z][\w-]*)\.(\w+)", address)
        if step:
            return self._in_action(root, int(step[1]), int(step[2]), step[3])
        if party:
            return self._in_party(root, party[1], party[2])
        if address in DOCUMENT_PARAMETERS:
            return self._in_head(root, address)
        block, _, name = address.partition(".")
        if block in HEAD_BLOCKS and name:
            return self._in_head_block(root, block, name)
        raise CannotAmend(f"This test has no parameter {address}.")

    # where

    def _in_action(self, root: Any, step: int, number: int, name: str) -> str:
        import yaml

        node: Any = None
        try:
            node = _member(root, ("steps",))[1].value[step]  # type: ignore[index]
            actions = _member(node, ("actions",)) if isinstance(node, yaml.MappingNode) else None
            node = actions[1] if actions else node
            node = node.value[number] if isinstance(node, yaml.SequenceNode) else node
        except (TypeError, IndexError, AttributeError):
            raise CannotAmend(f"There is no action step.{step}.{number}.") from None
        if isinstance(node, yaml.ScalarNode):  # ``- register``
            if self.value is None:
                return self.text
            return self._replace(node, f"{node.value}: {{{name}: {_written(self.value)}}}")
        found = _member(node, tuple(KINDS))
        if found is None:
            raise CannotAmend(f"There is no action step.{step}.{number}.")
        key, body = found
        kind = KINDS[key.value]
        return self._in_holder(body, name, {a for a, b in kind.aliases.items() if b == name}, kind.main)

    def _in_party(self, root: Any, party: str, name: str) -> str:
        import yaml

        parties = _member(root, ("parties",))
        if parties is None or not isinstance(parties[1], yaml.MappingNode):
            raise CannotAmend(f"The document has no block for {party}. Write it under parties.")
        holder = _member(parties[1], (party,))
        if holder is None:
            raise CannotAmend(f"The document has no block for {party}. Write it under parties.")
        aliases = {alias for alias, own in Party.aliases.items() if own == name}
        return self._in_holder(holder[1], name, aliases, None)

    def _in_head(self, root: Any, name: str) -> str:
        if _member(root, (name,)) is not None:
            return self._in_holder(root, name, set(), None)
        if self.value is None:
            return self.text
        return self._new_head(root, name, _written(self.value))

    def _in_head_block(self, root: Any, block: str, name: str) -> str:
        found = _member(root, (block,))
        if found is not None:
            return self._in_holder(found[1], name, set(), HEAD_BLOCKS[block].main or None)
        if self.value is None:
            return self.text
        return self._new_head(root, block, f"{{{name}: {_written(self.value)}}}")

    def _new_head(self, root: Any, name: str, written: str) -> str:
        line = f"{name}: {written}"
        if root.flow_style:
            return self._entry_in_braces(root, line)
        before = [value for key, value in root.value if key.value in _HEAD_KEYS]
        if not before:
            at = root.start_mark.index
            return f"{self.text[:at]}{line}\n{self.text[at:]}"
        return self._after_line(self._end(before[-1]), line)

    # how

    def _in_holder(self, node: Any, name: str, aliases: set[str], main: str | None) -> str:
        import yaml

        if isinstance(node, yaml.ScalarNode):
            return self._in_scalar(node, name, main)
        if not isinstance(node, yaml.MappingNode):
            raise CannotAmend("This is written as a list. Change it in the text.")
        found = _member(node, (name, *aliases))
        if found is not None and self.value is None:
            return self._without(node, found)
        if found is not None:
            return self._replace(found[1], _written(self.value or ""))
        if self.value is None:
            return self.text
        if node.flow_style:
            return self._add_in_braces(node, name)
        indent = " " * node.value[0][0].start_mark.column
        return self._after_line(self._end(node.value[-1][1]), f"{indent}{name}: {_written(self.value)}")

    def _in_scalar(self, node: Any, name: str, main: str | None) -> str:
        """``bob:`` with nothing after it, or ``wait: 1 s``."""
        empty = node.value in ("", "~", "null") and node.style is None
        if self.value is None:
            if main == name and not empty:
                raise CannotAmend(f"{name} cannot be removed here.")
            return self.text
        if empty:
            return self._replace(node, f"{{{name}: {_written(self.value)}}}")
        if main == name:
            return self._replace(node, _written(self.value))
        if main is None:
            raise CannotAmend("This party is written as user:password. Change it in the text.")
        return self._replace(node, f"{{{main}: {_scalar(node.value)}, {name}: {_written(self.value)}}}")

    def _add_in_braces(self, node: Any, name: str) -> str:
        return self._entry_in_braces(node, f"{name}: {_written(self.value or '')}")

    def _entry_in_braces(self, node: Any, entry: str) -> str:
        if node.value:
            at = self._end(node.value[-1][1])
            return f"{self.text[:at]}, {entry}{self.text[at:]}"
        at = node.start_mark.index + 1
        return f"{self.text[:at]}{entry}{self.text[at:]}"

    def _replace(self, node: Any, new: str) -> str:
        start, end = node.start_mark.index, self._end(node)
        before = self.text[:start].rstrip()
        if before.endswith(":") and "\n" in self.text[len(before) : start]:
            start = len(before)  # a block below its key: the value goes beside the key
        blank = "" if self.text[start - 1 : start] in ("", " ", "\n", "[", "{") else " "
        return f"{self.text[:start]}{blank}{new}{self.text[end:]}"

    def _without(self, node: Any, entry: tuple[Any, Any]) -> str:
        entries = node.value
        at = entries.index(entry)
        if node.flow_style:
            if at:
                return self.text[: self._end(entries[at - 1][1])] + self.text[self._end(entry[1]) :]
            following = entries[1][0].start_mark.index if len(entries) > 1 else self._end(entry[1])
            return self.text[: entry[0].start_mark.index] + self.text[following:]
        start = self.text.rfind("\n", 0, entry[0].start_mark.index) + 1
        if self.text[start : entry[0].start_mark.index].strip() or len(entries) == 1:
            raise CannotAmend("This cannot be removed here. Remove it in the text.")
        end = self.text.find("\n", self._end(entry[1]))
        return self.text[:start] + (self.text[end + 1 :] if end >= 0 else "")

    def _after_line(self, at: int, line: str) -> str:
        end = self.text.find("\n", at)
        if end < 0:
            return f"{self.text}\n{line}\n"
        return f"{self.text[:end]}\n{line}{self.text[end:]}"

    def _end(self, node: Any) -> int:
        """Where its text ends: what YAML counts to a block after its last word is not part of it."""
        start: int = node.start_mark.index
        end: int = node.end_mark.index
        lines = self.text[start:end].split("\n")
        while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            lines.pop()
        if len(lines) == 1:
            return start + len(lines[0].rstrip())
        return start + len("\n".join(lines).rstrip())


def _member(node: Any, names: Sequence[str]) -> tuple[Any, Any] | None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in names:
            return key, value
    return None


def _plain(node: Any) -> Any:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return {str(_plain(key)): _plain(value) for key, value in node.value}


def _other_changes(before: Any, after: Any, address: str) -> bool:
    """Whether anything but the holder of the parameter changed, or in it anything but the parameter."""
    parts = address.split(".")
    path: list[Any] = ["parties", *parts[1:2]] if parts[0] == "party" else []
    if parts[0] == "step":
        path = ["steps", int(parts[1]), int(parts[2])]
    elif parts[0] in HEAD_BLOCKS and isinstance(before, dict) and isinstance(before.get(parts[0]), dict):
        path = parts[:1]
    return bool(_difference(before, after, path, parts[-1]))


def _difference(before: Any, after: Any, path: list[Any], name: str) -> bool:
    if not path:
        return _more_than(before, after, name)
    step, *rest = path
    if isinstance(step, str):
        if not isinstance(before, dict) or not isinstance(after, dict) or {*before} ^ {*after}:
            return True
        if any(before[k] != after[k] for k in before if k != step):
            return True
        return _difference(before.get(step), after.get(step), rest, name)
    if isinstance(before, dict) and isinstance(after, dict):
        if "actions" in before:  # a step with a name
            return _difference(before, after, ["actions", *path], name)
        return _more_than(before, after, name) if step == 0 else True
    if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after):
        return True
    if any(one != two for n, (one, two) in enumerate(zip(before, after, strict=True)) if n != step):
        return True
    if step >= len(before):
        return True
    return _difference(before[step], after[step], rest, name)


def _more_than(before: Any, after: Any, name: str) -> bool:
    """Of two actions, parties or heads: whether more than one entry changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        kinds = [k for k in before if k in KINDS and k in after]
        if kinds and isinstance(before[kinds[0]], dict | str) and before[kinds[0]] != after[kinds[0]]:
            rest = any(before[k] != after.get(k) for k in before if k != kinds[0]) or {*before} ^ {*after}
            return bool(rest) or _more_than(before[kinds[0]], after[kinds[0]], name)
        changed = [k for k in {**before, **after} if before.get(k) != after.get(k)]
        return len(changed) > 1
    return False
