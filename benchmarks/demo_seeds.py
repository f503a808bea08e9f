"""For how many seeds does the demo tell its story? Trains its three models for each seed and prints a table.

Run::

    python benchmarks/demo_seeds.py [--seeds 20] [--first 0]

Each line: the error rates of the three models, the negative flips of the candidate with their lower bound, those of the
distilled model with their upper bound (one-sided, exact, 95 %), and whether the story holds under "nfr at most 2 %,
decided on proof": the candidate has the better error rate and is refused (its lower bound is above 2 %), the distilled
model is allowed (its upper bound is not) and its error rate is not worse than the incumbent's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from scipy.special import betaincinv

from gate.demo.images import split_digits
from gate.demo.training import predict, train_candidate, train_distilled, train_incumbent

LIMIT = 0.02
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Story:
    """What one seed gave: counts of errors and negative flips over ``n`` held-out images, and seconds of training."""

    seed: int
    n: int
    errors: tuple[int, int, int]
    candidate_flips: int
    distilled_flips: int
    seconds: float

    @property
    def refused(self) -> bool:
        """The candidate is right more often, and proven to break more than the limit."""
        return self.errors[1] < self.errors[0] and lower(self.candidate_flips, self.n) > LIMIT

    @property
    def allowed(self) -> bool:
        """The distilled model is not worse than the incumbent, and proven to break no more than the limit."""
        return self.errors[2] <= self.errors[0] and upper(self.distilled_flips, self.n) <= LIMIT


def lower(k: int, n: int) -> float:
    """The exact one-sided lower bound of a rate, k of n (Clopper and Pearson 1934)."""
    return float(betaincinv(k, n - k + 1, 1 - CONFIDENCE)) if k else 0.0


def upper(k: int, n: int) -> float:
    """The exact one-sided upper bound of a rate, k of n."""
    return float(betaincinv(k + 1, n - k, CONFIDENCE)) if k < n else 1.0


def tell(seed: int) -> Story:
    """Deal the digits and train the three models for one seed."""
    started = time.perf_counter()
    split = split_digits(seed)
    incumbent = train_incumbent(split.incumbent, seed)
    models = (incumbent, train_candidate(split.candidate, seed), train_distilled(split.candidate, incumbent, seed))
    seconds = time.perf_counter() - started
    was, candidate, distilled = (predict(model, split.held_out).numpy() == split.held_out.labels for model in models)
    return Story(
        seed=seed,
        n=len(split.held_out),
        errors=(int((~was).sum()), int((~candidate).sum()), int((~distilled).sum())),
        candidate_flips=int((was & ~candidate).sum()),
        distilled_flips=int((was & ~distilled).sum()),
        seconds=seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()

    print("      error rate, %               candidate, %      distilled, %")
    print("seed  incumb.  candid.  distill.  NFR   lower       NFR   upper       story               seconds")
    stories = []
    for seed in range(options.first, options.first + options.seeds):
        story = tell(seed)
        stories.append(story)
        errors = [100 * count / story.n for count in story.errors]
        candidate_rate, distilled_rate = (story.candidate_flips / story.n, story.distilled_flips / story.n)
        words = ("refused" if story.refused else "not refused") + (", allowed" if story.allowed else ", not allowed")
        print(
            f"{seed:4}  {errors[0]:7.2f}  {errors[1]:7.2f}  {errors[2]:8.2f}"
            f"  {100 * candidate_rate:4.2f}  {100 * lower(story.candidate_flips, story.n):4.2f} "
            f"       {100 * distilled_rate:4.2f}  {100 * upper(story.distilled_flips, story.n):4.2f} "
            f"       {words:<24}{story.seconds:4.1f}",
            flush=True,
        )
    holds = sum(story.refused and story.allowed for story in stories)
    print(
        f"\nThe candidate is better and refused: {sum(story.refused for story in stories)} of {len(stories)};"
        f" the distilled model is allowed: {sum(story.allowed for story in stories)};"
        f" both, so the story holds: {holds}."
    )


if __name__ == "__main__":
    main()
