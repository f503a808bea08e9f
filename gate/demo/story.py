"""The demo: a better model is refused for what it breaks, a gentler one is allowed and promoted.

Nothing is canned. The models are trained here, the verdicts are the gate's, and another seed gives other numbers; where
it tells another story, the demo says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gate.core.judgement import Verdict
from gate.errors import UsageError
from gate.report.files import Wanted, write_reports
from gate.stories.check import check
from gate.stories.counting import Progress, nothing
from gate.stories.decide import Judgement
from gate.stories.promote import promote

Say = Callable[[str], None]
Show = Callable[[Judgement, bool], None]


@dataclass(frozen=True)
class Told:
    """How the demo went: its folder, both judgements, and the version that the alias points to in the end."""

    folder: Path
    candidate: Judgement
    distilled: Judgement
    champion: int

    @property
    def as_expected(self) -> bool:
        """Whether this seed told the usual story: the better model refused, the distilled one promoted."""
        return self.candidate.verdict is Verdict.REFUSE and self.champion == 3


def demo(
    folder: Path,
    *,
    seed: int = 0,
    say: Say,
    show: Show,
    progress: Progress = nothing,
    registry_uri: str | None = None,
    model: str = "digits",
) -> Told:
    """Train three classifiers of handwritten digits, register them, and let the gate decide.

    ``folder`` must be absent or empty (UsageError); it holds everything, the registry too unless ``registry_uri`` names
    another one, where ``model`` must be a new name. ``say`` is given the story a paragraph at a time, ``show`` each
    judgement and whether to be brief. Takes about half a minute on two cores.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the folder is not empty", where=str(folder), hint="name another one with --dir")
    progress("importing torch and MLflow", 0, None)
    from gate.demo.images import split_digits, write_images
    from gate.demo.register import open_registry, register_model
    from gate.demo.training import train_candidate, train_distilled, train_incumbent

    folder.mkdir(parents=True, exist_ok=True)
    registry = registry_uri or f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    open_registry(folder, registry_uri)
    split = split_digits(seed)
    holdout = write_images(split.held_out, folder / "holdout.parquet")
    policy = folder / "policy.yaml"
    policy.write_text(resources.files("gate.demo").joinpath("policy.yaml").read_text("utf-8"), "utf-8")

    def judged(version: int) -> Judgement:
        decision = folder / f"decision-{version}.json"
        say(
            _command("gate check", f"--model {model} --candidate {version} --incumbent @champion")
            + f" \\\n      --data {shlex.quote(str(holdout))} --policy {shlex.quote(str(policy))}"
            + f" \\\n      --registry-uri {shlex.quote(registry)} --report json={shlex.quote(str(decision))}"
        )
        found = check(
            model=model,
            candidate=str(version),
            incumbent="@champion",
            data=holdout,
            policy=policy,
            registry_uri=registry,
            seed=seed,
            progress=progress,
        )
        write_reports([Wanted("json", decision)], found.decision, found.samples)
        return found

    say(
        f"Everything below happens in {folder}: an MLflow registry (SQLite, no server), {len(split.held_out)} held-out"
        " images of handwritten digits, and a policy."
        if registry_uri is None
        else f"The models are registered in {registry}; {folder} holds the policy and {len(split.held_out)} held-out"
        " images of handwritten digits."
    )
    say("1. The model in use: a small network, trained on 250 images, registered as version 1, alias champion.")
    progress("training the incumbent", 0, None)
    incumbent = train_incumbent(split.incumbent, seed)
    register_model(incumbent, model, alias="champion", description="Fully connected, 16 hidden units, 250 images.")

    say(
        "2. An update: a convolutional network, trained on 350 other images, registered as version 2. May it replace"
        " version 1?"
    )
    progress("training the candidate", 0, None)
    second = register_model(
        train_candidate(split.candidate, seed), model, description="Convolutional, 350 images, cross entropy."
    )
    candidate = judged(second)
    show(candidate, False)
    say(_moral(candidate))

    say(
        "3. The same network on the same images, trained to keep what worked: a term of its loss pulls it towards the"
        " incumbent where the incumbent is right (focal distillation, Yan et al., CVPR 2021). Registered as version 3."
    )
    progress("training against the incumbent", 0, None)
    third = register_model(
        train_distilled(split.candidate, incumbent, seed),
        model,
        description="Convolutional, 350 images, focal distillation from version 1.",
    )
    distilled = judged(third)
    show(distilled, True)
    champion = 1
    if distilled.decision.promotable.value:
        decision = folder / f"decision-{third}.json"
        say(f"4. It is allowed, so the alias may move.\n\n{_command('gate promote', shlex.quote(str(decision)))}")
        done = promote(decision, registry_uri=registry, progress=progress)
        champion = done.version
        say(
            f"models:/{done.model}@{done.alias} is version {done.version} now;"
            f" version {done.previous} is kept as @{done.previous_alias}."
        )
    else:
        say(f"4. It is not promoted: {distilled.decision.promotable.because}.")
    told = Told(folder, candidate, distilled, champion)
    if not told.as_expected:
        say(
            f"Seed {seed} tells another story than most: usually version 2 is refused and version 3 is promoted."
            " The verdicts above are what these models deserve."
        )
    say(
        "Look around: the runs hold the decision, the reports and the flipped rows.\n\n"
        + _command("mlflow ui", f"--backend-store-uri {shlex.quote(registry)}")
    )
    return told


def _command(name: str, arguments: str) -> str:
    return f"    $ {name} {arguments}"


def _moral(judged: Judgement) -> str:
    rates = {(row.rate, row.of): row.estimate for row in judged.decision.rates}
    old, new = rates["error_rate", "incumbent"], rates["error_rate", "candidate"]
    if old is None or new is None:
        return ""
    better = "better" if new < old else "no better"
    flips = judged.decision.counts.negative
    opening = (
        f"Its error rate is {better} ({old * 100:.1f}% -> {new * 100:.1f}%), and it gets {flips} images wrong that the"
        " incumbent had right."
    )
    if judged.verdict is Verdict.REFUSE and new < old:
        return f"{opening} An average hides those; the gate does not."
    return opening
