"""Where the registry is: from options and environment, shown without secrets, and never created by asking."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gate.errors import EvidenceError, UsageError

# An enforcing registry store wraps the URI of the store behind it.
_WRAPPER = "gated:"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

_SECRET_SETTINGS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SECRET_FIELD = re.compile(
    r"(?i)((?:password|passwd|pwd|token|secret|api_?key|access_?key|signature|sig|credential)\w*\s*[=:]\s*)"
    r"[^\s&;,'\"]+"
)
_USERINFO = re.compile(r"(\w[\w+.-]*://)[^\s/'\"]*@")


@dataclass(frozen=True)
class Address:
    """The two URIs of one MLflow: ``registry`` (models, aliases) and ``tracking`` (runs, logged models).

    They may hold passwords, so they are never shown: neither in ``repr`` nor in a message (see :func:`shown`).
    """

    registry: str
    tracking: str

    def __repr__(self) -> str:
        return f"Address(registry={shown(self.registry)!r}, tracking={shown(self.tracking)!r})"

    @property
    def artifacts(self) -> str:
        """The server that ``mlflow-artifacts:`` locations are relative to: the tracking server, if it is one."""
        return self.tracking if _is_http(self.tracking) or not _is_http(self.registry) else self.registry

    def without_secrets(self, text: str) -> str:
        """``text`` with every password and token that this address or the environment holds taken out of it.

        >>> Address("http://ann:pass@host:1", "http://host:1").without_secrets("GET http://ann:pass@host:1/x: 'pass'")
        "GET http://host:1/x: '***'"
        """
        for uri in (self.registry, self.tracking):
            text = text.replace(uri, shown(uri))
        text = _USERINFO.sub(r"\1", text)
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return _SECRET_FIELD.sub(r"\1***", text)

    def _secrets(self) -> set[str]:
        found = {os.environ.get(setting, "") for setting in _SECRET_SETTINGS}
        for uri in (self.registry, self.tracking):
            _, userinfo = _split_userinfo(uri)
            password = userinfo.partition(":")[2]
            # In pieces too: a client that splits the URI elsewhere shows a part of it.
            found |= {userinfo, password, unquote(password), *re.split(r"[@/?#]", password)}
        return {secret for secret in found if len(secret) > 2}


def find_address(
    registry_uri: str | None, tracking_uri: str | None, environment: Mapping[str, str] = os.environ
) -> Address:
    """The registry and tracking URIs to use: what is given, else MLFLOW_REGISTRY_URI and MLFLOW_TRACKING_URI.

    As in MLflow, the one left out is taken from the other. None given at all raises
    :class:`~gate.errors.UsageError`: MLflow would quietly make an empty database in the working directory.

    >>> find_address(None, "http://localhost:5000", {})
    Address(registry='http://localhost:5000', tracking='http://localhost:5000')
    """
    tracking = tracking_uri or environment.get("MLFLOW_TRACKING_URI")
    registry = registry_uri or environment.get("MLFLOW_REGISTRY_URI") or tracking
    if not registry:
        raise UsageError(
            "no registry is named",
            where="--registry-uri",
            hint="give --registry-uri URI (sqlite:///mlflow.db, http://host:5000), or set MLFLOW_TRACKING_URI",
        )
    return Address(registry, tracking or inner(registry))


def inner(uri: str) -> str:
    """The URI of the store itself, where an enforcing store is wrapped around it.

    >>> inner("gated:sqlite:///mlflow.db")
    'sqlite:///mlflow.db'
    """
    return uri.removeprefix(_WRAPPER)


def scheme_of(uri: str) -> str:
    """What kind of store a URI names, without the driver; empty for a path.

    >>> scheme_of("gated:postgresql+psycopg://db/mlflow"), scheme_of("mlruns")
    ('postgresql', '')
    """
    bare = inner(uri)
    return bare.partition(":")[0].partition("+")[0].lower() if ":" in bare else ""


def shown(uri: str) -> str:
    """A URI that may be shown: without user, password and query.

    >>> shown("postgresql://ann:s3cret@db.example:5432/mlflow?sslpassword=x")
    'postgresql://db.example:5432/mlflow'
    >>> shown("sqlite:////data/a@b/mlflow.db")
    'sqlite:////data/a@b/mlflow.db'
    """
    bare, _ = _split_userinfo(uri)
    return re.split(r"[?#]", bare, maxsplit=1)[0] if "://" in bare else bare


def require_store(uri: str) -> None:
    """Make sure that a database or folder is an MLflow store already, since MLflow would make or migrate one.

    Servers (``http:`` and the like) are left alone: the first question to them tells. Raises
    :class:`~gate.errors.EvidenceError` for a database that is absent, cannot be opened, is not MLflow's or was made by
    an older MLflow, and :class:`~gate.errors.UsageError` for a URI that no store can have.
    """
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        _require_folder(inner(uri), shown(uri))
    elif scheme in DATABASES:
        _require_tables(inner(uri), scheme, shown(uri))


def _require_folder(uri: str, where: str) -> None:
    folder = Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)
    if folder.is_file():
        raise UsageError("a file is not a registry", where=where, hint=f"for a database write sqlite:///{folder}")
    if not folder.is_dir():
        raise EvidenceError("no such registry", where=where, hint="for a database write sqlite:///PATH")


def _require_tables(uri: str, scheme: str, where: str) -> None:
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    connect_args: dict[str, object] = {}
    try:
        if scheme == "sqlite":
            database = sqlalchemy.make_url(uri).database
            if not database or database == ":memory:" or not Path(database.removeprefix("file:")).is_file():
                raise EvidenceError(
                    "no such database, and the gate does not make one", where=where, hint="check the path in the URI"
                )
        else:
            connect_args = {"timeout" if scheme == "mssql" else "connect_timeout": 10}
        engine = sqlalchemy.create_engine(uri, poolclass=NullPool, connect_args=connect_args)
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise UsageError(
            f"no driver for this database is installed ({error})",
            where=where,
            hint="install it, for example pip install 'psycopg[binary]'",
        ) from None
    except sqlalchemy.exc.ArgumentError:
        raise UsageError("not the URI of a database", where=where, hint="for a file write sqlite:///PATH") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = Address(uri, uri).without_secrets(str(getattr(error, "orig", None) or error)).splitlines()[0]
        raise EvidenceError(f"the registry's database cannot be opened: {reason}", where=where) from None
    if "registered_models" not in tables:
        raise EvidenceError("a database without MLflow's tables in it", where=where, hint="check the URI")
    if _misses_tables(engine):
        raise EvidenceError(
            "made by an older MLflow; to open it would migrate it",
            where=where,
            hint="back it up, then run: mlflow db upgrade URI",
        )


def _misses_tables(engine: object) -> bool:
    # MLflow's own question before it migrates a database unasked, so the gate asks it first.
    from mlflow.store.db import utils

    complete: Any = utils._all_tables_exist
    return not complete(engine)


def _is_http(uri: str) -> bool:
    return uri.removeprefix(_WRAPPER).startswith(("http://", "https://"))


def _split_userinfo(uri: str) -> tuple[str, str]:
    head, mark, rest = uri.partition("://")
    if not mark or rest.startswith("/"):
        return uri, ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    if "@" in authority or ("@" in rest and colon and not port.isdigit()):
        # Up to the last one before the query: a password may hold an @ or a slash that nobody escaped.
        userinfo, _, _ = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")
        return f"{head}://{rest[len(userinfo) + 1 :]}", userinfo
    return uri, ""
