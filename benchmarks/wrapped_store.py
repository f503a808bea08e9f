"""What does the gate in front of a registry store cost on the calls that it lets through?

Run::

    python benchmarks/wrapped_store.py [ROUNDS]

Two stores on copies of one SQLite database, in the system's folder for temporary files: one with the gate in front of
it, one without. Each call is made on both in turn, now the one first and now the other, and compared round by round.
Prints medians in milliseconds, and the share that is added; at most 5 % is allowed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from machine import record

ROUNDS, WARMING = 200, 50
LIMIT = 0.05
ENFORCEMENT = """\
version: 1
protect:
  - {models: [fraud, "credit-*"], aliases: [champion], keys: [ci.pub], override_keys: [oncall.pub], policies: any}
"""

Call = Callable[[Any, int], Any]


def calls() -> dict[str, Call]:
    """What is called, with the store and the number of the round."""
    from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

    def tag(number: int, key: str = "seen") -> Any:
        return ModelVersionTag(key, str(number))

    return {
        "get_registered_model": lambda store, _: store.get_registered_model("fraud"),
        "get_model_version": lambda store, _: store.get_model_version("fraud", "2"),
        "get_model_version_by_alias": lambda store, _: store.get_model_version_by_alias("fraud", "challenger"),
        "search_model_versions": lambda store, _: store.search_model_versions("name='fraud'"),
        "create_model_version": lambda store, _: store.create_model_version("churn", "/files"),
        "set_model_version_tag": lambda store, n: store.set_model_version_tag("fraud", "2", tag(n)),
        "  of the gate's, elsewhere": lambda store, n: store.set_model_version_tag("churn", "1", tag(n, "gate.run_id")),
        "set_registered_model_tag": lambda store, n: store.set_registered_model_tag(
            "fraud", RegisteredModelTag("seen", str(n))
        ),
        "set_registered_model_alias": lambda store, n: store.set_registered_model_alias("fraud", "other", 1 + n % 2),
        "  elsewhere": lambda store, n: store.set_registered_model_alias("churn", "champion", 1 + n % 2),
        "  and deleting it": set_and_delete,
        "transition_model_version_stage": lambda store, n: store.transition_model_version_stage(
            "churn", "1", ("Staging", "None")[n % 2], False
        ),
        "update_model_version": lambda store, n: store.update_model_version("fraud", "2", str(n)),
    }


def set_and_delete(store: Any, number: int) -> None:
    store.set_registered_model_alias("churn", "other", 1)
    store.delete_registered_model_alias("churn", "other")


def stores(folder: Path) -> tuple[Any, Any]:
    """The same registry twice: without the gate, and with it."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    from gate.decisions.keys import new_keys
    from gate.plugin.store import open_store

    for name in ("ci", "oncall"):
        new_keys(folder / name)
    (folder / "enforcement.yaml").write_text(ENFORCEMENT)
    os.environ["GATE_ENFORCEMENT"] = str(folder / "enforcement.yaml")
    plain = SqlAlchemyStore(f"sqlite:///{folder}/plain.db")
    for name in ("fraud", "churn"):
        plain.create_registered_model(name)
        for _ in range(2):
            plain.create_model_version(name, "/files")
    plain.set_registered_model_alias("fraud", "challenger", 2)
    plain.engine.dispose()
    shutil.copy(folder / "plain.db", folder / "gated.db")
    return plain, open_store(f"gated:sqlite:///{folder}/gated.db")


def milliseconds(call: Call, store: Any, number: int) -> float:
    started = time.perf_counter_ns()
    call(store, number)
    return (time.perf_counter_ns() - started) / 1e6


def compared(call: Call, pair: tuple[Any, Any], rounds: int) -> tuple[float, float]:
    """The median of a call without the gate, and the median of what the gate added in the same round."""
    plain: list[float] = []
    added: list[float] = []
    for number in range(rounds + WARMING):
        taken = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            taken[which] = milliseconds(call, pair[which], number)
        if number >= WARMING:  # the first ones fill caches
            plain.append(taken[0])
            added.append(taken[1] - taken[0])
    return median(plain), median(added)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    sums = [0.0, 0.0]
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        pair = stores(Path(folder))
        print(f"{'call':32}{'plain ms':>10}{'added ms':>10}{'added':>9}")
        for name, call in calls().items():
            plain, added = compared(call, pair, rounds)
            sums = [sums[0] + plain, sums[1] + added]
            print(f"{name:32}{plain:10.3f}{added:10.3f}{added / plain:+9.1%}")
    whole = sums[1] / sums[0]
    print(f"{'all of them':32}{sums[0]:10.3f}{sums[1]:10.3f}{whole:+9.1%}")
    what = f"a registry's store with the gate before it, {len(calls())} calls: added"
    record("wrapped_store", [{"what": what, "value": whole, "unit": "share", "at_most": LIMIT}], "mlflow", "sqlalchemy")
    print(f"at most {LIMIT:.0%}: {'held' if whole <= LIMIT else 'BROKEN'} ({rounds} rounds)")
    return 0 if whole <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
