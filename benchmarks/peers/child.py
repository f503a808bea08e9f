"""One peer at its work, in the interpreter of its own environment: ``python child.py SCRIPT STORY ARGUMENT ...``.

Each script imports what it needs at its top and has a function a story, which returns what it found. Prints one line of
JSON: seconds of the imports and of the work apart, what was found, and versions. Only the standard library is imported
here, before the clock starts.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path


def peak() -> float:
    """MiB of the most memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage begins with what the parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def main() -> None:
    script, story, *told = sys.argv[1:]
    started = time.perf_counter()
    peer = importlib.import_module(script)
    for module in ("pyarrow.dataset", "pyarrow.parquet"):  # those who read a file import them when they do
        importlib.import_module(module)
    imported = time.perf_counter()
    found = getattr(peer, story)(*told)
    done = time.perf_counter()
    line = {
        "imports": imported - started,
        "work": done - imported,
        "peak": peak(),
        "found": found,
        "versions": {name: importlib.metadata.version(name) for name in peer.PACKAGES},
    }
    print("\n" + json.dumps(line), flush=True)
    os._exit(0)  # what a library left running in the background is none of its work


if __name__ == "__main__":
    main()
