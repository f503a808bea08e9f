"""Environments of the models' own: built once from what a model asks for, and kept by the digest of that.

A candidate and an incumbent that need different versions of a library, or of Python, then run side by side.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gate.engines.installers import INSTALL_SECONDS, INSTALLERS, Order, installer_environment, uv_command, without_cuda
from gate.engines.interpreters import interpreter
from gate.engines.requirements import Asked, asked_of, check_running
from gate.errors import EvidenceError, Problem, UsageError, did_you_mean

MANAGERS = ("local", *INSTALLERS)
KEEP = 8
FORMAT = 1  # counts up where an environment that was built before would not do any more
NEEDS = ("mlflow", "numpy", "pandas", "pyarrow>=16")  # of gate/engines/in_worker, which runs in there
OLDEST_PYTHON = (3, 10)  # for the same file
MARKER = "gate-environment.json"
WAIT_SECONDS = 0.2
_in_use: dict[Path, IO[bytes]] = {}  # a shared lock on each environment that this process uses, held until it ends


@dataclass(frozen=True)
class Environment:
    """Where a model runs: the interpreter, the digest of what was asked (empty: the running one), both in words.

    ``notes`` are sentences that a decision should carry.
    """

    python: Path
    digest: str
    words: str
    notes: tuple[str, ...] = ()


def nothing(step: str) -> None:
    """The progress of a caller who does not want to hear of it."""


def environment_for(
    model_dir: Path,
    manager: str,
    *,
    role: str = "candidate",
    folder: Path | None = None,
    build: bool = False,
    accept_clash: bool = False,
    progress: Callable[[str], None] = nothing,
) -> Environment:
    """The environment for the model in a folder: the running one (``local``), or one of its own.

    ``local`` compares only (:func:`gate.engines.requirements.check_running`). ``uv`` and ``virtualenv`` build one the
    first time, which may take minutes, and find it the next time. ``folder`` is where they are kept
    (:func:`kept_in`); ``build`` allows packages that have to be built, whose code then runs while they are;
    ``progress`` is told when there is something to wait for. The model's code does not run here.

    Raises :class:`EvidenceError` where the model clashes with the running environment, records no requirements or some
    that nothing can be built from, where its Python is not here, and where the installer fails; :class:`UsageError`
    where the manager is unknown or not installed.

    Example::

        environment = environment_for(folder, "uv", role="candidate")
        with Worker.start("candidate", python=environment.python) as worker:
            ...
    """
    if manager not in MANAGERS:
        raise UsageError(f"unknown manager {manager!r}{did_you_mean(manager, MANAGERS)}", where="--env-manager")
    if manager == "local":
        notes = check_running(model_dir, role, accept_clash=accept_clash)
        return Environment(Path(sys.executable), "", "the environment of the gate", notes)
    try:
        asked = asked_of(model_dir)
        plan = planned(asked, manager, build, os.environ)
        home = kept_in(os.environ) if folder is None else Path(folder).absolute()
        path = home / plan.digest
        hold(home, plan, progress, role)
        built = str(json.loads((path / MARKER).read_text())["built_at"])
    except OSError as error:
        raise EvidenceError(
            f"its environment cannot be kept: {error}",
            where=f"{role} model",
            hint="is there room, and may the gate write there? $GATE_CACHE_DIR names another place",
        ) from error
    except EvidenceError as error:
        raise EvidenceError(
            problems=[replace(problem, where=problem.where or f"{role} model") for problem in error.problems]
        ) from error
    return Environment(
        path / "bin" / "python",
        plan.digest,
        f"an environment of its own ({manager}, Python {plan.minor}, {len(asked.requirements)} requirements)",
        tuple(f"{role} model: {note}" for note in (*asked.passed_over, *plan.notes(built))),
    )


def kept_in(environment: Mapping[str, str]) -> Path:
    """The folder of the environments: in ``$GATE_CACHE_DIR``, else in the user's cache.

    >>> kept_in({"GATE_CACHE_DIR": "/var/cache/gate"}).as_posix()
    '/var/cache/gate/environments'
    """
    if environment.get("GATE_CACHE_DIR"):
        return Path(environment["GATE_CACHE_DIR"]).absolute() / "environments"
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "~").expanduser() / ".cache"
    return Path(cache).absolute() / "gate" / "environments"


def drop_oldest(folder: Path | None = None, keep: int = KEEP) -> tuple[str, ...]:
    """Remove the environments that were not used for longest, beyond ``keep``; the digests of those that are gone.

    One that a gate uses at this moment stays. What a killed builder left behind goes too.
    """
    home = kept_in(os.environ) if folder is None else folder
    if not home.is_dir():
        return ()
    used = sorted(((last_used(path), path) for path in home.iterdir() if (path / MARKER).is_file()), reverse=True)
    dropped = []
    for _, path in used[keep:]:
        with open(home / f"{path.name}.lock", "ab") as lock:
            if taken(lock, fcntl.LOCK_EX):
                path.rename(home / f"{path.name}.building")
                shutil.rmtree(home / f"{path.name}.building", ignore_errors=True)
                dropped.append(path.name)
    for left in home.glob("*.building"):
        with open(home / f"{left.stem}.lock", "ab") as lock:
            if taken(lock, fcntl.LOCK_EX):
                shutil.rmtree(left, ignore_errors=True)
    return tuple(dropped)


# --- what is asked for ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What an environment is built from. ``recorded`` says that the model names its version of Python."""

    manager: str
    minor: str
    recorded: bool
    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    files: tuple[Path, ...]
    in_force: Mapping[str, str]
    unpinned: tuple[str, ...]
    torch: bool
    build: bool

    @property
    def digest(self) -> str:
        """SHA-256 of what decides what is in it: the order of the requirements does not."""
        asked = {
            "format": FORMAT,
            "manager": self.manager,
            "python": self.minor,
            "platform": sysconfig.get_platform(),
            "requirements": sorted(self.lines),
            "constraints": sorted(self.constraints),
            "files": sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files),
            "in_force": dict(self.in_force),
            "build": self.build,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def notes(self, built: str) -> tuple[str, ...]:
        """What a decision should say of it, built at that time."""
        notes = []
        if self.unpinned:
            notes.append(
                f"{', '.join(self.unpinned)} without an exact version in its requirements: its environment has what was"
                f" newest when it was built, {built}"
            )
        if not self.recorded:
            notes.append(f"records no version of Python, and ran on {self.minor}")
        return tuple(notes)


def planned(asked: Asked, manager: str, build: bool, environment: Mapping[str, str]) -> Plan:
    """What to build for a model. Raises :class:`EvidenceError` where that cannot be."""
    if not asked.recorded:
        raise EvidenceError(
            "records no requirements: there is neither requirements.txt nor conda.yaml with pip's beside it",
            hint="log it with MLflow's pip_requirements, or run it in the gate's environment: --env-manager local",
        )
    problems = [Problem(f"no environment can be built: {line}") for line in asked.unusable]
    for requirement in asked.requirements:
        if requirement.url and not requirement.url.split("#")[0].endswith(".whl") and not build:
            problems.append(Problem(f"{requirement.name} comes from an address and has to be built", hint=BUILDS))
    minor = asked.minor or "{}.{}".format(*sys.version_info[:2])
    if tuple(int(number) for number in minor.split(".")) < OLDEST_PYTHON:
        problems.append(Problem(f"was made by Python {minor}, and the gate's workers need 3.10 or newer"))
    if problems:
        raise EvidenceError(problems=problems)
    named = {canonicalize_name(requirement.name) for requirement in asked.requirements}
    lines = [str(requirement) for requirement in asked.requirements]
    lines += [need for need in NEEDS[1:] if canonicalize_name(need.split(">")[0]) not in named or ">" in need]
    if not named & {"mlflow", "mlflow-skinny"}:
        lines.append(f"mlflow=={asked.mlflow}" if released(asked.mlflow) else "mlflow")
    unpinned = [
        requirement.name
        for requirement in asked.requirements
        if not requirement.url
        and not any(part.operator in ("==", "===") and "*" not in part.version for part in requirement.specifier)
    ]
    settings = installer_environment(environment)
    in_force = {name: constraint_text(settings[name]) for name in OF_CONSTRAINTS[manager] if settings.get(name)}
    in_force |= {name: settings[name] for name in ("UV_TORCH_BACKEND", "UV_EXCLUDE_NEWER") if name in settings}
    return Plan(
        manager,
        minor,
        asked.minor is not None,
        tuple(lines),
        tuple(str(constraint) for constraint in asked.constraints),
        asked.files,
        in_force,
        tuple(unpinned),
        "torch" in named,
        build,
    )


BUILDS = "--allow-builds builds it: its code then runs with your settings of indexes in sight"
OF_CONSTRAINTS = {"uv": ("UV_CONSTRAINT", "UV_OVERRIDE"), "virtualenv": ("PIP_CONSTRAINT",)}


def released(version: str | None) -> bool:
    """Whether an index can be expected to have a version.

    >>> released("3.17.2"), released("3.18.0.dev0"), released(None)
    (True, False, False)
    """
    try:
        return version is not None and not Version(version).is_devrelease and not Version(version).local
    except InvalidVersion:
        return False


def constraint_text(value: str) -> str:
    """What the files of constraints say that a variable names; a name that is no file stands for itself."""
    return "\n".join(Path(name).read_text() if Path(name).is_file() else name for name in value.split())


# --- the folder -------------------------------------------------------------------------------------------------------


def hold(home: Path, plan: Plan, progress: Callable[[str], None], role: str) -> None:
    """Make sure that the environment of a plan is there, and that none drops it while this process lives."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / plan.digest
    if path in _in_use and is_whole(path, plan.digest):
        return
    lock = _in_use.pop(path, None) or open(home / f"{plan.digest}.lock", "ab")  # noqa: SIM115  held to the end
    said, patience = False, time.monotonic() + INSTALL_SECONDS
    try:
        # Never waiting with a lock in hand: whoever uses the environment keeps a shared one until its process ends.
        while not (taken(lock, fcntl.LOCK_SH) and is_whole(path, plan.digest)):
            if not said:
                progress(f"building the environment of the {role}")
                said = True
            fcntl.flock(lock, fcntl.LOCK_UN)
            if time.monotonic() > patience:
                raise EvidenceError("its environment is damaged, or is being built by another gate that does not end")
            if not taken(lock, fcntl.LOCK_EX):
                time.sleep(WAIT_SECONDS)  # another gate builds it
            elif not is_whole(path, plan.digest):
                build_in(home, plan)
                drop_oldest(home)
        os.utime(path / MARKER)
    except BaseException:
        lock.close()
        raise
    _in_use[path] = lock


def build_in(home: Path, plan: Plan) -> None:
    """Build an environment beside its place and move it there when it is whole; the caller holds its lock."""
    path, building = home / plan.digest, home / f"{plan.digest}.building"
    environment = installer_environment(os.environ)
    python = interpreter(plan.minor)
    if python is None and plan.manager == "uv" and environment["UV_PYTHON_DOWNLOADS"] != "never":
        base = plan.minor
    elif python is None:
        raise EvidenceError(
            f"needs Python {plan.minor}, which was not found on this machine",
            hint=f"install it (uv python install {plan.minor}, pyenv install {plan.minor}, or the system's packages),"
            " or let uv fetch it: UV_PYTHON_DOWNLOADS=automatic with --env-manager uv",
        )
    else:
        base = str(python)
    if plan.manager == "uv":
        uv_command(environment)
        environment = without_cuda(environment) if plan.torch else environment
    for left in (building, path):
        shutil.rmtree(left, ignore_errors=True)
    requirements, constraints = home / f"{plan.digest}.txt", home / f"{plan.digest}.constraints.txt"
    try:
        requirements.write_text("\n".join([*plan.lines, *(path.as_uri() for path in plan.files)]) + "\n")
        constraints.write_text("\n".join(plan.constraints) + "\n")
        INSTALLERS[plan.manager](Order(base, requirements, constraints, plan.build), building, environment)
        when = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        marker = {"digest": plan.digest, "manager": plan.manager, "python": plan.minor, "built_at": when}
        (building / MARKER).write_text(json.dumps({**marker, "requirements": plan.lines}, indent=1))
        building.rename(path)
    except EvidenceError as error:
        found = f"its environment could not be built by {plan.manager}: {error.problems[0].found}"
        raise EvidenceError(found, hint=advice(found, plan)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        for file in (requirements, constraints):
            file.unlink(missing_ok=True)


def advice(found: str, plan: Plan) -> str:
    """What to do about the last words of an installer."""
    hints = []
    if not plan.build and any(word in found for word in ("no-build", "uilding", "no matching", "No matching", "wheel")):
        hints.append(BUILDS)
    if plan.torch:
        hints.append(
            "for torch name the index of your device: UV_TORCH_BACKEND=cpu, or"
            " PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu with --env-manager virtualenv"
        )
    hints.append("is the index right? uv reads its own settings (UV_DEFAULT_INDEX, uv.toml), not those of pip")
    return "; ".join(hints if plan.manager == "uv" else hints[:-1] or ["does pip install its requirements.txt?"])


def is_whole(path: Path, digest: str) -> bool:
    """Whether an environment was built to its end, for that digest, and its interpreter is still there."""
    try:
        marker: Any = json.loads((path / MARKER).read_text())
        return bool(marker["digest"] == digest and marker["built_at"] and os.access(path / "bin" / "python", os.X_OK))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def last_used(path: Path) -> float:
    """When an environment was last used, in seconds since 1970."""
    with suppress(OSError):
        return (path / MARKER).stat().st_mtime
    return 0.0


def taken(lock: IO[bytes], how: int) -> bool:
    """Take a lock without waiting; False where another's stands against it."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
