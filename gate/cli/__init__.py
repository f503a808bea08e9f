"""The command line: parse, call one function, render, exit."""


def main() -> None:
    """The ``gate`` command."""
    from gate.cli.app import run

    raise SystemExit(run())
