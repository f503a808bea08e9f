"""The journal of an enforcing registry: a table in its database with a row for every guarded attempt.

It is written by the server alone, in the transaction that makes the change, so that no move is without its row and no
row without its move. No route of MLflow reads or writes it; :mod:`gate.registry.journal` reads it where the database
can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, select

from gate.registry.journal import TABLE

SET_ALIAS, SET_MODEL_TAG = "set_alias", "set_model_tag"
"""What the rows of moves, and of tags of the registered model, have for ``action``."""

_LONGEST_REASON = 2000
_LONGEST_NAME = 256

_METADATA = MetaData()
_ROWS = Table(
    TABLE,
    _METADATA,
    # SQLite numbers rows by itself in a column of this type only.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", String(20), nullable=False),
    Column("actor", String(_LONGEST_NAME), nullable=False),
    Column("action", String(32), nullable=False),
    Column("model", String(_LONGEST_NAME), nullable=False),
    Column("version", BigInteger),
    Column("alias", String(_LONGEST_NAME)),
    Column("tag", String(_LONGEST_NAME)),
    Column("before", BigInteger),
    Column("after", BigInteger),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text),
    Column("decision_id", String(64)),
    Column("kind", String(16)),
    Column("signed_by", String(64)),
    Column("statement_digest", String(64)),
    Column("digest", String(64)),
    Index("gate_journal_of_an_alias", "model", "alias", "number"),
)


@dataclass(frozen=True)
class Attempt:
    """One row. ``number`` is None until it is written; ``at`` is in UTC, to the second; ``actor`` is ``-`` if unknown.

    ``before`` and ``after`` are the versions that the alias was at and is at, None for no alias; they differ where it
    moved. ``reason`` is why an attempt was refused, or the reason of a person who signed. ``statement_digest`` is the
    SHA-256 of the envelope, ``signed_by`` the id of the key, ``digest`` the SHA-256 of the files that were promoted.
    """

    at: str
    actor: str
    action: str
    model: str
    version: int | None = None
    alias: str | None = None
    tag: str | None = None
    before: int | None = None
    after: int | None = None
    allowed: bool = False
    reason: str | None = None
    decision_id: str | None = None
    kind: str | None = None
    signed_by: str | None = None
    statement_digest: str | None = None
    digest: str | None = None
    number: int | None = None


def make_table(engine: sqlalchemy.Engine) -> None:
    """Make the table, where it is not there yet; several processes may do so at once."""
    try:
        _METADATA.create_all(engine)
    except sqlalchemy.exc.SQLAlchemyError:
        if not sqlalchemy.inspect(engine).has_table(TABLE):
            raise


def write(session: Any, attempt: Attempt) -> None:
    """Add a row, in the transaction of an open session (or connection)."""
    cut = {
        name: _writable(value)[: _LONGEST_REASON if name == "reason" else _LONGEST_NAME]
        if isinstance(value, str)
        else value
        for name, value in vars(attempt).items()
        if name != "number"
    }
    session.execute(_ROWS.insert().values(**cut))


def _writable(value: str) -> str:
    """A text as every database takes it: what is no character is spelled out."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def last_move(session: Any, model: str, alias: str) -> Attempt | None:
    """The newest row that moved an alias; None where there is none."""
    return _newest_move(session, model, alias)


def use_of(session: Any, model: str, alias: str, statement_digest: str) -> Attempt | None:
    """The row of the move that an envelope was used for; None where there is none."""
    return _newest_move(session, model, alias, _ROWS.c.statement_digest == statement_digest)


def arrival(session: Any, model: str, alias: str, version: int) -> Attempt | None:
    """The newest row of a move by which an alias came to a version; None where there is none."""
    return _newest_move(session, model, alias, _ROWS.c.after == version)


def writing_of(session: Any, model: str, tag: str) -> Attempt | None:
    """The row by which a tag of the registered model first came; None where there is none."""
    query = select(_ROWS).where(
        _ROWS.c.model == model, _ROWS.c.tag == tag, _ROWS.c.action == SET_MODEL_TAG, _ROWS.c.allowed
    )
    row = session.execute(query.order_by(_ROWS.c.number).limit(1)).first()
    return None if row is None else _attempt(row)


def was_refused(session: Any, model: str, alias: str, version: int, since: int) -> bool:
    """Whether a move of an alias to a version was refused after the row ``since``."""
    query = select(_ROWS.c.number).where(
        _ROWS.c.model == model,
        _ROWS.c.alias == alias,
        _ROWS.c.action == SET_ALIAS,
        _ROWS.c.version == version,
        sqlalchemy.not_(_ROWS.c.allowed),
        _ROWS.c.number > since,
    )
    return session.execute(query.limit(1)).first() is not None


def _newest_move(session: Any, model: str, alias: str, *also: Any) -> Attempt | None:
    moves = (_ROWS.c.model == model, _ROWS.c.alias == alias, _ROWS.c.allowed, _ROWS.c.tag.is_(None))
    query = select(_ROWS).where(*moves, _ROWS.c.before.is_distinct_from(_ROWS.c.after), *also)
    row = session.execute(query.order_by(_ROWS.c.number.desc()).limit(1)).first()
    return None if row is None else _attempt(row)


def _attempt(row: Any) -> Attempt:
    return Attempt(**row._mapping)
