"""YAML 1.2 as plain data with the line and column of every key, and without what makes YAML dangerous.

Aliases, anchors, tags, duplicate keys and absurd depth are mistakes. All of them are reported, not only the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

_DEEPEST = 32
_LARGEST = 4 * 1024 * 1024

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Position:
    """Where something stands, line and column counted from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Any) -> Position:
        return cls(mark.line + 1, mark.column + 1)


@dataclass(frozen=True)
class Document:
    """A YAML document: its data, where each path stands, and the mistakes that YAML itself already shows."""

    data: Any
    positions: Mapping[Path, Position] = field(default_factory=dict)
    mistakes: tuple[tuple[Position, str], ...] = ()

    def at(self, path: Path) -> Position:
        """The position of ``path``, or of the nearest thing around it that stands somewhere."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1))


def read(text: str) -> Document:
    """Read one YAML document. Whatever is wrong is in ``mistakes``; then ``data`` holds what could still be read.

    >>> document = read("a: 1\\nb: [x, 2]\\na: 3\\n")
    >>> document.data, document.at(("b", 1))
    ({'a': 1, 'b': ['x', 2]}, Position(line=2, column=8))
    >>> document.mistakes
    ((Position(line=3, column=1), "key 'a' stands here a second time; first in line 1"),)
    """
    if len(text) > _LARGEST:
        return Document(None, mistakes=((Position(1, 1), f"larger than {_LARGEST} characters: not a policy"),))
    try:
        mistakes = _dangers(text)
        if mistakes:
            return Document(None, mistakes=tuple(mistakes))
        node = _yaml().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Position(1, 1) if mark is None else Position.of(mark)
        return Document(None, mistakes=((where, f"not YAML: {error.problem or error.context}"),))
    except ReaderError as error:
        lines = text[: error.position].split("\n")
        where = Position(len(lines), len(lines[-1]) + 1)
        return Document(None, mistakes=((where, f"not YAML: the character {chr(error.character)!r} is not allowed"),))
    except (YAMLError, ValueError, OverflowError) as error:
        return Document(None, mistakes=((Position(1, 1), f"not YAML: {error}"),))
    builder = _Builder()
    data = None if node is None else builder.build(node, ())
    return Document(data, builder.positions, tuple(builder.mistakes))


def _yaml() -> Any:
    yaml = YAML(typ="rt", pure=True)
    yaml.version = None
    return yaml


def _dangers(text: str) -> list[tuple[Position, str]]:
    mistakes: list[tuple[Position, str]] = []
    depth = documents = 0
    for event in _yaml().parse(text):
        where = Position.of(event.start_mark)
        if isinstance(event, AliasEvent):
            mistakes.append((where, f"alias *{event.anchor}: write it out; aliases are not allowed in a policy"))
        elif isinstance(event, NodeEvent) and event.anchor:
            mistakes.append((where, f"anchor &{event.anchor}: aliases are not allowed in a policy"))
        tag = getattr(event, "tag", None)
        if tag is not None:
            mistakes.append((where, f"tag {tag}: tags are not allowed in a policy"))
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return [*mistakes, (where, f"nested more than {_DEEPEST} deep: not a policy")]
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if isinstance(event, DocumentStartEvent):
            if event.version not in (None, (1, 2)):
                mistakes.append((where, "a %YAML directive: a policy is read as YAML 1.2"))
            documents += 1
            if documents > 1:
                return [*mistakes, (where, "a second document: a policy file holds one")]
    return mistakes


class _Builder:
    def __init__(self) -> None:
        self.positions: dict[Path, Position] = {}
        self.mistakes: list[tuple[Position, str]] = []

    def build(self, node: Node, path: Path) -> Any:
        self.positions.setdefault(path, Position.of(node.start_mark))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: Path) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            where = Position.of(key_node.start_mark)
            if not isinstance(key_node, ScalarNode):
                self.mistakes.append((where, "a key must be a plain name"))
                continue
            key = str(key_node.value)
            if key in data:
                first = self.positions[(*path, key)]
                self.mistakes.append((where, f"key {key!r} stands here a second time; first in line {first.line}"))
                continue
            self.positions[(*path, key)] = where
            data[key] = self.build(value_node, (*path, key))
            if not isinstance(value_node, (MappingNode, SequenceNode)):
                self.positions[(*path, key)] = where
        return data

    def _scalar(self, node: Node) -> Any:
        text, kind = str(node.value), str(node.tag).rsplit(":", 1)[-1]
        try:
            if kind == "int":
                digits = text.replace("_", "")
                base = {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2].lower(), 10)
                number = int(digits, base)
                if not -(2**63) <= number < 2**64:  # no column holds it, and arithmetic would overflow
                    self.mistakes.append((Position.of(node.start_mark), "a number of more than 64 bits"))
                    return text
                return number
            if kind == "float":
                lowered = text.replace("_", "").lower()
                return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            return text
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        return text
