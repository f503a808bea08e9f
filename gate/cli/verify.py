"""``gate verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gate.cli import options

if TYPE_CHECKING:
    from gate.decisions.statement import Statement, Subject
    from gate.stories.verify import Verified

_FILE = click.Path(path_type=Path)
_WIDTH = 80


@click.command("verify")
@click.argument("file", type=_FILE)
@click.option(
    "--key", "keys", metavar="PUB", required=True, multiple=True, type=_FILE, help="Public key that counts. Repeatable."
)
@click.option("--decision", metavar="FILE", type=_FILE, help="The decision that it should be about.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.loudness
def command(file: Path, keys: tuple[Path, ...], decision: Path | None, form: str, quiet: bool, verbose: bool) -> int:
    """Say what is signed in FILE, or that it is not genuine.

    Exits with the code of the verdict that is signed (0 for an override or a rollback, which are a person's), with 12
    if anything was changed or another key signed it, and with 13 if it is genuine but good no more. The registry is
    not asked.

    \b
    gate verify decision.dsse.json --key keys/ci.pub
    """
    from gate.errors import ConflictError
    from gate.stories.verify import verify

    found = verify(file, keys=keys, decision=decision)
    if form == "json":
        click.echo(_json(found))
    elif not quiet:
        click.echo("\n".join(_lines(found)))
    if found.stale is not None:
        raise ConflictError(
            f"genuine, but good no more: {found.stale}",
            where=str(file),
            hint="judge again with gate check, and sign that" if _of_gate(found.statement) else "sign it anew",
        )
    return _exit_code(found)


def _of_gate(statement: Statement | None) -> bool:
    return statement is not None and statement.kind.value == "decision"


def _exit_code(found: Verified) -> int:
    from gate.errors import ExitCode

    if found.statement is None:
        passed = found.document["predicate"]["result"] in ("PASSED", "WARNED")
        return int(ExitCode.ALLOW if passed else ExitCode.REFUSED)
    if _of_gate(found.statement) and found.statement.verdict is not None:
        return int(found.statement.verdict.exit_code)
    return int(ExitCode.ALLOW)


def _lines(found: Verified) -> list[str]:
    from textwrap import wrap

    from gate.report.words import printable

    told = [f"genuine: signed with {found.key.name} ({found.key.keyid[:16]})"]
    if found.stale is not None:
        told.append(f"GOOD NO MORE: {found.stale}")
    if found.statement is None:
        result = found.document["predicate"]["result"]
        told.append(f"An in-toto test-result: {result}. It is for other tools to read, and moves no alias.")
        rows, digests = _of_test_result(found.document)
    else:
        told.append(found.statement.summary)
        rows, digests = _of_statement(found.statement)
    lines = [line for text in told for line in wrap(printable(text), _WIDTH)]
    lines.append("")
    for name, value in rows:
        first, *others = wrap(printable(value), _WIDTH - 16, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"  {name:<12}  {first}".rstrip(), *(f"{'':16}{line}" for line in others)]
    lines += ["", "  SHA-256", *(f"  {digest}  {printable(name)}" for name, digest in digests if digest is not None)]
    return lines


def _of_statement(statement: Statement) -> tuple[list[tuple[str, str]], list[tuple[str, str | None]]]:
    """What it says, a row each; and the digests that it binds."""
    at = "no version" if statement.incumbent is None else f"version {statement.incumbent.version}"
    kept = statement.keep_previous_as if statement.incumbent else None
    move = f"@{statement.alias} from {at} to version {statement.candidate.version}"
    rows = [
        ("says", statement.kind.value + (f", verdict {statement.verdict.value}" if statement.verdict else "")),
        ("model", statement.model),
        ("alias", move + (f"; {at} is kept as @{kept}" if kept else "")),
        ("environment", statement.environment or "none named"),
        ("registry", statement.registry or "none named"),
        ("judged", statement.created_at if statement.verdict else "not by the gate"),
        ("signed", statement.signed_at),
        ("good until", statement.expires_at),
    ]
    tools = ", ".join(f"{name} {version}" for name, version in sorted(statement.tools.items()))
    others = {"by": statement.by, "reason": statement.reason, "ticket": statement.ticket, "run": statement.run_id}
    rows += [(name, value) for name, value in {**others, "tools": tools}.items() if value]
    digests = [
        ("candidate", _digest(statement.candidate)),
        ("incumbent", _digest(statement.incumbent)),
        ("held-out set", statement.holdout_digest),
        ("policy", statement.policy_digest),
        ("decision", statement.decision_digest),
        *statement.files.items(),
    ]
    return rows, digests


def _digest(subject: Subject | None) -> str | None:
    return None if subject is None else subject.digest


def _of_test_result(document: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str | None]]]:
    predicate = document["predicate"]
    tests = [(name, predicate[f"{name}Tests"]) for name in ("passed", "warned", "failed")]
    described = (*document["subject"], *predicate["configuration"])
    return (
        [(name, ", ".join(named)) for name, named in tests if named],
        [(of["name"], of["digest"]["sha256"]) for of in described],
    )


def _json(found: Verified) -> str:
    import json

    plain = {
        "good": found.stale is None,
        "because": found.stale,
        "signed_by": {"name": found.key.name, "keyid": found.key.keyid},
        "statement": found.document,
    }
    return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
