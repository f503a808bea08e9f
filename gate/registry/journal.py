"""What an enforcing store wrote down about an alias: a table in the registry's own database, read and never written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from gate.errors import EvidenceError
from gate.registry.address import DATABASES, inner, scheme_of, shown

TABLE = "gate_journal"


@dataclass(frozen=True)
class Attempt:
    """One attempt at something that is guarded, allowed or refused.

    ``at`` is in UTC, to the second; ``actor`` is who asked, ``-`` where the server did not know. ``before`` and
    ``after`` are the versions that the alias was and is, None for no alias. ``reason`` says why it was refused, or is
    that of the person who signed.
    """

    number: int
    at: str
    actor: str
    action: str
    version: int | None
    tag: str | None
    before: int | None
    after: int | None
    allowed: bool
    reason: str | None
    decision_id: str | None
    kind: str | None
    signed_by: str | None
    statement_digest: str | None

    @property
    def moved(self) -> bool:
        """Whether the alias is elsewhere since."""
        return self.allowed and self.tag is None and self.before != self.after


def read_journal(uri: str, model: str, alias: str, without_secrets: Callable[[str], str]) -> tuple[Attempt, ...] | None:
    """The attempts at one alias, oldest first; None where ``uri`` is no database, or one without a journal.

    :class:`~gate.errors.EvidenceError` where the journal is there and cannot be read.
    """
    if scheme_of(uri) not in DATABASES:
        return None
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    engine = sqlalchemy.create_engine(inner(uri), poolclass=NullPool)
    columns: list[sqlalchemy.ColumnClause[object]] = [sqlalchemy.column(field.name) for field in fields(Attempt)]
    rows = sqlalchemy.table(TABLE, *columns, sqlalchemy.column("model"), sqlalchemy.column("alias"))
    query = sqlalchemy.select(*columns).where(rows.c.model == model, rows.c.alias == alias).order_by(rows.c.number)
    try:
        if not sqlalchemy.inspect(engine).has_table(TABLE):
            return None
        with engine.connect() as connection:
            found = connection.execute(query.select_from(rows)).mappings().all()
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = without_secrets(str(getattr(error, "orig", None) or error)).splitlines()[0]
        raise EvidenceError(f"its journal cannot be read: {reason}", where=shown(uri)) from None
    return tuple(Attempt(**{**row, "allowed": bool(row["allowed"])}) for row in found)
