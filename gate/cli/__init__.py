"""The command line: parse, call one function, render, exit."""


def main() -> None:
    """The ``gate`` command."""
    from gate.cli.app import leave, run

    leave(run())
