"""What a model asks of its environment, and whether the running one has it.

MLflow writes it beside the model: ``requirements.txt``, ``python_env.yaml`` (the version of Python) and ``conda.yaml``.
These files are another's: they are read, and nothing in them is followed out of the model's folder.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gate.engines.environment import presentable
from gate.errors import EvidenceError, Problem

HINT = (
    "--env-manager uv runs each model in an environment built from its own requirements; "
    "--accept-clash goes on in this one, and the decision says so"
)
OF_MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")
INDEXES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host", "--pre")
PICKLES = frozenset([".pkl", ".pickle", ".p", ".pth", ".pt", ".joblib", ".dill", ".cloudpickle"])
PYTHON = re.compile(r"3\.\d+(\.\d+)?")


@dataclass(frozen=True)
class Asked:
    """What a model asks for.

    ``python`` is the version that it was made by, ``mlflow`` that which saved it (None: not recorded).
    ``requirements`` and ``constraints`` are those of the files, ``-r`` and ``-c`` followed; ``files`` are wheels inside
    the model's folder. ``passed_over`` says what was not looked at, and why; ``unusable`` is what no environment
    can be built from.
    """

    folder: Path
    python: str | None = None
    mlflow: str | None = None
    recorded: bool = False
    requirements: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    files: tuple[Path, ...] = ()
    passed_over: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    @property
    def minor(self) -> str | None:
        """The version of Python without its last number: what decides whether byte code and pickles fit."""
        return None if self.python is None else ".".join(self.python.split(".")[:2])

    @property
    def pickled(self) -> bool:
        """Whether the model's folder holds a pickle, by the names of its files."""
        return any(path.suffix in PICKLES for path in self.folder.rglob("*") if path.is_file())


def asked_of(model_dir: Path) -> Asked:
    """What the files beside a model ask for; a model without any asks for nothing.

    Raises :class:`EvidenceError` for a file that cannot be read as what it is named.
    """
    folder = Path(model_dir)
    python_env, conda, model = (yaml_of(folder / name) for name in ("python_env.yaml", "conda.yaml", "MLmodel"))
    conda_packages, conda_pip = of_conda(conda)
    reading = Reading(folder.resolve())
    if (folder / "requirements.txt").is_file():
        reading.read(folder / "requirements.txt")
    else:
        for line in conda_pip:
            reading.line(line, folder.resolve(), constrains=False)
    for package in conda_packages:
        if not re.match(r"(python|pip)\b", package):
            named = presentable(package[:80])
            reading.passed_over.append(f"{named} of its conda.yaml is a conda package, which was not looked at")
    function = flavors(model).get("python_function")
    versions = [
        python_env.get("python"),
        next((re.sub(r"^python=+", "", package) for package in conda_packages if re.match(r"python=", package)), None),
        function.get("python_version") if isinstance(function, dict) else None,
    ]
    python = next((str(version) for version in versions if version and PYTHON.fullmatch(str(version))), None)
    return Asked(
        folder,
        python,
        str(model["mlflow_version"]) if model.get("mlflow_version") else None,
        (folder / "requirements.txt").is_file() or bool(conda_pip),
        tuple(reading.requirements),
        tuple(reading.constraints),
        tuple(reading.files),
        tuple(reading.passed_over),
        tuple(reading.unusable),
    )


def check_running(
    model_dir: Path,
    role: str,
    *,
    accept_clash: bool = False,
    installed: Callable[[str], str | None] | None = None,
    python: str | None = None,
) -> tuple[str, ...]:
    """Hold a model's requirements against the running interpreter; what is worth a note in the decision.

    Raises :class:`EvidenceError` with all clashes at once; with ``accept_clash`` they are notes. A requirement is met
    as installers see it, but for two things. MLflow records itself to the last digit in every model, whether the model
    needs it or not, and any version loads what another one of its major version saved: of MLflow only the major
    version counts. And a build (``+cpu``, ``+cu128``) is not held against a build: that is a note, since the same
    version for another device gives the same answers but for rounding. Another minor version of Python is a clash
    where the model is pickled, since a pickle may hold byte code, and a note where it is not. Constraints count for
    what is required. URLs, files and the requirements of extras are not looked at. ``installed`` gives a package's
    version or None, and ``python`` is that of the interpreter; both are those of this process by default.
    """
    asked = asked_of(model_dir)
    found = Comparison(asked, installed or installed_version, python or platform.python_version())
    if not found.clashes or accept_clash:
        accepted = [f"{role} model: {clash}: accepted by --accept-clash" for clash in found.clashes]
        return (*accepted, *(f"{role} model: {note}" for note in found.notes))
    last = len(found.clashes) - 1
    raise EvidenceError(
        problems=[
            Problem(presentable(clash), f"{role} model", HINT if at == last else "")
            for at, clash in enumerate(found.clashes)
        ]
    )


def installed_version(name: str) -> str | None:
    """The version of an installed package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass
class Comparison:
    """What a model asks for beside what there is: sentences about clashes, and about what else is worth knowing."""

    asked: Asked
    installed: Callable[[str], str | None]
    python: str
    clashes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._python()
        named = set()
        for requirement in self.asked.requirements:
            if applies(requirement, self.python):
                named.add(canonicalize_name(requirement.name))
                self._package(requirement)
        for constraint in self.asked.constraints:
            if applies(constraint, self.python) and canonicalize_name(constraint.name) in named:
                self._package(constraint)
        self.clashes = list(dict.fromkeys(self.clashes))
        self.notes += [*self.asked.passed_over, *self.asked.unusable]
        self.notes += [f"{path.name} in its folder was not compared with what is here" for path in self.asked.files]

    def _python(self) -> None:
        running = ".".join(self.python.split(".")[:2])
        if self.asked.minor in (None, running):
            return
        if self.asked.pickled:
            self.clashes.append(
                f"was made by Python {self.asked.minor}, and this is {running}: a pickle may hold byte code, which"
                " another version of Python reads wrongly or not at all"
            )
        else:
            self.notes.append(f"was made by Python {self.asked.minor}, and ran on {running}")

    def _package(self, requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        if requirement.url:
            self.notes.append(f"{name} comes from an address and was not compared with what is installed")
            return
        version = self.installed(name)
        if version is None:
            self.clashes.append(f"needs {bare(requirement)}, which is not installed")
        elif name in OF_MLFLOW and same_major(requirement.specifier, version):
            return
        elif not meets(requirement.specifier, version):
            self.clashes.append(f"needs {bare(requirement)}, and {version} is installed")
        elif not requirement.specifier.contains(version, prereleases=True):
            self.notes.append(f"asks for {bare(requirement)}, and ran on another build of it, {version}")


def bare(requirement: Requirement) -> str:
    """A requirement without its marker.

    >>> bare(Requirement("Scikit_Learn [a] >=1.5 ; python_version > '3'"))
    'scikit-learn[a]>=1.5'
    """
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{canonicalize_name(requirement.name)}{extras}{requirement.specifier}"


def applies(requirement: Requirement, python: str) -> bool:
    """Whether a requirement's marker holds under a version of Python, on this machine.

    >>> applies(Requirement("tomli; python_version < '3.11'"), "3.12.1")
    False
    """
    minor = ".".join(python.split(".")[:2])
    return requirement.marker is None or requirement.marker.evaluate(
        {"extra": "", "python_version": minor, "python_full_version": python}
    )


def meets(asked: SpecifierSet, version: str) -> bool:
    """Whether a version is one that is asked for, builds (``+cpu``) aside.

    >>> meets(SpecifierSet("==2.4.0+cu121"), "2.4.0+cpu"), meets(SpecifierSet("~=2.3.0"), "2.4.0+cpu")
    (True, False)
    """
    if asked.contains(version, prereleases=True):
        return True
    builds_aside = SpecifierSet(",".join(str(part).split("+")[0] for part in asked))
    try:
        return "+" in str(asked) and builds_aside.contains(Version(version).public, prereleases=True)
    except InvalidVersion:
        return False


def same_major(asked: SpecifierSet, version: str) -> bool:
    """Whether one exact version is asked for, and the other has the same major one.

    >>> same_major(SpecifierSet("==3.17.2"), "3.9.0"), same_major(SpecifierSet("==2.9.2"), "3.9.0")
    (True, False)
    """
    pins = [part.version for part in asked if part.operator in ("==", "===")]
    try:
        return len(pins) == len(asked) == 1 and Version(pins[0].removesuffix(".*")).major == Version(version).major
    except InvalidVersion:
        return False


# --- the files --------------------------------------------------------------------------------------------------------


class Reading:
    """Reads requirement files, and those that they name, as long as they lie within one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requirements: list[Requirement] = []
        self.constraints: list[Requirement] = []
        self.files: list[Path] = []
        self.passed_over: list[str] = []
        self.unusable: list[str] = []
        self._open: set[Path] = set()

    def read(self, path: Path, constrains: bool = False) -> None:
        """Read a file. One that names itself again, by whatever way, is read once."""
        path = path.resolve()
        if path in self._open:
            return
        self._open.add(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise EvidenceError(f"cannot be read: {error}", where=str(path)) from error
        for line in logical_lines(text):
            self.line(line, path.parent, constrains=constrains)

    def line(self, line: str, beside: Path, *, constrains: bool) -> None:
        """Read one line of a file in the folder ``beside``."""
        if "${" in line:
            self._cannot(line, "names a variable of the environment, and models are told none")
        elif line.startswith("-"):
            self._option(line, beside)
        elif re.match(r"[a-z+]+://|(git|hg|svn|bzr)\+", line, re.IGNORECASE):
            self._cannot(line, "is an address without the name of a package")
        elif " --hash" in line:
            self._cannot(line, "has a hash, and an environment has more packages than those")
        elif "@" not in line and re.search(r"^[./~]|\.(whl|zip|tar\.gz)$", line.split(";")[0].strip()):
            self._file(line, beside)
        else:
            try:
                (self.constraints if constrains else self.requirements).append(Requirement(line))
            except InvalidRequirement as error:
                self._cannot(line, f"is no requirement: {str(error).splitlines()[0]}")

    def _option(self, line: str, beside: Path) -> None:
        spaced = line.replace("=", " ", 1) if line.startswith("--") else f"{line[:2]} {line[2:]}"
        option, value = (*spaced.split(None, 1), "")[:2]
        if option in ("-r", "--requirement", "-c", "--constraint") and value:
            path = (beside / value).resolve()
            if path.is_relative_to(self.folder) and path.is_file():
                self.read(path, constrains=option in ("-c", "--constraint"))
            else:
                self._cannot(line, "names a file that is not in the model's folder")
        elif option in INDEXES:
            self.passed_over.append(
                f"{option} of its requirements was not followed: your own settings say where packages come from"
            )
        else:
            self._cannot(line, "is an option that was not understood")

    def _file(self, line: str, beside: Path) -> None:
        path = (beside / line.split(";")[0].strip()).resolve()
        if path.suffix == ".whl" and path.is_file() and path.is_relative_to(self.folder):
            self.files.append(path)
        else:
            self._cannot(line, "is no wheel in the model's folder")

    def _cannot(self, line: str, why: str) -> None:
        self.unusable.append(f"{presentable(line[:200])!r} of its requirements {why}")


def logical_lines(text: str) -> Iterator[str]:
    r"""The lines of a requirement file without comments and blank lines, continued ones joined.

    >>> list(logical_lines("a==1 # why\n\n# no\nb \\\n  >=2\n"))
    ['a==1', 'b >=2']
    """
    for line in re.sub(r"\s*\\\r?\n\s*", " ", text).splitlines():
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        if stripped:
            yield stripped


def yaml_of(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty where there is no such file."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        return {}
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise EvidenceError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
    return found if isinstance(found, dict) else {}


def of_conda(conda: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The packages of a conda environment: those of conda, and those of pip."""
    listed = conda.get("dependencies")
    packages = listed if isinstance(listed, list) else []
    of_pip = next((entry["pip"] for entry in packages if isinstance(entry, dict) and "pip" in entry), None)
    return [str(entry) for entry in packages if not isinstance(entry, dict)], [str(line) for line in of_pip or ()]


def flavors(model: dict[str, Any]) -> dict[str, Any]:
    """The flavours in an MLmodel file."""
    found = model.get("flavors")
    return found if isinstance(found, dict) else {}
