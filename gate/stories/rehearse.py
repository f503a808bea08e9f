"""The story of `gate policy test`: policies held against fixture predictions whose verdict is known.

A fixture is a YAML file: a policy, predictions, and what is expected of them. See ``docs/policy.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gate.core.judgement import Finding, Status, Verdict
from gate.core.outcomes import Value
from gate.errors import EvidenceError, Problem, UsageError, did_you_mean
from gate.policy.load import load_policy
from gate.policy.rules import Policy
from gate.policy.source import Document, read
from gate.policy.source import Path as Steps
from gate.report import words
from gate.stories.compare import compare

_KEYS = ("name", "policy", "environment", "as_of", "predictions", "label", "incumbent", "candidate", "id", "expect")
_OF_EXPECT = ("verdict", "findings")
_OF_FINDING = ("rule", "status", "cell")
_TIMES = "times"
_VERDICTS = [verdict.value for verdict in Verdict]
_STATUSES = [status.value for status in Status]


@dataclass(frozen=True)
class Expected:
    """What a fixture expects of one rule: in the named cell, or in any of its cells if none is named."""

    rule: str
    status: Status
    of_cell: bool
    cell: Value
    where: str


@dataclass(frozen=True)
class Case:
    """One fixture, read and found sound. ``predictions`` is a path, or a table of the rows that the fixture lists."""

    name: str
    policy: Policy
    predictions: Any
    columns: Mapping[str, Any]
    as_of: str | None
    verdict: Verdict
    findings: tuple[Expected, ...]


@dataclass(frozen=True)
class Rehearsed:
    """What became of one case: ``surprises`` is empty if all was as expected."""

    name: str
    verdict: Verdict | None
    surprises: tuple[str, ...]

    @property
    def as_expected(self) -> bool:
        return not self.surprises


def rehearse(fixtures: Iterable[str | os.PathLike[str]]) -> Iterator[Rehearsed]:
    """Judge each fixture's predictions by its policy, and say whether the verdict is the expected one.

    ``fixtures`` are files, or folders whose YAML files (but policies) are taken, in the order of their names. All are
    read before the first is judged: UsageError for every mistake in them at once, with file and line, and for a folder
    without a fixture. Predictions that cannot be trusted are a surprise.

    Example::

        all(case.as_expected for case in rehearse(["policies/tests"]))
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    for file in _files(fixtures, problems):
        cases += _cases(file, problems)
    if problems:
        raise UsageError(problems=problems)
    return (_judged(case) for case in cases)


def _judged(case: Case) -> Rehearsed:
    try:
        judged = compare(case.predictions, policy=case.policy, samples=0, as_of=case.as_of, **case.columns)
    except (EvidenceError, UsageError) as error:
        told = tuple(f"it could not be judged: {problem}" for problem in error.problems)
        return Rehearsed(case.name, None, told)
    surprises = []
    if judged.verdict is not case.verdict:
        stood = [f"{f.rule} {f.status.value}" for f in judged.decision.findings if f.status is not Status.PASS]
        more = f" ({', '.join(dict.fromkeys(stood))})" if stood else ""
        surprises.append(f"the verdict is {judged.verdict.value}, expected {case.verdict.value}{more}")
    for expected in case.findings:
        surprises += _surprise(expected, [f for f in judged.decision.findings if f.rule == expected.rule])
    return Rehearsed(case.name, judged.verdict, tuple(surprises))


def _surprise(expected: Expected, found: Sequence[Finding]) -> Iterator[str]:
    rule = words.printable(expected.rule)
    if expected.of_cell:
        found = [f for f in found if type(f.cell.value) is type(expected.cell) and f.cell.value == expected.cell]
        if not found:
            yield f"{expected.where}: rule {rule} has no cell {words.name(expected.cell)}; 1 and '1' differ"
            return
        rule = f"{rule}, {words.cell(found[0].cell)},"
    statuses = list(dict.fromkeys(finding.status.value for finding in found))
    if expected.status.value not in statuses:
        is_ = " and ".join(statuses) or "not judged"
        yield f"{expected.where}: rule {rule} is {is_}, expected {expected.status.value}"


# reading fixtures


def _files(fixtures: Iterable[str | os.PathLike[str]], problems: list[Problem]) -> Iterator[tuple[str, Document]]:
    for given in fixtures:
        path = Path(given)
        if not path.is_dir():
            document = _document(path, problems)
            if document is not None:
                yield os.fspath(given), document
            continue
        found = [file for file in sorted(path.rglob("*")) if file.suffix in (".yaml", ".yml") and file.is_file()]
        of_folder = [(str(file), _document(file, problems)) for file in found]
        cases = [(file, read_) for file, read_ in of_folder if read_ is not None and not _is_policy(read_)]
        if not cases:
            problems.append(
                Problem("no fixture in it", str(path), "a fixture is a YAML file with policy, predictions and expect")
            )
        yield from cases


def _document(file: Path, problems: list[Problem]) -> Document | None:
    try:
        return read(file.read_text("utf-8"))
    except FileNotFoundError:
        problems.append(Problem("no such fixture", str(file), "is the path right?"))
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(f"cannot be read: {error}", str(file)))
    return None


def _is_policy(document: Document) -> bool:
    return isinstance(document.data, dict) and "rules" in document.data and "expect" not in document.data


def _cases(source: tuple[str, Document], problems: list[Problem]) -> list[Case]:
    """The case of a file, or its list of ``cases``, each over what the file says for all of them."""
    file, document = source
    before = len(problems)
    problems += [Problem(found, f"{file}:{at.line}:{at.column}") for at, found in document.mistakes]
    data = document.data
    if not isinstance(data, dict):
        if not document.mistakes:
            problems.append(Problem("a fixture is a mapping with policy, predictions and expect", f"{file}:1:1"))
        return []
    reader = _Reader(file, document, problems)
    if "cases" not in data:
        case = reader.case(data, dict.fromkeys(data, ()), file)
        return [case] if case is not None and len(problems) == before else []
    several, common = data["cases"], {key: value for key, value in data.items() if key != "cases"}
    if not isinstance(several, list) or not several:
        reader.wrong(("cases",), "must be a list of cases, one at least")
        return []
    cases = []
    for index, own in enumerate(several):
        if not isinstance(own, dict):
            reader.wrong(("cases", index), "a case is a mapping")
            continue
        homes: dict[Any, Steps] = {**dict.fromkeys(common, ()), **dict.fromkeys(own, ("cases", index))}
        cases.append(reader.case({**common, **own}, homes, f"{file}: case {index + 1}", ("cases", index)))
    return [case for case in cases if case is not None] if len(problems) == before else []


class _Reader:
    """Reads the cases of one file, and notes everything that is wrong with them."""

    def __init__(self, file: str, document: Document, problems: list[Problem]) -> None:
        self._file, self._document, self._problems = file, document, problems
        self._told: set[tuple[Steps, str]] = set()

    def where(self, path: Steps) -> str:
        at = self._document.at(path)
        return f"{self._file}:{at.line}:{at.column}"

    def wrong(self, path: Steps, found: str) -> None:
        if (path, found) not in self._told:  # what all cases share is wrong once
            self._told.add((path, found))
            shown = ".".join(str(step) for step in path if not isinstance(step, int) and step != "cases")
            self._problems.append(Problem(f"{shown}: {found}" if shown else found, self.where(path)))

    def case(self, data: dict[Any, Any], homes: Mapping[Any, Steps], name: str, home: Steps = ()) -> Case | None:
        for key in data:
            if key not in _KEYS:
                self.wrong((*homes[key], key), f"unknown key{did_you_mean(key, [*_KEYS, 'cases'])}")
        before = len(self._problems)
        for key in ("policy", "predictions", "expect"):
            if key not in data:
                self.wrong(home, f"the key {key!r} is missing")
        texts = {key: data[key] for key in _KEYS if key in data and key not in ("predictions", "expect")}
        for key, value in texts.items():
            if not isinstance(value, str) or not value.strip():
                self.wrong((*homes[key], key), f"must be text; found {value!r}")
        if len(self._problems) > before:
            return None
        folder = Path(self._file).parent
        policy = self._policy(str(folder / texts["policy"]), texts.get("environment"), homes)
        predictions = self._predictions(data["predictions"], (*homes["predictions"], "predictions"), folder, policy)
        path = (*homes["expect"], "expect")
        verdict, findings = self._expected(data["expect"], path, policy)
        as_of = texts.get("as_of")
        if as_of is not None and not _is_day(as_of):
            self.wrong((*homes["as_of"], "as_of"), f"must be a day, as 2027-01-31; found {as_of!r}")
        if len(self._problems) > before or policy is None or verdict is None:
            return None
        columns = {"incumbent": "incumbent", "candidate": "candidate"}
        columns |= {key: texts[key] for key in ("label", "incumbent", "candidate", "id") if key in texts}
        if "label" not in columns and policy.holdout.label is None and policy.task.needs_label:
            columns["label"] = "label"
        shown = f"{self._file}: {words.printable(texts['name'])}" if "name" in texts else name
        return Case(shown, policy, predictions, columns, as_of, verdict, findings)

    def _policy(self, file: str, environment: str | None, homes: Mapping[Any, Steps]) -> Policy | None:
        try:
            return load_policy(os.path.normpath(file), environment)
        except UsageError as error:
            for problem in error.problems:
                self.wrong((*homes["policy"], "policy"), str(problem))
            return None

    def _predictions(self, given: Any, path: Steps, folder: Path, policy: Policy | None) -> Any:
        if isinstance(given, str):
            file = given if "://" in given else os.path.normpath(folder / given)
            if "://" not in given and not Path(file).exists():
                self.wrong(path, f"no such file {file}")
            return file
        if not isinstance(given, list) or not given:
            self.wrong(path, "must name a file, or list rows")
            return None
        rows: list[dict[str, Any]] = []
        names: list[str] = []
        for index, row in enumerate(given):
            if not isinstance(row, dict):
                self.wrong((*path, index), "a row is a mapping of columns to values")
                continue
            times = row.get(_TIMES, 1)
            if type(times) is not int or not 1 <= times <= 1_000_000:
                self.wrong((*path, index), f"{_TIMES} is a whole number from 1 to a million; found {times!r}")
                continue
            values = {key: value for key, value in row.items() if key != _TIMES}
            names += [key for key in values if key not in names]
            rows += [values] * times
        return self._table(rows, names, path, policy)

    def _table(self, rows: list[dict[str, Any]], names: list[str], path: Steps, policy: Policy | None) -> Any:
        columns: dict[str, Any] = {}
        for name in names:
            try:
                columns[name] = pa.array([row.get(name) for row in rows])
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                self.wrong(path, f"column {name!r} holds values of several types: quote them, or none")
        if policy is not None and policy.holdout.id is not None and policy.holdout.id not in columns:
            columns[policy.holdout.id] = pa.array(range(len(rows)))  # nobody names hundreds of rows by hand
        return pa.table(columns) if columns else None

    def _expected(self, given: Any, path: Steps, policy: Policy | None) -> tuple[Verdict | None, tuple[Expected, ...]]:
        if not isinstance(given, dict):
            self.wrong(path, "must be a mapping with the verdict, such as {verdict: refuse}")
            return None, ()
        self._known(given, path, _OF_EXPECT)
        verdict = self._one_of(given, "verdict", path, _VERDICTS)
        findings = given.get("findings", [])
        if not isinstance(findings, list):
            self.wrong((*path, "findings"), "must be a list of findings")
            findings = []
        expected = []
        for index, finding in enumerate(findings):
            here = (*path, "findings", index)
            if not isinstance(finding, dict):
                self.wrong(here, "a finding is a mapping with rule and status")
                continue
            self._known(finding, here, _OF_FINDING)
            status = self._one_of(finding, "status", here, _STATUSES)
            rule = finding.get("rule")
            known = [one.id for one in policy.rules] if policy is not None else None
            if not isinstance(rule, str):
                self.wrong(here, "the key 'rule' is missing" if rule is None else f"rule must be text; found {rule!r}")
            elif known is not None and rule not in known:
                self.wrong((*here, "rule"), f"the policy has no rule {rule!r}{did_you_mean(rule, known)}")
            elif isinstance(finding.get("cell"), (dict, list)):
                self.wrong((*here, "cell"), "a cell is one value")
            elif status is not None:
                expected.append(
                    Expected(rule, Status(status), "cell" in finding, finding.get("cell"), self.where(here))
                )
        return None if verdict is None else Verdict(verdict), tuple(expected)

    def _known(self, given: dict[Any, Any], path: Steps, keys: Sequence[str]) -> None:
        for key in given:
            if key not in keys:
                self.wrong((*path, key), f"unknown key{did_you_mean(key, keys)}")

    def _one_of(self, given: dict[Any, Any], key: str, path: Steps, right: list[str]) -> str | None:
        if key not in given:
            self.wrong(path, f"the key {key!r} is missing")
            return None
        value = given[key]
        if value not in right:
            self.wrong((*path, key), f"unknown value {value!r}{did_you_mean(value, right)}")
            return None
        return str(value)


def _is_day(text: str) -> bool:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
