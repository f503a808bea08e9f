"""How a guarded change is made in one piece and written down: in the registry's database, or over REST as may be.

Inside :meth:`SqlBook.exclusive` every call on the store takes part in one transaction, which holds a lock of the model
from its first read to its commit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from sqlalchemy import select, text

from gate.errors import GateError
from gate.plugin import journal
from gate.plugin.journal import Attempt
from gate.registry.moves import read_history


class Book(Protocol):
    """What the guard needs of the place where a registry keeps its models."""

    def reading(self) -> AbstractContextManager[object]:
        """Calls on the store inside read what is written, and not a copy of it that may be behind."""

    def exclusive(self, model: str) -> AbstractContextManager[object]:
        """Calls on the store inside are one change, while nobody else changes the model; undone on an error."""

    def write(self, attempt: Attempt) -> None:
        """Add a row to the journal, as a part of the change inside :meth:`exclusive`."""

    def last_move(self, model: str, alias: str) -> Attempt | None:
        """The newest move of an alias."""

    def use_of(self, model: str, alias: str, statement_digest: str) -> Attempt | None:
        """The move that an envelope was used for."""

    def arrival(self, model: str, alias: str, version: int) -> Attempt | None:
        """The newest move by which an alias came to a version."""

    def writing_of(self, model: str, tag: str) -> Attempt | None:
        """The change by which a tag of the registered model first came."""

    def was_refused(self, model: str, alias: str, version: int, since: Attempt) -> bool:
        """Whether a move of the alias to the version was refused after another change."""


class Carried(MlflowException):
    """A :class:`~gate.errors.GateError` on its way through MLflow's session, which would hide any other error."""

    def __init__(self, because: GateError) -> None:
        super().__init__(str(because), error_code=PERMISSION_DENIED)
        self.because = because


class SqlBook:
    """A database behind one of MLflow's ``SqlAlchemyStore``, whose sessions this takes over.

    Example::

        with book.exclusive("fraud"):
            store.set_registered_model_alias("fraud", "champion", 7)
            book.write(attempt)
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._open = store.ManagedSessionMaker
        self._held = threading.local()
        journal.make_table(store.engine)
        store.ManagedSessionMaker = self._session

    def _session(self, read_only: bool = True) -> AbstractContextManager[Any]:
        held = getattr(self._held, "session", None)
        return self._open(read_only=read_only) if held is None else nullcontext(held)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._open(read_only=False) as session:  # a read-only one may be that of a replica
            self._held.session = session
            try:
                yield
            finally:
                self._held.session = None

    @contextmanager
    def exclusive(self, model: str) -> Iterator[None]:
        with self._open(read_only=False) as session:
            self._lock(session, model)
            self._held.session = session
            try:
                yield
            except GateError as error:
                raise Carried(error) from None
            finally:
                self._held.session = None

    def _lock(self, session: Any, model: str) -> None:
        from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModel

        if self._store.engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))  # of the whole file: SQLite knows no smaller one
            return
        here = self._store._get_workspace_clauses(SqlRegisteredModel)
        session.execute(
            select(SqlRegisteredModel.name).where(*here, SqlRegisteredModel.name == model).with_for_update()
        )

    def write(self, attempt: Attempt) -> None:
        with self._session(read_only=False) as session:
            journal.write(session, attempt)

    def last_move(self, model: str, alias: str) -> Attempt | None:
        with self._session() as session:
            return journal.last_move(session, model, alias)

    def use_of(self, model: str, alias: str, statement_digest: str) -> Attempt | None:
        with self._session() as session:
            return journal.use_of(session, model, alias, statement_digest)

    def arrival(self, model: str, alias: str, version: int) -> Attempt | None:
        with self._session() as session:
            return journal.arrival(session, model, alias, version)

    def writing_of(self, model: str, tag: str) -> Attempt | None:
        with self._session() as session:
            return journal.writing_of(session, model, tag)

    def was_refused(self, model: str, alias: str, version: int, since: Attempt) -> bool:
        with self._session() as session:
            return journal.was_refused(session, model, alias, version, since.number or 0)


class RestBook:
    """A server elsewhere: no lock, no journal; of the moves is known what their promoters wrote into tags."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def exclusive(self, model: str) -> AbstractContextManager[None]:
        return nullcontext()

    def write(self, attempt: Attempt) -> None:
        """Nothing is kept: the server's own journal is the place for it."""

    def last_move(self, model: str, alias: str) -> Attempt | None:
        return next(iter(self._moves(model, alias)), None)

    def use_of(self, model: str, alias: str, statement_digest: str) -> Attempt | None:
        return next((move for move in self._moves(model, alias) if move.statement_digest == statement_digest), None)

    def arrival(self, model: str, alias: str, version: int) -> Attempt | None:
        return next((move for move in self._moves(model, alias) if move.after == version), None)

    def writing_of(self, model: str, tag: str) -> None:
        """The server's own journal says, and is not read from here."""

    def was_refused(self, model: str, alias: str, version: int, since: Attempt) -> bool:
        return False

    def _moves(self, model: str, alias: str) -> list[Attempt]:
        """Newest first."""
        found = self._store.get_registered_model(model).tags
        return [
            Attempt(
                at=move.at,
                actor=move.by,
                action="set_alias",
                model=model,
                version=move.version,
                alias=alias,
                before=move.previous,
                after=move.version,
                allowed=True,
                kind=move.kind.value,
                statement_digest=move.statement_digest,
            )
            for move in reversed(read_history(found, alias).moves)
            if move.state == "done"
        ]
