"""The house keeps its own rules: what is imported where, what is declared and pinned, and how the tests are started."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gate

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "gate").rglob("*.py"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13")

HEAVY = ("great_expectations", "mlflow", "pandas", "pyspark", "sklearn", "sqlalchemy", "torch")
# The rooms, and the packages that their modules bring when they are imported, whatever their functions do later.
BROUGHT = {
    "core": ("numpy", "scipy"),
    "data": ("numpy", "pyarrow"),
    "decisions": ("numpy", "pydantic", "scipy"),
    "engines": ("numpy", "pyarrow", "scipy"),
    "errors": (),
    "policy": ("numpy", "pyarrow", "pydantic", "ruamel", "scipy"),
    "report": ("numpy", "pydantic", "rich", "scipy"),
    "stories": ("numpy", "pyarrow", "pydantic", "rich", "ruamel", "scipy"),
    "tasks": ("numpy", "pyarrow", "scipy"),
}
# What a distribution is called where that is not the name that is imported.
DISTRIBUTIONS = {"PIL": "pillow", "py4j": "pyspark", "ruamel": "ruamel.yaml", "sklearn": "scikit-learn"}


def loaded(code: str) -> set[str]:
    """What is imported in a fresh interpreter after ``code``."""
    told = f"{code}\nimport sys; print(*sys.modules, sep='\\n', file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def modules(room: str) -> list[str]:
    files = sorted((ROOT / "gate" / room).glob("*.py")) or [ROOT / "gate" / f"{room}.py"]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def settings(file: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    assert parser.read(ROOT / file)
    return parser


def requirements(option: str) -> list[Requirement]:
    lines = (line.strip() for line in option.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def declared() -> list[Requirement]:
    setup = settings("setup.cfg")
    options = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    return [need for option in options for need in requirements(option)]


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for pin in requirements((ROOT / "constraints.txt").read_text()):
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def holds(pin: Requirement, python: str) -> bool:
    return pin.marker is None or pin.marker.evaluate({"python_version": python})


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_importing_the_gate_brings_nothing_else():
    assert not loaded("import gate") & {*HEAVY, "click", "numpy", "pyarrow", "pydantic", "rich", "ruamel", "scipy"}


def test_help_brings_no_more_than_click():
    found = loaded("import gate.cli, sys\nfrom gate.cli.app import run\nrun(['--help'])")
    assert "click" in found
    assert not found & {*HEAVY, "numpy", "pyarrow", "pydantic", "rich", "ruamel", "scipy"}


@pytest.mark.parametrize("room", BROUGHT)
def test_a_room_brings_only_its_own_packages(room: str):
    found = loaded("\n".join(f"import {name}" for name in modules(room)))
    assert found >= set(modules(room))
    others = {*HEAVY, "click", "numpy", "pyarrow", "pydantic", "rich", "ruamel", "scipy"} - set(BROUGHT[room])
    assert not found & others
    assert "scipy.stats" not in found, "its import alone takes a second; scipy.special does"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_begins_by_saying_what_it_is(file: Path):
    assert ast.get_docstring(ast.parse(file.read_text())), "no docstring"


def test_everything_that_is_imported_is_declared():
    ours = {"gate", *sys.stdlib_module_names}
    needed = {DISTRIBUTIONS.get(name, name) for file in SOURCES for name in imported(file) if name not in ours}
    assert {canonicalize_name(name) for name in needed} <= {canonicalize_name(need.name) for need in declared()}


@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_is_declared_is_pinned_once_within_its_range(python: str):
    for need in declared():
        held = [pin for pin in pins().get(canonicalize_name(need.name), []) if holds(pin, python)]
        assert len(held) == 1, f"{need.name} on Python {python}: {len(held)} pins"
        (exact,) = held[0].specifier
        assert exact.operator == "=="
        assert need.specifier.contains(exact.version), f"{held[0]} is not within {need}"


def test_everything_that_comes_along_is_pinned_too():
    named = {canonicalize_name(need.name) for need in declared()}
    seen: set[str] = set()
    while named - seen:
        name = (named - seen).pop()
        seen.add(name)
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # of an extra that these tests do without
            continue
        named |= {
            canonicalize_name(need.name) for need in needs if not need.marker or need.marker.evaluate({"extra": ""})
        }
    assert seen - set(pins()) == set()


def test_pins_are_versions_that_any_index_has():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(
            r'[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version (<|>=) "3\.11")?', line
        )


@pytest.mark.parametrize("file", ["setup.cfg", "pyproject.toml", "tox.ini", "constraints.txt", ".ci/run"])
def test_no_index_and_no_folder_of_one_machine_is_written_down(file: str):
    assert not re.search(
        r"https?://|file://|--find-links|index-url|/(home|opt|root|tmp|work)/", (ROOT / file).read_text()
    )


def test_every_python_that_is_promised_has_its_tests():
    setup, tox = settings("setup.cfg"), settings("tox.ini")
    promised = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    assert tuple(promised) == PYTHONS
    assert set(re.split(r"[,\s]+", tox["tox"]["env_list"])) >= {f"py{version.replace('.', '')}" for version in promised}


def test_the_continuous_run_is_the_readmes_test_command():
    commands = (ROOT / ".ci" / "run").read_text().rstrip().splitlines()
    readme = (ROOT / "README.md").read_text().splitlines()
    assert [line.strip() for line in readme if line.strip().endswith("/tox")] == [commands[-1]]


def test_what_is_not_python_is_installed_with_it():
    data = {
        file.relative_to(ROOT / "gate")
        for ending in ("typed", "yaml", "json")
        for file in (ROOT / "gate").rglob(f"*.{ending}")
    }
    assert Path("py.typed") in data
    installed = Path(gate.__file__).parent
    assert [file for file in sorted(data) if not (installed / file).is_file()] == []
