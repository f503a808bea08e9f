"""Every guarded call on the registry passes here: asked, judged, done or refused, and written down either way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any, NoReturn
from urllib.parse import urlparse

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.utils.validation import _validate_model_version

from gate.decisions import tags
from gate.decisions.moves import from_text
from gate.decisions.times import stamp
from gate.errors import ConflictError, EvidenceError, GateError, UsageError
from gate.plugin import reserved
from gate.plugin.book import Book, Carried
from gate.plugin.enforcement import Enforcement, Rule
from gate.plugin.files import ModelFiles
from gate.plugin.guard import PROMOTE, Grounds, Standing, check_files, digest_of, grounds_to_move
from gate.plugin.journal import SET_ALIAS, SET_MODEL_TAG, Attempt
from gate.plugin.watched import EnforcementFile

_logger = logging.getLogger(__name__)

_HIGHEST = 2**31 - 1  # MLflow keeps the number of a version in an INTEGER
_AS_IT_IS = "None", "Archived"
_UNPROTECT = "whoever keeps the server may take the name out of the enforcement file"


class Gatekeeper:
    """The guard in front of one store.

    Each method has the arguments of the store's, and ``do``, which does what was asked for and is called at most once.
    What is refused raises MLflow's PERMISSION_DENIED (HTTP 403) with the reason and what to run. Where the enforcement
    file cannot be read, everything that would be guarded on a protected name is refused on every name; why, which may
    name folders of the server, is for its log, unless the caller is ``at_home``: in the process that reads the file.
    """

    def __init__(
        self, store: Any, book: Book, files: ModelFiles, enforcement: EnforcementFile, *, at_home: bool = False
    ) -> None:
        self._store = store
        self._book = book
        self._files = files
        self._enforcement = enforcement
        self._at_home = at_home
        self._told: str | None = None

    def _rules(self) -> Enforcement:
        """What the enforcement file says now."""
        try:
            return self._enforcement.now()
        except UsageError as error:
            if self._at_home:
                raise
            if self._told != str(error):  # once, and not with every request
                self._told = str(error)
                _logger.error("the gate refuses every guarded call until this is mended:\n%s", error)
            raise EvidenceError(
                "the server's enforcement file is not usable, so nothing that is guarded is done",
                hint="ask the server's administrator; the server's log lists what is wrong",
            ) from None

    # -- what a signed decision allows ---------------------------------------------------------------------------------

    def set_alias(self, model: str, alias: str, version: Any, do: Callable[[], None]) -> None:
        with self._judged(SET_ALIAS, model, version=version, alias=alias) as noted:
            rules = self._rules().on_alias(model, alias)
            if rules:
                self._move(noted, rules, model, alias, _number(model, version), do)
                return
        do()

    def _move(
        self, noted: _Noted, rules: tuple[Rule, ...], model: str, alias: str, version: int, do: Callable[[], None]
    ) -> None:
        with self._book.reading():
            standing = self._standing(model, alias, version)
        noted.facts |= {"before": standing.at, "after": standing.at}  # as long as nothing is done
        grounds: Grounds | None = None
        if standing.at != version:
            grounds = grounds_to_move(rules, standing, _now())
            check_files(grounds.statement, partial(self._files.digest, model))  # slow, and so before the lock
        with self._book.exclusive(model):
            standing = self._standing(model, alias, version)
            if standing.at == version:
                self._book.write(noted.row(allowed=True, before=version, after=version))
                return
            # The files took their time: whose key was taken out of use meanwhile moves nothing.
            latest = self._rules().on_alias(model, alias)
            if not latest:
                raise ConflictError(
                    f"@{alias} is protected no more since a moment ago", where=f"models:/{model}", hint="run it again"
                )
            again = grounds_to_move(latest, standing, _now())
            if grounds is None or again.digest != grounds.digest:
                raise ConflictError(
                    f"@{alias} or the decision behind it changed in this moment",
                    where=f"models:/{model}/{version}",
                    hint="run it again",
                )
            do()
            said = again.statement
            self._book.write(
                noted.row(
                    allowed=True,
                    before=standing.at,
                    after=version,
                    reason=said.reason,
                    decision_id=said.decision_id,
                    kind=said.kind.value,
                    signed_by=again.signed_by,
                    statement_digest=again.digest,
                    digest=said.candidate.digest,
                )
            )

    def _standing(self, model: str, alias: str, version: int) -> Standing:
        found = self._store.get_model_version(model, str(version))
        envelope = found.tags.get(f"{tags.ATTESTATION}{alias}")
        return Standing(
            model=model,
            alias=alias,
            version=version,
            at=self._at(self._store.get_registered_model(model), alias),
            attestation=envelope,
            last=self._book.last_move(model, alias),
            used=None if envelope is None else self._book.use_of(model, alias, digest_of(envelope)),
            came=self._book.arrival(model, alias, version),
        )

    @staticmethod
    def _at(found: Any, alias: str) -> int | None:
        at = found.aliases.get(alias)
        return None if at is None else int(at)

    # -- what nothing allows -------------------------------------------------------------------------------------------

    def delete_alias(self, model: str, alias: str, do: Callable[[], None]) -> None:
        with self._judged("delete_alias", model, alias=alias):
            if self._rules().on_alias(model, alias):
                _refuse(
                    f"models:/{model}@{alias}",
                    "a protected alias moves and is not deleted",
                    f"gate promote or gate rollback moves it; {_UNPROTECT}",
                )
        do()

    def transition_stage(self, model: str, version: Any, do: Callable[[], Any]) -> Any:
        with self._judged("transition_stage", model, version=version):
            if self._rules().on_model(model):
                _refuse(
                    f"models:/{model}/{version}",
                    "versions of a protected model change no stage: who loads by stage would get another one unseen",
                    f"stages are deprecated; use an alias: {PROMOTE}",
                )
        return do()

    def rename(self, model: str, new_name: str, do: Callable[[], Any]) -> Any:
        with self._judged("rename", model):
            enforcement = self._rules()
            for name in (model, new_name):
                if enforcement.on_model(name):
                    _refuse(f"models:/{model}", f"{name!r} is protected: its models keep their name", _UNPROTECT)
        return do()

    def delete_model(self, model: str, do: Callable[[], None]) -> None:
        with self._judged("delete_model", model):
            if self._rules().on_model(model):
                _refuse(f"models:/{model}", "a protected model is not deleted", _UNPROTECT)
        do()

    # -- what is refused in part ---------------------------------------------------------------------------------------

    def delete_version(self, model: str, version: Any, do: Callable[[], None]) -> None:
        with self._judged("delete_version", model, version=version) as noted:
            enforcement = self._rules()
            if enforcement.on_model(model):
                number = _number(model, version)
                with self._book.exclusive(model):
                    stage = self._store.get_model_version(model, str(number)).current_stage
                    for alias, at in self._store.get_registered_model(model).aliases.items():
                        if int(at) == number and enforcement.on_alias(model, alias):
                            _refuse(
                                f"models:/{model}/{number}",
                                f"the protected alias @{alias} is at this version",
                                f"move it away first: {PROMOTE}",
                            )
                    if stage not in _AS_IT_IS:
                        _refuse(
                            f"models:/{model}/{number}",
                            f"it is in stage {stage}: who loads by stage would get another version unseen",
                            _UNPROTECT,
                        )
                    do()
                    self._book.write(noted.row(allowed=True))
                return
        do()

    def create_model(self, model: str, preset: Iterable[Any] | None, do: Callable[[], Any]) -> Any:
        self._refuse_preset("create_model", model, preset)
        return do()

    def create_version(self, model: str, source: str, preset: Iterable[Any] | None, do: Callable[[], Any]) -> Any:
        self._refuse_preset("create_version", model, preset)
        origin = _origin(source)
        if origin not in (None, model):
            with self._judged("copy_version", model):
                if self._rules().on_model(model):
                    _refuse(
                        f"models:/{model}",
                        f"a version of {origin!r} is not copied into a protected name",
                        "register its runs:/ or models:/m- URI by mlflow.register_model, and judge that",
                    )
        return do()

    def _refuse_preset(self, action: str, model: str, preset: Iterable[Any] | None) -> None:
        forged = [tag.key for tag in preset or () if reserved.is_reserved(tag.key)]
        if forged:
            with self._judged(action, model, tag=forged[0]):
                if self._rules().on_model(model):
                    _refuse(
                        f"models:/{model}",
                        f"the tag {forged[0]} is the gate's, and not for setting on creation",
                        "leave it out; gate promote writes it where a signed decision stands behind it",
                    )

    # -- the tags of the gate ------------------------------------------------------------------------------------------

    def set_version_tag(self, model: str, version: Any, tag: Any, do: Callable[[], None]) -> None:
        if not reserved.is_reserved(tag.key):
            do()
            return
        alias = reserved.alias_of(tag.key)
        with self._judged("set_version_tag", model, version=version, alias=alias, tag=tag.key) as noted:
            enforcement = self._rules()
            if enforcement.on_model(model):
                number = _number(model, version)
                with self._book.exclusive(model):
                    found = self._store.get_model_version(model, str(number)).tags
                    known = reserved.Known(model, number, found, {})
                    reserved.check_version_tag(enforcement, known, tag.key, tag.value)
                    do()
                    self._book.write(noted.row(allowed=True))
                return
        do()

    def set_model_tag(self, model: str, tag: Any, do: Callable[[], None]) -> None:
        if not reserved.is_reserved(tag.key):
            do()
            return
        with self._judged(SET_MODEL_TAG, model, alias=reserved.alias_of(tag.key), tag=tag.key) as noted:
            enforcement = self._rules()
            if enforcement.on_model(model):
                with self._book.exclusive(model):
                    known = self._known(model, tag)
                    reserved.check_model_tag(enforcement, known, tag.key, tag.value, _now())
                    do()
                    self._book.write(noted.row(allowed=True, version=known.version))
                return
        do()

    def _known(self, model: str, tag: Any) -> reserved.Known:
        """What there is to know about a tag of the model: more where it is the record of a move."""
        found = self._store.get_registered_model(model)
        known = reserved.Known(model, None, {}, found.tags)
        if not tag.key.startswith(tags.MOVE):
            return known
        move = from_text(tag.value, where=f"models:/{model}, tag {tag.key}")
        written = self._book.writing_of(model, tag.key)
        known = replace(
            known,
            version=move.version,
            at=self._at(found, move.alias),
            used=self._book.use_of(model, move.alias, move.statement_digest) if move.statement_digest else None,
            written=written,
        )
        if move.version is None:
            return known
        refused = written is not None and self._book.was_refused(model, move.alias, move.version, written)
        known = replace(known, refused_since=refused)
        try:
            number = _number(model, move.version)
            return replace(
                known,
                version_tags=self._store.get_model_version(model, str(number)).tags,
                standing=self._standing(model, move.alias, number),
            )
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return known  # deleted since, or never there

    def delete_tag(self, model: str, version: Any, key: str, do: Callable[[], None]) -> None:
        """Of a version; of the model itself where ``version`` is None."""
        if not reserved.is_reserved(key):
            do()
            return
        with self._judged("delete_tag", model, version=version, alias=reserved.alias_of(key), tag=key) as noted:
            if self._rules().on_model(model):
                reserved.check_removal(model, key)
                with self._book.exclusive(model):
                    do()
                    self._book.write(noted.row(allowed=True))
                return
        do()

    def unknown(self, method: str) -> NoReturn:
        """A method that a later MLflow has and this gate does not know: it may do anything."""
        with self._judged(method, "-"):
            _refuse(
                method, "this gate does not know what that changes", "use a version of the gate made for this MLflow"
            )
        raise AssertionError("a refusal raises")

    # -- either way ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _judged(self, action: str, model: str, **asked: Any) -> Iterator[_Noted]:
        """What is refused inside is written down, and told in MLflow's way; nothing that goes wrong lets it through."""
        noted = _Noted({"action": action, "model": model, **asked})
        try:
            yield noted
        except Carried as error:
            self._refused(noted, error.because)
        except GateError as error:
            self._refused(noted, error)
        except MlflowException as error:
            self._record(noted.row(reason=f"{error.error_code}: {error.message}"))
            raise
        except Exception as error:
            _logger.exception("the gate could not judge: %s of %s", action, model)
            unjudged = EvidenceError(
                f"it could not be judged ({type(error).__name__})",
                where=f"models:/{model}",
                hint="the server's log says more",
            )
            self._refused(noted, unjudged)

    def _refused(self, noted: _Noted, error: GateError) -> NoReturn:
        self._record(noted.row(reason=str(error)))
        kind = "conflict" if isinstance(error, ConflictError) else "refused"
        more = f"\n(and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        told = f"gate: {kind}: {error.problems[0]}{more}".encode("utf-8", "backslashreplace").decode("utf-8")
        raise MlflowException(told, error_code=PERMISSION_DENIED) from None

    def _record(self, attempt: Attempt) -> None:
        try:
            self._book.write(attempt)
        except Exception:
            # It is refused all the same: the want of a row must not become another answer.
            _logger.exception("the gate's journal could not be written: %s", attempt)


@dataclass
class _Noted:
    """What is known of an attempt so far, and may have to be written down."""

    facts: dict[str, Any]

    def row(self, **also: Any) -> Attempt:
        said = {**self.facts, **also}
        try:
            version = None if said.get("version") is None else int(said["version"])
        except (TypeError, ValueError, OverflowError):  # a caller may send anything
            version = None
        if version is not None and abs(version) > _HIGHEST:
            version = None
        return Attempt(**{**said, "version": version, "at": stamp(_now()), "actor": _caller()})


def _number(model: str, version: Any) -> int:
    """The number of a version; EvidenceError for one that no database has room for."""
    number = _validate_model_version(version)
    if abs(number) > _HIGHEST:
        _refuse(f"models:/{model}", "there is no such version: its number is too long", "name one that is there")
    return int(number)


def _origin(source: str) -> str | None:
    """The registered model that a source is a version of, as MLflow reads it; None where it is of none."""
    if urlparse(source).scheme != "models":
        return None
    try:
        return _parse_model_uri(source).name
    except MlflowException:
        return source


def _refuse(where: str, found: str, hint: str) -> NoReturn:
    raise EvidenceError(found, where=where, hint=hint)


def _caller() -> str:
    """Who asked, where MLflow's basic-auth says so."""
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return "-"
    return str(getattr(flask.g, "mlflow_authenticated_user", None) or "-")


def _now() -> datetime:
    return datetime.now(timezone.utc)
