"""The command line: parse, call one function, render, exit."""


def main() -> None:
    """The ``gate`` command."""
    import gc

    # A short life, and a quarter of it would go into looking for garbage among the modules that are imported.
    gc.set_threshold(500_000, 10, 10)

    import sys

    from gate.cli.app import leave, run, tidy_when_terminated

    tidy_when_terminated()
    if "--in-process" in sys.argv:
        from gate.cli.overseen import overseen

        leave(overseen(run, leave))
    leave(run())
