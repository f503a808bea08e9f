"""A registry in a SQLite file with a protected name, what signs for it, and versions with files of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gate.core.judgement import Verdict
from gate.decisions import tags
from gate.decisions.envelope import sign
from gate.decisions.keys import PrivateKey, new_keys, read_private
from gate.decisions.statement import Kind, Statement, Subject, override_of, rollback
from gate.decisions.times import stamp
from gate.plugin.watched import SETTING
from gate.registry.manifest import model_digest

MODEL, ALIAS, POLICY = "fraud", "champion", "5" * 64

ENFORCEMENT = f"""\
version: 1
protect:
  - models: [fraud, credit-*]
    aliases: [champion]
    keys: [ci.pub]
    override_keys: [oncall.pub]
    policies: ["{POLICY}"]
"""


@dataclass
class Workplace:
    """The folder with all of it: ``uri`` is the database without the gate, ``gated`` the store with it."""

    folder: Path
    uri: str
    keys: dict[str, PrivateKey]
    gated: Any = None
    plain: Any = None
    files: dict[tuple[str, int], Path] = field(default_factory=dict)

    def add_version(self, name: str = MODEL) -> int:
        """A version whose files are its own."""
        from mlflow.exceptions import MlflowException

        try:
            self.plain.get_registered_model(name)
        except MlflowException:
            self.plain.create_registered_model(name)
        files = self.folder / f"files-{len(self.files)}"
        files.mkdir()
        (files / "MLmodel").write_text(f"flavors: {{}} # {name} {len(self.files)}")
        version = int(self.plain.create_model_version(name, str(files)).version)
        self.files[name, version] = files
        return version

    def subject(self, version: int, name: str = MODEL) -> Subject:
        return Subject(version, model_digest(self.files[name, version]))

    def statement(self, candidate: int, incumbent: int | None, /, *, name: str = MODEL, **parts: Any) -> Statement:
        """What the gate would say of two versions, now; parts of it may be others."""
        now = datetime.now(timezone.utc)
        said: dict[str, Any] = {
            "kind": Kind.DECISION,
            "verdict": Verdict.ALLOW,
            "decision_id": "1" * 64,
            "decision_digest": "2" * 64,
            "registry": "http://localhost:5000",
            "model": name,
            "alias": ALIAS,
            "keep_previous_as": None,
            "environment": None,
            "candidate": self.subject(candidate, name),
            "incumbent": None if incumbent is None else self.subject(incumbent, name),
            "holdout_digest": "4" * 64,
            "policy_digest": POLICY,
            "created_at": stamp(now),
            "signed_at": stamp(now),
            "expires_at": stamp(now + timedelta(days=7)),
            "summary": f"Allowed: version {candidate} of {name} may replace version {incumbent}.",
        }
        return Statement(**{**said, **parts})

    def override(self, candidate: int, incumbent: int | None, /, **parts: Any) -> Statement:
        base = self.statement(candidate, incumbent, **{"verdict": Verdict.REFUSE, **parts})
        now = datetime.now(timezone.utc)
        return override_of(base, reason="the site is down", ticket="INC-7", by="ann", signed_at=now)

    def rollback(self, candidate: int, incumbent: int) -> Statement:
        return rollback(
            model=MODEL,
            alias=ALIAS,
            candidate=self.subject(candidate),
            incumbent=self.subject(incumbent),
            signed_at=datetime.now(timezone.utc),
            by="ann",
        )

    def envelope(self, statement: Statement, key: str = "ci") -> str:
        return sign(statement, self.keys[key]).decode("utf-8")

    def attest(self, statement: Statement, key: str = "ci", *, plainly: bool = False) -> str:
        """Sign it, and put it onto its version: through the gate, or past it."""
        from mlflow.entities.model_registry import ModelVersionTag

        text = self.envelope(statement, key)
        tag = ModelVersionTag(tags.attestation(statement.alias), text)
        store = self.plain if plainly else self.gated
        store.set_model_version_tag(statement.model, str(statement.candidate.version), tag)
        return text

    def promote(self, candidate: int, incumbent: int | None, **parts: Any) -> None:
        """The whole of it, through the gate."""
        statement = self.statement(candidate, incumbent, **parts)
        self.attest(statement)
        self.gated.set_registered_model_alias(statement.model, statement.alias, str(candidate))

    def at(self, name: str = MODEL, alias: str = ALIAS) -> int | None:
        found = self.plain.get_registered_model(name).aliases.get(alias)
        return None if found is None else int(found)

    def rows(self) -> list[dict[str, Any]]:
        import sqlalchemy

        query = sqlalchemy.text("select * from gate_journal order by number")
        with self.plain.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def forget_the_journal(self) -> None:
        import sqlalchemy

        with self.plain.engine.begin() as connection:
            connection.execute(sqlalchemy.text("drop table gate_journal"))

    def protect(self, text: str) -> None:
        (self.folder / "enforcement.yaml").write_text(text)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("ci", "oncall", "stranger"):
        new_keys(folder / name)
    return folder


@pytest.fixture
def place(empty_store: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    from mlflow.store.model_registry import sqlalchemy_store

    from gate.plugin.store import open_store

    make_store: Any = sqlalchemy_store.SqlAlchemyStore
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    shutil.copytree(pairs, tmp_path, dirs_exist_ok=True)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    keys = {name: read_private(pairs / name) for name in ("ci", "oncall", "stranger")}
    workplace = Workplace(tmp_path, uri, keys)
    workplace.protect(ENFORCEMENT)
    monkeypatch.setenv(SETTING, str(tmp_path / "enforcement.yaml"))
    workplace.gated = open_store(f"gated:{uri}", uri)
    workplace.plain = make_store(uri)
    return workplace


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls, makes sure that the gate refuses and says so, and gives its words."""
    from mlflow.exceptions import MlflowException

    def call(what: Callable[..., Any], *args: Any, conflict: bool = False) -> str:
        with pytest.raises(MlflowException) as caught:
            what(*args)
        assert caught.value.error_code == "PERMISSION_DENIED"
        assert caught.value.get_http_status_code() == 403
        said = str(caught.value.message)
        assert said.startswith("gate: conflict: " if conflict else "gate: refused: "), said
        return said

    return call
