"""What do others take for the work of the gate? MLflow, Evidently, Deepchecks, Fairlearn, a script by hand, NumPy.

Run::

    python -m benchmarks.peers [--rows 1000000] [--classes 10 1000] [--check-rows 100000] [--repeats 3]
        [--limit 600] [--once 60] [--only NAME ...] [--environments FOLDER]

Each peer has an environment of its own, made of ``benchmarks/peers/NAME.txt`` (in ``--environments``, which are kept),
and does the same work in processes of their own, in turns:

- **count**: from a Parquet file of labels and the answers of two models to what changed, by class where the peer can;
- **check**: from two registered models and a held-out set of 50 columns to the verdict, as a whole command.

Printed are medians: seconds of the work, without imports and with reading the file; seconds of the whole process with
its imports; MiB at the peak; the ratios to the gate's own in the same run; and what each peer found. They do not all
find the same: none but the gate has bounds, and who does not pair the two models cannot say how many rows flipped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the neighbours are scripts, and find one another there

from data import answers, registry  # noqa: E402
from machine import machine, record  # noqa: E402
from running import Ran, environment, run  # noqa: E402

ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Peer:
    """Who: the script, the name of its requirements (None: the gate's own environment), and what it cannot say."""

    name: str
    script: str
    wants: str | None
    lacks: str = ""


COUNT = (
    Peer("the gate", "with_gate", None),
    Peer("NumPy bincount", "with_numpy", "by_hand", "bounds, verdict"),
    Peer("by hand: pandas, scikit-learn", "by_hand", "by_hand", "bounds, verdict"),
    Peer("Fairlearn", "with_fairlearn", "fairlearn", "bounds, verdict; flips by a metric written for it"),
    Peer("Evidently", "with_evidently", "evidently", "flips, bounds"),
    Peer("Deepchecks", "with_deepchecks", "deepchecks", "flips, bounds"),
    Peer("MLflow evaluate + validate", "with_mlflow", "mlflow", "flips, classes, bounds"),
)
CHECK = (
    Peer("gate check", "gate_command", None),
    Peer("bare loop: load, predict, count", "bare", "mlflow", "bounds, verdict, record"),
    Peer("MLflow evaluate + validate", "with_mlflow", "mlflow", "flips, classes, bounds"),
)


def runs(
    story: str, peers: tuple[Peer, ...], told: list[str], folder: Path, given: argparse.Namespace
) -> dict[str, list[Ran]]:
    """Some runs of each, in turns: one that fails or takes long is not tried again."""
    found: dict[str, list[Ran]] = {peer.name: [] for peer in peers}
    for _ in range(given.repeats):
        for peer in peers:
            before = found[peer.name]
            if not (before and (before[-1].problem or before[-1].whole > given.once)):
                before.append(one(peer, story, told, folder, given))
    return found


def one(peer: Peer, story: str, told: list[str], folder: Path, given: argparse.Namespace) -> Ran:
    try:
        python = Path(sys.executable) if peer.wants is None else environment(peer.wants, given.environments)
    except RuntimeError as error:
        return Ran(0.0, problem=f"its environment could not be made: {error}")
    print(f"{story}: {peer.name}", file=sys.stderr, flush=True)
    return run([str(python), str(HERE / "child.py"), peer.script, story, *told], folder, given.limit)


def rows(story: str, what: str, peers: tuple[Peer, ...], found: dict[str, list[Ran]]) -> list[dict[str, Any]]:
    """A row for each peer; the first is the gate."""
    kept = []
    for peer in peers:
        ran = found[peer.name]
        row: dict[str, Any] = {
            "what": f"{what}: {peer.name}",
            "unit": "s",
            "story": story,
            "of": what,
            "peer": peer.name,
        }
        if ran[-1].problem:
            kept.append({**row, "value": None, "problem": ran[-1].problem})
            continue
        kept.append(
            {
                **row,
                "value": median(one.told["work"] for one in ran),
                "imports": median(one.told["imports"] for one in ran),
                "whole": median(one.whole for one in ran),
                "peak_mib": max(one.peak for one in ran),
                "found": ran[-1].told["found"],
                "lacks": peer.lacks,
                "versions": ran[-1].told["versions"],
                "repeats": len(ran),
            }
        )
    ours = kept[0]
    for row in kept:
        if row["value"] is not None and ours["value"] is not None:
            row |= {"ratio": row["value"] / ours["value"], "whole_ratio": row["whole"] / ours["whole"]}
    return kept


def show(what: str, kept: list[dict[str, Any]]) -> None:
    print(f"\n{what}")
    print(f"  {'':<32} {'work, s':>9} {'ratio':>8} {'whole, s':>9} {'ratio':>8} {'MiB':>7}  found; version")
    for row in kept:
        if row["value"] is None:
            print(f"  {row['peer']:<32} {row['problem']}")
            continue
        found = ", ".join(f"{key} {_told(value)}" for key, value in row["found"].items())
        first = " ".join(next(iter(row["versions"].items())))
        print(
            f"  {row['peer']:<32} {row['value']:>9.2f} {row.get('ratio', 0):>8.1f} {row['whole']:>9.2f}"
            f" {row.get('whole_ratio', 0):>8.1f} {row['peak_mib']:>7.0f}  {found}; {first}",
            flush=True,
        )


def _told(value: Any) -> str:
    return " / ".join(f"{one:.4f}" for one in value) if isinstance(value, list) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, nargs="*", default=[10, 1_000])
    parser.add_argument("--check-rows", type=int, default=100_000, help="0: no check")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a peer is stopped")
    parser.add_argument(
        "--once", type=float, default=60.0, help="seconds above which a peer runs once, not REPEATS times"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="scripts, such as with_mlflow; the gate always runs")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    given = parser.parse_args()

    def chosen(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
        return peers if not given.only else tuple(one for one in peers if one.wants is None or one.script in given.only)

    print(machine("pandas", "scikit-learn", "mlflow"))
    kept: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for classes in given.classes:
            what = f"count, {given.rows:,} rows, {classes:,} classes"
            told = [str(answers(folder, given.rows, classes))]
            part = rows("count", what, chosen(COUNT), runs("count", chosen(COUNT), told, folder, given))
            show(what, part)
            kept += part
        if given.check_rows:
            what = f"check, {given.check_rows:,} rows x 50"
            store, data = registry(folder, given.check_rows)
            part = rows("check", what, chosen(CHECK), runs("check", chosen(CHECK), [store, str(data)], folder, given))
            show(what, part)
            kept += part
            slow = next((row for row in part if row["peer"].startswith("MLflow")), {})
            if "whole_ratio" in slow:
                faster = {"value": slow["whole_ratio"], "unit": "x", "at_least": 3.0, "aim": 5.0}
                kept.append(
                    {"what": f"{what}: MLflow evaluate twice + validate / gate check, whole commands", **faster}
                )
    record("peers", kept, "mlflow", "pandas", "scikit-learn")


if __name__ == "__main__":
    main()
