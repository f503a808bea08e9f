"""Where the Python workers of a local session come from: Spark's own daemon, with what they all import at hand.

Workers are forked from it, so that MLflow is imported once and not in every one of them. No model runs here.
"""

from __future__ import annotations

import gc
import importlib
import os

AT_HAND = "GATE_SPARK_AT_HAND"
"""The variable that names what else the workers will import."""

ALL_NEED = ("mlflow.pyfunc", "mlflow.pyfunc.scoring_server.client", "mlflow.sklearn", "pandas", "pyarrow")


def main() -> None:
    """Run as a module, by Spark: ``python -m gate.engines.spark.daemon``."""
    from pyspark import daemon  # here, since whoever only looks for the variable's name may have no pyspark

    for name in (*ALL_NEED, *os.environ.get(AT_HAND, "").split()):
        importlib.import_module(name)
    gc.freeze()  # what is here stays, in pages that the workers share
    daemon.manager()


if __name__ == "__main__":
    main()
