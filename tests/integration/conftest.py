"""Real servers for the tests: PostgreSQL, and an MLflow server that enforces decisions, with users and passwords."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers import end_group, free_port, wait_for

from gate.decisions.keys import PrivateKey, new_keys, read_private

SECRET = "hunter2-hunter2"
ENFORCEMENT = """\
version: 1
protect:
  - models: [fraud, "credit-*"]
    aliases: [champion]
    keys: [ci.pub]
    override_keys: [oncall.pub]
    policies: [POLICY]
"""


@dataclass(frozen=True)
class EnforcingServer:
    """An MLflow server with ``gated:`` in front of its registry, and basic-auth in front of it all.

    ``database`` is the URI behind the gate. Users ``admin`` and ``ann`` have ``secret`` as their password, and so has
    PostgreSQL.
    """

    uri: str
    database: str
    folder: Path
    keys: Mapping[str, PrivateKey]
    secret: str = SECRET

    @contextlib.contextmanager
    def as_user(self, name: str) -> Iterator[Any]:
        """A client of MLflow's with the user's name and password."""
        from mlflow import MlflowClient

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", name)
            patch.setenv("MLFLOW_TRACKING_PASSWORD", self.secret)
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            yield MlflowClient(self.uri, self.uri)

    def rows(self, query: str = "select * from gate_journal order by number") -> list[dict[str, Any]]:
        """What is in the database, past the server."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.database)
        with engine.connect() as connection:
            found = [dict(row) for row in connection.execute(sqlalchemy.text(query)).mappings()]
        engine.dispose()
        return found


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URI of an empty database of a PostgreSQL of its own, with a password; skips where none is installed."""
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL is installed: pip install 'psycopg[binary]'")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    found = shutil.which("postgres") or (str(installed[-1]) if installed else None)
    if found is None:
        pytest.skip("no PostgreSQL is installed: apt install postgresql")
    programs = Path(found).parent
    folder = Path(tempfile.mkdtemp(prefix="gate-postgresql-"))
    # PostgreSQL refuses to run as root.
    other: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(folder, "nobody")
    word = folder / "password"
    word.write_text(SECRET)
    word.chmod(0o644)
    data, port = folder / "data", free_port()
    server: subprocess.Popen[bytes] | None = None
    try:
        initdb = [programs / "initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={word}"]
        subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C", "--no-sync"], cwd=folder, check=True, capture_output=True, **other
        )
        command = [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "fsync=off"]
        with (folder / "postgresql.log").open("wb") as log:
            server = subprocess.Popen(
                [*command, "-c", "listen_addresses=127.0.0.1"], cwd=folder, stdout=log, stderr=log, **other
            )
        uri = f"postgresql+psycopg://mlflow:{SECRET}@127.0.0.1:{port}/postgres"
        _wait_for_database(uri, server, folder / "postgresql.log")
        yield uri
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # its fast way to stop
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def enforcing_server(
    request: pytest.FixtureRequest, empty_store: Path, any_decision: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EnforcingServer]:
    """Once with its registry in a SQLite file and once in PostgreSQL; ``fraud`` and ``credit-*`` are protected."""
    from mlflow.server import get_app_client

    folder = tmp_path_factory.mktemp(f"enforcing_{request.param}")
    if request.param == "sqlite":
        shutil.copy(empty_store, folder / "mlflow.db")
        database = f"sqlite:///{folder}/mlflow.db"
    else:
        database = str(request.getfixturevalue("postgresql"))
    keys = {name: read_private(new_keys(folder / name)[0]) for name in ("ci", "oncall", "stranger")}
    (folder / "enforcement.yaml").write_text(ENFORCEMENT.replace("POLICY", any_decision.policy.digest))
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 600\n"
    )
    environment = {
        **os.environ,
        "GATE_ENFORCEMENT": str(folder / "enforcement.yaml"),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": SECRET,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for a test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database, "--registry-store-uri", f"gated:{database}"]
    command += ["--artifacts-destination", f"{folder}/files", "--app-name", "basic-auth"]
    log = folder / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(f"{uri}/health", server, log)
        started = EnforcingServer(uri, database, folder, keys)
        with started.as_user("admin"):
            get_app_client("basic-auth", tracking_uri=uri).create_user("ann", SECRET)
        yield started
    finally:
        end_group(server)


def _wait_for_database(uri: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(sqlalchemy.exc.OperationalError), engine.connect():
                return
            time.sleep(0.2)
    finally:
        engine.dispose()
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-2000:]}")
