"""A policy with what it extends, as one document: the child's words over the parent's, and each still in its place.

Mappings are merged key by key, rules by their ``id``, waivers are added; everything else is replaced. A rule that an
ancestor has ``locked`` cannot be restated below, nor what decides it: the evidence, what to do without an incumbent,
what that ancestor says of the held-out set, and the task, but for those of its keys that are left open
(``task.left_open``). An environment is laid over the policy in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from gate.policy.source import Document, Path, Position, read

_ALWAYS_DECIDES = ("evidence", "on_missing_incumbent")
_DECIDES_IF_STATED = ("task", "holdout")
_DEFAULTS = {"kind": "classification", "continuous": False}  # of the task; of its other keys nothing
_WEIGH_ROWS = ("exclusions", "weight", "cluster", "sample")  # of the held-out set: which rows count, and for how much


@dataclass(frozen=True)
class Place:
    """Where something stands: the file as messages name it, line and column."""

    file: str
    position: Position

    def __str__(self) -> str:
        return f"{self.file}:{self.position.line}:{self.position.column}"


@dataclass(frozen=True)
class Family:
    """A document merged from one file or several: its data, where each part of it stands, and what is wrong so far.

    ``overlaid`` says that other words were laid over some: those of a child, or of an environment.
    """

    file: str
    data: Any
    places: Mapping[Path, Place] = field(default_factory=dict)
    mistakes: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    overlaid: bool = False

    def at(self, path: Path) -> Place:
        """The place of ``path``, or of the nearest thing around it that stands somewhere."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(self.file, Position(1, 1)))

    @property
    def locked(self) -> dict[str, Place]:
        """The ids of the locked rules, and where they stand."""
        if not isinstance(self.data, dict):
            return {}
        rules = self.data.get("rules")
        return {
            rule["id"]: self.at(("rules", index))
            for index, rule in enumerate(rules if isinstance(rules, list) else [])
            if isinstance(rule, dict) and rule.get("locked") is True and isinstance(rule.get("id"), str)
        }


def read_family(text: str, file: str, folder: FilePath | None) -> Family:
    """Read a policy's text and all that it extends; ``folder`` is where it stands, None if it stands nowhere.

    Whatever is wrong is in ``mistakes``: a parent that is missing, that leaves the folder of its child (also by a
    link), that is a URL, or that leads back to where it came from.

    >>> read_family("version: 1\\nname: x\\n", "p.yaml", None).at(("name",))
    Place(file='p.yaml', position=Position(line=2, column=1))
    """
    chain = () if folder is None else (os.path.realpath(folder / FilePath(file).name),)
    return _read(text, file, folder, chain)


def _read(text: str, file: str, folder: FilePath | None, chain: tuple[str, ...]) -> Family:
    own = _alone(read(text), file)
    if not isinstance(own.data, dict) or "extends" not in own.data:
        return own
    place = own.at(("extends",))
    data = {key: value for key, value in own.data.items() if key != "extends"}
    child = Family(file, data, own.places, own.mistakes, own.files)
    found = _parent(own.data["extends"], file, folder, chain)
    if isinstance(found, str):
        return Family(file, data, own.places, (*own.mistakes, (str(place), f"extends: {found}")), own.files)
    return laid_over(found, child, "rules")


def _parent(named: Any, file: str, folder: FilePath | None, chain: tuple[str, ...]) -> Family | str:
    """The family of the parent, or what is wrong with it."""
    if not isinstance(named, str) or not named.strip():
        return f"must name one local file; found {named!r}"
    if "://" in named:
        return f"must be a local file, not a URL; found {named!r}"
    if folder is None:
        return "a policy that stands in no file cannot extend one"
    path = folder / named
    try:
        real, root = os.path.realpath(path), os.path.realpath(folder)
    except ValueError:  # a NUL or half a surrogate pair
        return f"{named!r} cannot be the name of a file"
    if os.path.commonpath([real, root]) != root:
        return f"{named!r} leaves the folder of this policy; the parent stands beside it, or below"
    if real in chain:
        return f"{named!r} leads back to where it came from"
    shown = os.path.join(os.path.dirname(file), named)
    try:
        text = FilePath(real).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return f"there is no file {shown}"
    except (OSError, UnicodeDecodeError) as error:
        return f"{shown} cannot be read: {error}"
    return _read(text, shown, FilePath(real).parent, (*chain, real))


def _alone(document: Document, file: str) -> Family:
    places = {path: Place(file, position) for path, position in document.positions.items()}
    mistakes = tuple((str(Place(file, position)), found) for position, found in document.mistakes)
    return Family(file, document.data, places, mistakes, (file,))


def environment(family: Family, name: str) -> Family:
    """The family with one of its environments laid over it.

    ``name`` must be one of its environments. The environments themselves are left out.
    """
    overlay = family.data["environments"][name]
    prefix: Path = ("environments", name)
    places = {path[2:]: place for path, place in family.places.items() if path[:2] == prefix}
    base = {key: value for key, value in family.data.items() if key != "environments"}
    below = Family(family.file, base, family.places, family.mistakes, family.files)
    if not isinstance(overlay, dict):
        return below
    return laid_over(below, Family(family.file, overlay, places), f"environments.{name}.rules")


def laid_over(parent: Family, child: Family, rules_of_child: str) -> Family:
    """The child's words over the parent's; mistakes of both, and what the child restates that is locked."""
    if not isinstance(parent.data, dict) or not isinstance(child.data, dict):
        return Family(child.file, child.data, child.places, (*parent.mistakes, *child.mistakes), child.files)
    data: dict[str, Any] = dict(parent.data)
    places = dict(parent.places)
    for key, value in child.data.items():
        if key == "rules" and isinstance(value, list) and isinstance(data.get("rules"), list):
            data["rules"] = _rules(data["rules"], value, places, child)
        elif key == "waivers" and isinstance(value, list) and isinstance(data.get("waivers"), list):
            _moved(places, child, ("waivers",), len(data["waivers"]))
            data["waivers"] = [*data["waivers"], *value]
        elif key == "environments" and isinstance(value, dict) and isinstance(data.get("environments"), dict):
            found = _environments(parent, child)
            data["environments"] = {**data["environments"], **found.data}
            places.update(found.places)
        else:
            data[key] = _merged(data.get(key), value)
            places.update({path: place for path, place in child.places.items() if path[:1] == (key,)})
    restated = (*_restated(parent, child, rules_of_child), *_restated_there(parent, child, rules_of_child))
    mistakes = (*parent.mistakes, *child.mistakes, *restated)
    return Family(child.file, data, places, mistakes, (*parent.files, *child.files), overlaid=True)


def _part(family: Family, prefix: Path) -> Family:
    """What stands at ``prefix``, as a family of its own."""
    data = family.data
    for key in prefix:
        data = data[key]
    size = len(prefix)
    places = {path[size:]: place for path, place in family.places.items() if path[:size] == prefix}
    return Family(family.file, data, places)


def _environments(parent: Family, child: Family) -> Family:
    """The child's environments, each laid over the parent's of that name, where there is one."""
    data: dict[str, Any] = {}
    places: dict[Path, Place] = {}
    for name, overlay in child.data["environments"].items():
        prefix: Path = ("environments", name)
        laid = _part(child, prefix)
        if isinstance(overlay, dict) and isinstance(parent.data["environments"].get(name), dict):
            laid = laid_over(_part(parent, prefix), laid, "rules")  # what it restates is told by _restated_there
        data[name] = laid.data
        places.update({(*prefix, *path): place for path, place in laid.places.items()})
    return Family(child.file, data, places)


def _restated_there(parent: Family, child: Family, rules_of_child: str) -> Iterator[tuple[str, str]]:
    """What the child restates, in an environment or for all of them, that is locked in one of the parent's."""
    above, below = (family.data.get("environments") for family in (parent, child))
    for name, overlay in above.items() if isinstance(above, dict) else ():
        if isinstance(overlay, dict) and _part(parent, ("environments", name)).locked:
            there = environment(parent, name)
            yield from _restated(there, child, rules_of_child)
            if isinstance(below, dict) and isinstance(below.get(name), dict):
                yield from _restated(there, _part(child, ("environments", name)), f"environments.{name}.rules")


def _merged(above: Any, below: Any) -> Any:
    if isinstance(above, dict) and isinstance(below, dict):
        return {**above, **{key: _merged(above.get(key), value) for key, value in below.items()}}
    return below


def _rules(above: list[Any], below: list[Any], places: dict[Path, Place], child: Family) -> list[Any]:
    rules = list(above)
    at = {rule["id"]: i for i, rule in enumerate(rules) if isinstance(rule, dict) and isinstance(rule.get("id"), str)}
    fresh: set[Any] = set()  # an id that stands twice in one file is a mistake of that file, not an overlay
    for index, rule in enumerate(below):
        name = rule.get("id") if isinstance(rule, dict) else None
        if isinstance(name, str) and name in at and name not in fresh:
            place = at[name]
            rules[place] = _merged(rules[place], rule)
        else:
            place = len(rules)
            rules.append(rule)
        if isinstance(name, str):
            fresh.add(name)
        for path, where in child.places.items():
            if path[:2] == ("rules", index):
                places[("rules", place, *path[2:])] = where
    return rules


def _moved(places: dict[Path, Place], child: Family, prefix: Path, by: int) -> None:
    size = len(prefix)
    for path, where in child.places.items():
        if path[:size] == prefix and len(path) > size:
            places[(*prefix, path[size] + by, *path[size + 1 :])] = where


def _restated(parent: Family, child: Family, rules_of_child: str) -> Iterator[tuple[str, str]]:
    locked = parent.locked
    if not locked or not isinstance(child.data, dict):
        return
    some, where = next(iter(locked.items()))
    rules = child.data.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        name = rule.get("id") if isinstance(rule, dict) else None
        if isinstance(name, str) and name in locked:
            yield (
                str(child.at(("rules", index))),
                f"{rules_of_child}[{index}] {name!r}: the rule is locked in {locked[name]} and cannot be restated",
            )
    for key in _ALWAYS_DECIDES:
        if key in child.data:
            stated = child.data[key]
            for path in [(key, below) for below in stated] if isinstance(stated, dict) else [(key,)]:
                yield str(child.at(path)), f"{'.'.join(path)}: decides rule {some!r}, which is locked in {where}"
    stated, above = (family.data.get("holdout") for family in (child, parent))
    for key in _WEIGH_ROWS:
        if isinstance(stated, dict) and key in stated and not (isinstance(above, dict) and key in above):
            path = ("holdout", key)
            yield str(child.at(path)), f"{'.'.join(path)}: decides rule {some!r}, which is locked in {where}"
    above, below = (family.data.get("task") for family in (parent, child))
    for key in _not_left_open(above if isinstance(above, dict) else {}, below if isinstance(below, dict) else {}):
        told = "" if key == "left_open" else "; say it there, or leave it open there (task.left_open)"
        yield str(child.at(("task", key))), f"task.{key}: decides rule {some!r}, which is locked in {where}{told}"
    for key in (key for key in _DECIDES_IF_STATED if key in child.data):
        for path in _both_state(parent.data.get(key), child.data.get(key), (key,)):
            yield str(child.at(path)), f"{'.'.join(path)}: decides rule {some!r}, which is locked in {where}"


def _not_left_open(above: dict[str, Any], below: dict[str, Any]) -> Iterator[str]:
    """What ``below`` says of a task of which ``above`` says nothing, so that a default would hold."""
    left = above.get("left_open")
    for key, value in below.items():
        if above.get(key) is not None or (isinstance(left, list) and key in left):
            continue
        default = _DEFAULTS.get(key)
        if type(value) is not type(default) or value != default:
            yield key


def _both_state(above: Any, below: Any, path: Path) -> Iterator[Path]:
    whole = path[:-1] == ("holdout", "slices")  # a slice is one thing: bins make other cells of its column
    if isinstance(above, dict) and isinstance(below, dict) and not whole:
        for key, value in below.items():
            if key in above:
                yield from _both_state(above[key], value, (*path, key))
    elif above is not None:  # null takes back what was stated
        yield path
