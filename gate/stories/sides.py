"""Which versions a check is about: references resolved once, files fetched and digested, and what it is good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gate.decisions.record import ModelRow, Promotable, Target
from gate.engines.local import ModelInfo
from gate.errors import EvidenceError, Problem, UsageError
from gate.policy.rules import Policy
from gate.registry.manifest import model_digest
from gate.registry.registry import MissingAlias, ModelRef, Registry
from gate.stories.counting import Progress, nothing


@dataclass(frozen=True)
class Side:
    """One version: its ``role`` in words, what it was resolved to, its files, and the SHA-256 over them."""

    role: str
    ref: ModelRef
    folder: Path
    digest: str

    def row(self, info: ModelInfo) -> ModelRow:
        """The version for the record, with the versions of what it ran on."""
        ref = self.ref
        return ModelRow(
            ref.uri, ref.name, ref.version, ref.alias, ref.model_id, ref.run_id, self.digest, dict(info.versions)
        )


@dataclass(frozen=True)
class Sides:
    """All versions of a check; ``incumbents`` is empty where the policy lets a first version stand alone."""

    candidates: tuple[Side, ...]
    incumbents: tuple[Side, ...]

    def __post_init__(self) -> None:
        if len({side.role for side in self.all}) != len(self.all):
            raise ValueError("two versions with one role")  # whose answers would be taken for one another's

    @property
    def all(self) -> tuple[Side, ...]:
        """Candidates, then incumbents."""
        return (*self.candidates, *self.incumbents)

    @property
    def pairs(self) -> tuple[tuple[Side, Side | None], ...]:
        """Each candidate against each incumbent, or against none."""
        others: tuple[Side | None, ...] = self.incumbents or (None,)
        return tuple((candidate, incumbent) for candidate in self.candidates for incumbent in others)

    @property
    def roles(self) -> tuple[tuple[str, str | None], ...]:
        """The roles of each of :attr:`pairs`."""
        return tuple((candidate.role, incumbent.role if incumbent else None) for candidate, incumbent in self.pairs)


def resolved(
    registry: Registry,
    model: str | None,
    candidates: Sequence[str],
    incumbents: Sequence[str],
    rules: Policy,
    folder: Path,
    progress: Progress,
) -> Sides:
    """All versions with their files, which are copied into ``folder``.

    Two incumbents that are one version count as one. Raises :class:`UsageError` for a candidate that is named twice,
    :class:`EvidenceError` for what is not there, and for a candidate that is one of the incumbents, or holds the same
    files: a model has no flips against itself.
    """
    new = [registry.resolve(one, model=model, role="candidate") for one in candidates]
    old = _incumbents(registry, model, incumbents, rules)
    for role, refs in (("candidate", new), ("incumbent", old)):
        for ref in refs:
            if model is not None and ref.name not in (None, model):
                raise UsageError(f"{ref.uri} is a version of {ref.name}, not of {model}", where=f"--{role}")
    for ref in new:
        if new.count(ref) > 1 or sum(other.uri == ref.uri for other in new) > 1:
            raise UsageError(f"{ref.uri} is named twice", where="--candidate", hint="name each version once")
        if any(ref.uri == other.uri for other in old):
            raise EvidenceError(
                f"candidate and incumbent are both {ref.uri}",
                where=registry.uri,
                hint="a model has no flips against itself: name two versions",
            )
    sides = Sides(
        tuple(_side(registry, role, ref, folder, progress) for role, ref in _named("candidate", new)),
        tuple(_side(registry, role, ref, folder, progress) for role, ref in _named("incumbent", old)),
    )
    for candidate, incumbent in sides.pairs:
        if incumbent is not None and candidate.digest == incumbent.digest:
            raise EvidenceError(
                f"{candidate.ref.uri} and {incumbent.ref.uri} hold the same files (SHA-256 {candidate.digest[:12]}...)",
                where=registry.uri,
                hint="a model has no flips against itself: is the right version registered?",
            )
    return sides


def _incumbents(registry: Registry, model: str | None, incumbents: Sequence[str], rules: Policy) -> list[ModelRef]:
    """The incumbents, each version once; none where the only one is missing and the policy lets that be."""
    found: dict[str, ModelRef] = {}
    for one in incumbents:
        try:
            ref = registry.resolve(one, model=model, role="incumbent")
        except MissingAlias as missing:
            if len(incumbents) == 1:
                _may_stand_alone(missing, one, rules)
                return []
            raise
        found.setdefault(ref.uri, ref)
    return list(found.values())


def _may_stand_alone(missing: MissingAlias, incumbent: str, rules: Policy) -> None:
    """EvidenceError unless the policy lets a first version be judged by its absolute rules only."""
    alias = rules.promotion.alias if rules.promotion else None
    if not rules.absolute_rules_only_without_incumbent:
        hint = "for a first version say on_missing_incumbent: absolute_rules_only in the policy"
    elif alias is None or not incumbent.endswith(f"@{alias}"):
        hint = "only the alias of the policy's promotion may be missing, " + (
            f"@{alias}: is it mistyped?" if alias else "and it names none"
        )
    else:
        return
    raise EvidenceError(problems=[*missing.problems, Problem("nothing to compare with", rules.file, hint)]) from None


def _named(role: str, refs: Sequence[ModelRef]) -> list[tuple[str, ModelRef]]:
    """Roles, each of one version: plain where there is one such version, else with its number, or its whole name."""
    if len(refs) == 1:
        return [(role, refs[0])]
    plain = len({ref.name for ref in refs}) == 1 and all(ref.version is not None for ref in refs)
    return [(f"{role} {ref.version}" if plain else f"{role} {ref.uri}", ref) for ref in refs]


def _side(registry: Registry, role: str, ref: ModelRef, folder: Path, progress: Progress) -> Side:
    arrived = None if progress is nothing else partial(progress, f"downloading the {role}")
    to = folder / f"{role.split()[0]}-{len(list(folder.iterdir()))}"
    files = registry.download(ref, to, arrived)
    return Side(role, ref, files, model_digest(files))


def target_of(registry: Registry, rules: Policy, candidate: Side, incumbent: Side | None) -> tuple[Target, Promotable]:
    """What the decision is good for, and whether it can move the policy's alias."""
    promotion = rules.promotion
    target = Target(
        registry.uri,
        candidate.ref.name,
        promotion.alias if promotion else None,
        promotion.keep_previous_as if promotion else None,
        rules.environment,
    )
    hindrance = _hindrance(registry, target, candidate.ref, incumbent.ref if incumbent else None)
    return target, Promotable(hindrance is None, hindrance)


def _hindrance(registry: Registry, target: Target, ref: ModelRef, old: ModelRef | None) -> str | None:
    for role, side in (("candidate", ref), ("incumbent", old)):
        if side is not None and side.not_promotable_because:
            return f"the {role} is {side.not_promotable_because}"
    if target.alias is None:
        return "the policy names no promotion.alias"
    if old is not None and old.name != ref.name:
        return f"candidate and incumbent are of different models, {ref.name} and {old.name}"
    stands = registry.alias_version(str(ref.name), target.alias)
    if stands != (old.version if old else None):
        standing = "no version" if stands is None else f"version {stands}"
        compared = "no version" if old is None else f"version {old.version}"
        return f"@{target.alias} is {standing}, and {compared} was compared with"
    return None
