"""A worker: one model in a process of its own, fed Arrow batches, answering Arrow batches, over a socket and a pipe.

The gate runs this file by its path::

    python -I -B .../gate/engines/in_worker/__main__.py FD_IN FD_OUT

Its folder becomes the package ``gate_model`` by its place, not by ``sys.path``: a model that imports ``answers`` or
``frames`` must find its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import struct
import sys


def main() -> None:
    """Run as a script: ``__main__.py FD_IN FD_OUT``."""
    try:
        import numpy  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as missing:  # nothing else here can be imported without them: say it in the gate's frames, leave
        told = {"found": f"its Python ({sys.executable}) cannot import what every worker needs: {missing}"}
        told["hint"] = "install mlflow, numpy, pandas and pyarrow 14 or newer there"
        said = json.dumps(told).encode()
        os.write(int(sys.argv[2]), struct.pack("<4sIQ", b"gate", 7, len(said)) + said)
        os._exit(1)
    become_package(os.path.dirname(os.path.abspath(__file__)), "gate_model")
    importlib.import_module("gate_model.serving").main()


def become_package(folder: str, name: str) -> None:
    """Make a folder importable as the package ``name``, and nothing else with it."""
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main()
