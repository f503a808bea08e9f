"""What a registry answers when it does not answer, put into words that a user can act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
from mlflow.exceptions import MlflowException

from gate.errors import EvidenceError, GateError
from gate.registry.refusal import refusal

_LONGEST = 300


@contextmanager
def told(where: str, uri: str, without_secrets: Callable[[str], str]) -> Iterator[None]:
    """Turn whatever MLflow raises inside into an :class:`~gate.errors.EvidenceError` that names ``uri``.

    ``where`` is the model or the action it happened to; ``uri`` is the store that was asked, ready to be shown. What an
    enforcing registry refuses is told in its own words; where it says that the registry is no longer as it was judged,
    that is a :class:`~gate.errors.ConflictError`. The original is not chained: its text may hold a password.

    Example::

        with told("candidate models:/fraud/7", "http://localhost:5000", address.without_secrets):
            client.get_model_version("fraud", "7")
    """
    try:
        yield
    except GateError:
        raise
    except Exception as error:  # noqa: BLE001 - the clouds' clients raise their own kinds; keep the inside to one call
        # Secrets go before anything is cut: half a password would not be recognised.
        text = without_secrets(str(error))
        refused = refusal(text, where) if getattr(error, "error_code", "") == "PERMISSION_DENIED" else None
        if refused is not None:
            raise refused from None
        found, hint = _words(error, text, uri)
        raise EvidenceError(found, where=where, hint=hint) from None


def is_locked(error: MlflowException) -> bool:
    """Whether a SQLite database was too busy to answer: nothing was written, and asking again is no harm.

    Example::

        is_locked(MlflowException("(sqlite3.OperationalError) database is locked", TEMPORARILY_UNAVAILABLE))    # True
    """
    return bool(error.error_code == "TEMPORARILY_UNAVAILABLE") and "database is locked" in str(error)


def is_missing(error: MlflowException) -> bool:
    """Whether the store says that the thing is not there. A 404 of something that is no registry does not say so.

    Example::

        is_missing(MlflowException("no such version", error_code=RESOURCE_DOES_NOT_EXIST))    # True
    """
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def _words(error: Exception, text: str, uri: str) -> tuple[str, str]:
    causes = list(_chain(error))
    status = re.search(r"too many (\d{3}) error responses", text)
    # After retries requests tells of a read that timed out as of a connection that failed.
    if "timed out" in text or any(isinstance(cause, requests.exceptions.Timeout) for cause in causes):
        return f"the registry at {uri} does not answer in time", "MLFLOW_HTTP_REQUEST_TIMEOUT sets how long to wait"
    if status:
        return f"the registry at {uri} answers with error {status.group(1)}", "look at the server's log"
    if any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        return f"the registry at {uri} has a certificate that is not trusted", "REQUESTS_CA_BUNDLE names your own"
    if any(isinstance(cause, requests.exceptions.ConnectionError) for cause in causes):
        reason = "connection refused" if "refused" in text else "no connection"
        return f"the registry at {uri} cannot be reached ({reason})", "is the server up, and the URI right?"
    code = getattr(error, "error_code", "")
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return (
            f"the registry at {uri} does not accept the credentials (401)",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        )
    if code == "PERMISSION_DENIED":
        return f"the registry at {uri} forbids this (403): {_short(text)}", ""
    if code == "ENDPOINT_NOT_FOUND":
        return f"what answers at {uri} is no MLflow registry (404)", "check the URI"
    return f"the registry at {uri} answers: {_short(text)}", ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
