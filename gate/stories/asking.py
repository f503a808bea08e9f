"""The models of a check: started early, each in its place, or not at all where its answers are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.data.tables import Table
from gate.engines.answers import Model
from gate.engines.cache import Asked, Recorder
from gate.engines.environments import Environment, environment_for
from gate.engines.local import InProcess, ModelInfo, Worker, isolation
from gate.engines.process import default_threads
from gate.engines.remembered import Remembered
from gate.errors import Problem, UsageError
from gate.stories.counting import Progress
from gate.stories.holdout import HeldOut
from gate.stories.remembering import Before, Remembering, digest_of
from gate.stories.sides import Side, Sides


@dataclass(frozen=True)
class How:
    """How models are run.

    ``timeout`` seconds at most for loading and for each batch, ``total_timeout`` for all of it; ``memory`` bytes at
    most for each process; ``network`` lets them reach it. ``env_manager`` is ``local`` (the gate's own environment),
    ``uv`` or ``virtualenv``; ``accept_clash`` goes on where a model asks for other versions than there are, ``builds``
    lets the installer run what packages bring. ``device``, ``dtype`` and ``compile`` are for PyTorch models.
    ``in_process`` trusts the models with the gate's own process. ``cache`` uses answers that are known.
    """

    timeout: float = 600.0
    total_timeout: float | None = None
    memory: int | None = None
    network: bool = False
    env_manager: str = "local"
    accept_clash: bool = False
    builds: bool = False
    device: str = "auto"
    dtype: str = "float32"
    compile: bool = False
    in_process: bool = False
    cache: bool = True

    def __post_init__(self) -> None:
        """Raises UsageError for options of which one does nothing beside another."""
        within = {"--env-manager": self.env_manager != "local", "--memory": self.memory is not None}
        within |= {"--timeout": self.timeout != How.timeout, "--total-timeout": self.total_timeout is not None}
        problems = [
            Problem("it does not go with --in-process", option, "only a process of its own can be held to it")
            for option, given in within.items()
            if given and self.in_process
        ]
        if self.builds and self.env_manager == "local":
            problems.append(Problem("nothing is installed", "--allow-builds", "it goes with --env-manager uv"))
        if self.accept_clash and self.env_manager != "local":
            problems.append(Problem("an environment of its own has no clash", "--accept-clash", "leave it out"))
        if problems:
            raise UsageError(problems=problems)

    def not_told(self, infos: Iterable[ModelInfo]) -> tuple[str, ...]:
        """A note for each model that options for PyTorch models say nothing to."""
        plain = How()
        given = [
            flag
            for flag, name in (("--device", "device"), ("--dtype", "dtype"), ("--compile", "compile"))
            if getattr(self, name) != getattr(plain, name)
        ]
        if not given:
            return ()
        return tuple(
            f"the {info.role} is not run as a plain PyTorch model: {', '.join(given)} said nothing to it"
            for info in infos
            if not info.torch
        )

    @property
    def torch(self) -> dict[str, Any]:
        """What PyTorch models are told."""
        return {"device": self.device, "dtype": self.dtype, "compile": self.compile}


@dataclass(frozen=True)
class Opened:
    """Models that are loading or remembered, by role; who takes down what they answer; and what a reader should know.

    ``remembered`` are the roles that are not asked at all, ``before`` how the held-out set was when it was looked up.
    """

    models: Mapping[str, Model]
    recorders: Mapping[str, Recorder]
    remembered: tuple[str, ...]
    before: Before | None
    notes: tuple[str, ...]

    @property
    def isolation(self) -> str:
        """In whose process the models ran; to be asked when they are ready."""
        return isolation(list(self.models.values()))


class Models:
    """The models of one check, ended with ``stack``.

    Processes are started at once, since importing takes them seconds; but not before it is known where an environment
    of their own is to be made, and not for incumbents while some incumbent's answers are kept.
    """

    def __init__(self, how: How, candidates: int, incumbents: int, stack: ExitStack) -> None:
        self._how = how
        self._stack = stack
        self._threads = default_threads(candidates + incumbents)
        self._remembering = Remembering.here() if how.cache and not how.in_process else None
        self._started: dict[str, list[Any]] = {"candidate": [], "incumbent": []}
        if how.env_manager == "local":
            early = {"candidate": candidates}
            if self._remembering is None or self._remembering.empty:
                early["incumbent"] = incumbents
            for role, number in early.items():
                self._started[role] += [self._start(role, None) for _ in range(number)]

    def open(
        self, sides: Sides, held_out: HeldOut, table: Table, rows: int, before: Before | None, progress: Progress
    ) -> Opened:
        """Load every version that must be asked, and find the answers of the others."""
        rules = held_out.policy
        if self._how.cache and not self._how.in_process and self._remembering is None:
            progress("going on without known answers: their folder cannot be written ($GATE_CACHE_DIR)", 0, None)
        environments = {side.role: self._environment(side, progress) for side in sides.all}
        sets = rules.task.kind == "multilabel"
        seen = {
            "sets": sets,
            "not_seen": sorted({*held_out.not_features, str(rules.holdout.label)}),
            "types": [str(field.type) for field in table.schema],  # one content may come as text and as categories
        }
        # Who is asked several times may answer otherwise each time, and shall; and so may who asks a service.
        anew = rules.holdout.sample is not None or self._how.network
        asked = {} if anew else self._asked(sides, environments, rows, seen)
        if self._remembering is not None and before is None and any(map(self._remembering.any, asked.values())):
            progress("looking for known answers", 0, None)
            before = Before(digest_of(table, rows), "the rows scored are not those that were looked at before")
        models: dict[str, Model] = {}
        recorders: dict[str, Recorder] = {}
        for side in sides.all:
            known = self._known(side, asked.get(side.role), before)
            models[side.role] = known or self._load(side, environments[side.role], sets)
            if self._remembering is not None and side.role in asked and known is None:
                recorders[side.role] = self._remembering.recorder(asked[side.role])
                self._stack.callback(recorders[side.role].discard)
        for spare in (*self._started["candidate"], *self._started["incumbent"]):
            spare.close()
        return Opened(
            models,
            recorders,
            tuple(role for role, model in models.items() if not model.live),
            before,
            tuple(dict.fromkeys(note for environment in environments.values() for note in environment.notes)),
        )

    def _asked(
        self, sides: Sides, environments: Mapping[str, Environment], rows: int, seen: Mapping[str, Any]
    ) -> dict[str, Asked]:
        """What the answers of each version rest on; those of which that cannot be said are left out."""
        if self._remembering is None:
            return {}
        options = {**self._how.torch, **seen, "threads": self._threads}
        found = {side.role: self._remembering.asked(side, rows, environments[side.role], options) for side in sides.all}
        return {role: asked for role, asked in found.items() if asked is not None}

    def _known(self, side: Side, asked: Asked | None, before: Before | None) -> Remembered | None:
        if self._remembering is None or asked is None or before is None:
            return None
        kept = self._remembering.find(asked, before.digest, side.role)
        if kept is None:
            return None
        self._stack.callback(kept.close)
        return Remembered(side.role, kept)

    def _environment(self, side: Side, progress: Progress) -> Environment:
        return environment_for(
            side.folder,
            self._how.env_manager,
            role=side.role,
            build=self._how.builds,
            accept_clash=self._how.accept_clash,
            progress=lambda step: progress(step, 0, None),
        )

    def _load(self, side: Side, environment: Environment, sets: bool) -> Model:
        kind = side.role.split()[0]
        waiting = self._started[kind]
        python = None if self._how.env_manager == "local" else environment.python
        worker = waiting.pop(0) if waiting else self._start(kind, python)
        worker.role = side.role
        worker.load(side.folder, sets=sets, options={"torch": self._how.torch})
        model: Model = worker
        return model

    def _start(self, role: str, python: Path | None) -> Any:
        how = self._how
        kind: Any = InProcess if how.in_process else Worker
        return self._stack.enter_context(
            kind.start(
                role,
                timeout=how.timeout,
                total_timeout=how.total_timeout,
                memory=how.memory,
                threads=self._threads,
                network=how.network,
                python=python,
            )
        )
