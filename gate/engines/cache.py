"""Answers of models, kept on disk: the incumbent is asked once for many candidates.

An entry is found by everything that its answers rest on: the model's files, the held-out set's content, how batches
were cut, and the environment. It is a Parquet file, one row group a batch, and a note beside it with an authentication
code over both, made with a secret of the cache's own. An entry that is damaged, cut, or made by another cache is none.
The secret keeps accidents and strangers out; a model's own code runs as the same user, and could read it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gate.engines.answers import ModelInfo
from gate.tasks.batch import Answers

VERSION = 1
MOST_BYTES = 2 << 30
_SECRET_BYTES = 32
_CHUNK = 1 << 20
_DAY = 86_400.0
_NAMES = b"gate.names"


@dataclass(frozen=True)
class Asked:
    """What a model's answers rest on besides the held-out set.

    ``model`` is the SHA-256 of its files, ``environment`` that of the interpreter and its packages, ``rows`` the size
    of a batch, ``options`` what else it was asked with (threads, device, kind of answers).
    """

    model: str
    environment: str
    rows: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(_canonical({"version": VERSION, **asdict(self)})).hexdigest()


class Kept:
    """One entry that was found whole: what the model said of itself, and its answers, batch by batch."""

    def __init__(self, info: ModelInfo, offered: tuple[str, ...], rows: int, file: IO[bytes]) -> None:
        self.info = info
        self.offered = offered
        self.rows = rows
        self._file = file

    def answers(self) -> Iterator[Answers]:
        """The answers in the order of the batches."""
        self._file.seek(0)
        parquet = pq.ParquetFile(self._file)
        told = (parquet.schema_arrow.metadata or {}).get(_NAMES)
        names = None if told is None else tuple(json.loads(told))
        for group in range(parquet.num_row_groups):
            column = parquet.read_row_group(group).column(0).combine_chunks()
            yield Answers(column.chunk(0) if isinstance(column, pa.ChunkedArray) else column, names)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Cache:
    """A folder of answers, at most ``most_bytes`` of them: what was longest not asked for goes first.

    Made by :meth:`open`. Whatever is wrong with the folder or an entry, nothing is found, and the models are asked.
    """

    def __init__(self, folder: Path, secret: bytes, most_bytes: int) -> None:
        self.folder = folder
        self._secret = secret
        self._most = most_bytes

    @classmethod
    def open(cls, folder: Path, most_bytes: int = MOST_BYTES) -> Cache | None:
        """The cache in ``folder``, made if absent; None where it cannot be, or where others could write into it."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
            if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
            cache = cls(folder, _secret(folder / "secret"), most_bytes)
            cache._sweep()
            return cache
        except OSError:
            return None

    def any(self, asked: Asked) -> bool:
        """Whether there are answers to ``asked`` for any held-out set: only then is it worth to digest this one."""
        return any((self.folder / asked.digest).glob("*.json"))

    def find(self, asked: Asked, holdout: str, role: str) -> Kept | None:
        """The whole answers of a model to the held-out set with the digest ``holdout``; None where there are none.

        An entry that is not what was written is taken away.
        """
        note = self.folder / asked.digest / f"{holdout}.json"
        try:
            told = json.loads(note.read_bytes())
            code = told.pop("code")
            if told.get("asked") != _plain(asked) or told.get("holdout") != holdout:
                raise ValueError("it is about something else")
            if not hmac.compare_digest(code, self._code(told)):
                raise ValueError("it was not written by this cache")
            file = open(note.parent / str(told["file"]), "rb")  # noqa: SIM115  it stays open in the entry
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._drop(note)
            return None
        try:
            if _sha256(file) != told["sha256"]:
                raise ValueError("its answers were changed")
            info = ModelInfo.from_json(role, told["info"])
            kept = Kept(info, tuple(told["offered"]), told["rows"], file)
            os.utime(note)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            file.close()
            self._drop(note)
            return None
        return kept

    def recorder(self, asked: Asked) -> Recorder:
        """Takes the answers of a model as they come."""
        return Recorder(self, asked, self._most // 2)

    # for Recorder

    def put(self, asked: Asked, holdout: str, told: dict[str, Any], beside: Path) -> None:
        """Make an entry of a written file; what is too much for the cache goes, the oldest first."""
        told = {**told, "asked": _plain(asked), "holdout": holdout}
        with open(beside, "rb") as file:
            told["sha256"] = _sha256(file)
        folder = self.folder / asked.digest
        folder.mkdir(mode=0o700, exist_ok=True)
        told["file"] = f"{holdout}-{told['sha256'][:16]}.parquet"
        os.replace(beside, folder / told["file"])
        content = _canonical({**told, "code": self._code(told)})
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=f".note-{os.getpid()}-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, folder / f"{holdout}.json")
        self._evict()

    def _code(self, told: Mapping[str, Any]) -> str:
        return hmac.new(self._secret, _canonical(told), hashlib.sha256).hexdigest()

    def _drop(self, note: Path) -> None:
        for path in (note, *note.parent.glob(f"{note.stem}-*.parquet")):
            with suppress(OSError):
                path.unlink()

    def _sweep(self) -> None:
        """Take away what processes left half written that are no more, or that began more than a day ago."""
        for path in (*self.folder.glob(".answers-*"), *self.folder.glob(".note-*")):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _DAY or not _lives(path.name.split("-")[1]):
                    path.unlink()

    def _evict(self) -> None:
        notes = []
        for note in self.folder.glob("*/*.json"):
            with suppress(OSError):
                files = [note, *note.parent.glob(f"{note.stem}-*.parquet")]
                notes.append((note.stat().st_mtime_ns, note, sum(path.stat().st_size for path in files)))
        total = sum(size for _, _, size in notes)
        for _, note, size in sorted(notes):
            if total <= self._most:
                return
            self._drop(note)
            total -= size


class Recorder:
    """Writes answers beside the cache until they are whole; nothing is in the cache before :meth:`keep`."""

    def __init__(self, cache: Cache, asked: Asked, most_bytes: int) -> None:
        self._cache, self._asked, self._most = cache, asked, most_bytes
        self._path: Path | None = None
        self._writer: Any = None
        self._names: tuple[str, ...] | None = None
        self._given_up = False
        self._rows = 0

    def add(self, answers: Answers) -> None:
        """Take one batch. A form that changes from batch to batch, a full disk and too many bytes end the recording."""
        if self._given_up:
            return
        try:
            if self._writer is None:
                self._open(answers)
            schema = self._writer.schema
            if answers.names != self._names or answers.values.type != schema.field(0).type:
                self.discard()
                return
            self._writer.write_table(pa.table([answers.values], schema=schema), row_group_size=len(answers.values))
            self._rows += len(answers.values)
            if self._path is not None and self._path.stat().st_size > self._most:
                self.discard()
        except (OSError, pa.ArrowException, ValueError, TypeError):
            self.discard()

    def keep(self, info: ModelInfo, offered: tuple[str, ...], holdout: str) -> None:
        """Make an entry of what was taken, for the held-out set with this digest."""
        if self._given_up or self._path is None:
            return
        told = {
            "rows": self._rows,
            "offered": list(offered),
            "info": {name: value for name, value in asdict(info).items() if name != "role"},
        }
        try:
            self._writer.close()
            self._writer = None
            self._cache.put(self._asked, holdout, told, self._path)
        except (OSError, pa.ArrowException):
            pass
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was taken."""
        self._given_up = True
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._writer = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _open(self, answers: Answers) -> None:
        handle, name = tempfile.mkstemp(dir=self._cache.folder, prefix=f".answers-{os.getpid()}-")
        os.close(handle)
        self._path, self._names = Path(name), answers.names
        metadata = None if answers.names is None else {_NAMES: json.dumps(list(answers.names))}
        schema = pa.schema([pa.field("answer", answers.values.type)], metadata=metadata)
        self._writer = pq.ParquetWriter(name, schema, compression="lz4", write_statistics=False)


def _lives(process: str) -> bool:
    """Whether there is a process of this number; nothing that is no number is one."""
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _plain(asked: Asked) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(_canonical(asdict(asked)))
    return plain


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=True).encode()


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_CHUNK):
        digest.update(block)
    return digest.hexdigest()


def _secret(path: Path) -> bytes:
    """The cache's own secret, made where there is none; of two that make one at a time, the first's counts."""
    made = path.parent / f".secret-{secrets.token_hex(8)}"
    if not path.exists():
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    found = path.read_bytes()
    if len(found) != _SECRET_BYTES:
        raise OSError("the cache's secret is damaged")
    return found
