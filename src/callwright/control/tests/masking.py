"""Documents for those who may not change them: passwords, secret headers and the values of conditions on
such headers are masked, the rest is as written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from callwright.evidence.redaction import HIDDEN, Redactor, is_secret_header, redacted_condition
from callwright.scenario.parameter import Secret, parameters_of
from callwright.scenario.party import Party

__all__ = ["masked_document", "masked_parameters"]

_SECRETS = frozenset(spec.name for spec in parameters_of(Party) if isinstance(spec.type, Secret))
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_NAMED = re.compile(r"([\w!#$%&'*+.^`|~-]+?)[\"']?\s*:\s*(?=\S)")
_CONDITION = re.compile(r"(?:[\w.-]+\.)?header\s.*")
_SECRET_LINE = re.compile(rf"(?im)^(.*\b(?:{'|'.join(_SECRETS)})\b[\"']?\s*:\s*)(\S.*)$")


def masked_document(text: str) -> str:
    """What is masked keeps its place; a document that is not YAML is masked line by line."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        lines = Redactor().message(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        return _SECRET_LINE.sub(rf"\1{HIDDEN}", "\n".join(map(_masked_line, lines.split("\n"))))
    spots = sorted(_secret_spots(root), key=lambda spot: spot[0].start_mark.index, reverse=True)
    for node, value in spots:
        start, end = node.start_mark.index, node.end_mark.index
        tail = "\n" if node.style in ("|", ">") and text[start:end].endswith("\n") else ""
        text = f"{text[:start]}{json.dumps(value, ensure_ascii=False)}{tail}{text[end:]}"
    return Redactor().text(text)


def _masked_line(line: str) -> str:
    """A line of what is not YAML: whatever follows the name of a secret header, or a condition on one."""
    for named in _NAMED.finditer(line):
        if is_secret_header(named[1].strip("'")):
            return f"{line[: named.end()]}{HIDDEN}"
    return _CONDITION.sub(lambda condition: redacted_condition(condition[0]), line)


def masked_parameters(parameters: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Views of parameters as ``GET /tests`` has them, secret headers and passwords in URIs masked."""
    redactor = Redactor()

    def masked(view: dict[str, Any]) -> Any:
        value = view["value"]
        if view["type"] == "headers" and value:
            return [redactor.header_line(line) for line in value]
        return redactor.text(value) if isinstance(value, str) else value

    return [view | {"value": masked(view)} for view in parameters]


def _secret_spots(root: Any) -> Iterator[tuple[Any, str]]:
    """Scalars that hold a secret, and what stands in their place. Aliases are visited once."""
    import yaml

    seen: set[int] = set()
    waiting: list[tuple[Any, str]] = [(root, "")]
    while waiting:
        node, key = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                named = str(name.value) if isinstance(name, yaml.ScalarNode) else ""
                if key == "headers" and isinstance(value, yaml.ScalarNode):
                    yield from _of_header(value, named, value.value)
                elif key == "parties" and isinstance(value, yaml.ScalarNode):
                    yield from _of_account(value)
                elif named in _SECRETS and isinstance(value, yaml.ScalarNode):
                    yield from _of_secret(value)
                else:
                    waiting.append((value, named))
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                if key == "headers" and isinstance(item, yaml.ScalarNode):
                    yield from _of_line(item)
                else:
                    waiting.append((item, key))
        elif key == "headers" and isinstance(node, yaml.ScalarNode):
            yield from _of_line(node)
        elif isinstance(node, yaml.ScalarNode):
            yield from _of_condition(node)


def _of_secret(node: Any) -> Iterator[tuple[Any, str]]:
    if node.value and not _VARIABLE.fullmatch(node.value):
        yield node, HIDDEN


def _of_account(node: Any) -> Iterator[tuple[Any, str]]:
    """``alice: user:password``."""
    user, colon, password = node.value.partition(":")
    if colon and password and not _VARIABLE.fullmatch(password):
        yield node, f"{user}:{HIDDEN}"


def _of_condition(node: Any) -> Iterator[tuple[Any, str]]:
    """``header X-Api-Key of INVITE = value``, wherever it stands."""
    written = " ".join(node.value.split())
    kept = redacted_condition(written)
    if kept != written and not _VARIABLE.fullmatch(written[len(kept) - len(HIDDEN) :]):
        yield node, kept


def _of_header(node: Any, name: str, value: str) -> Iterator[tuple[Any, str]]:
    kept = Redactor().header(name, value)
    if kept != value and not _VARIABLE.fullmatch(value.strip()):
        yield node, kept


def _of_line(node: Any) -> Iterator[tuple[Any, str]]:
    """``Name: value`` as an item of a list."""
    kept = Redactor().header_line(node.value)
    if kept != node.value and not _VARIABLE.fullmatch(node.value.partition(":")[2].strip()):
        yield node, kept
