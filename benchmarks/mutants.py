"""Which mutants of the policy room are tried, and what became of all that were (docs/mutation.md).

Run, after mutmut has made the mutants::

    python benchmarks/mutants.py sample [SIZE]
    python benchmarks/mutants.py tally

``sample`` prints the names of a uniform random sample of the mutants of gate/policy, always the same one; ``tally``
prints a table of what mutmut found, a line a file, and the names of those that survived.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

FOLDER = Path("mutants/gate")
ROOMS = ("core", "policy")
SEED = 3
SIZE = 600
STATUSES = ("killed", "timeout", "survived", "no tests")


def results(room: str) -> dict[str, dict[str, int | None]]:
    """For each file of a room its mutants with the exit code of their tests; None for those that were not tried."""
    return {
        path.name.removesuffix(".meta"): json.loads(path.read_text())["exit_code_by_key"]
        for path in sorted((FOLDER / room).glob("*.py.meta"))
    }


def sample(size: int) -> list[str]:
    names = sorted(name for codes in results("policy").values() for name in codes)
    return sorted(random.Random(SEED).sample(names, size))


def tally() -> None:
    survivors = []
    print(f"| room | file | made | tried | {' | '.join(STATUSES)} |")
    print(f"| --- | --- |{' ---: |' * (len(STATUSES) + 2)}")
    for room in ROOMS:
        total: Counter[str] = Counter()
        for file, codes in results(room).items():
            tried = {name: status_by_exit_code[code] for name, code in codes.items() if code is not None}
            found = Counter(tried.values())
            survivors += [name for name, status in tried.items() if status not in ("killed", "timeout")]
            if codes:
                print(_line(room, file, len(codes), found))
            total += found + Counter(made=len(codes))
        made = total.pop("made", 0)
        print(_line(room, "all", made, total))
    print("\n".join(["", *sorted(survivors)]))


def _line(room: str, file: str, made: int, found: Counter[str]) -> str:
    numbers = (made, found.total(), *(found[status] for status in STATUSES))
    return f"| {room} | {file} | {' | '.join(f'{number:,}' for number in numbers)} |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["sample"]:
        print("\n".join(sample(int(sys.argv[2]) if len(sys.argv) > 2 else SIZE)))
    elif sys.argv[1:] == ["tally"]:
        tally()
    else:
        sys.exit(__doc__)
