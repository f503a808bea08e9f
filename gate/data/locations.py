"""Where a held-out set lies: a local path, or any URI that ``pyarrow.fs`` or ``fsspec`` can open."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from gate.errors import EvidenceError, UsageError

_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")
# A secret key may itself hold a slash, so whatever stands between a colon and the last @ goes with it.
_USER = re.compile(r"(?<=://)(?:[^@/\s]*|[^@\s]*:\S*)@")
_QUERY = re.compile(r"(?<=://)([^\s?#]*)[?#]\S*")


def without_secrets(text: str) -> str:
    """The text with what a URI may carry of credentials taken out: user, password, query and fragment.

    Source: RFC 3986, 3.2.1 (userinfo) and 3.4 (query, where signed links keep their signature).

    >>> without_secrets("cannot read s3://KEY:se/cret@bucket/holdout.parquet?sig=abc now")
    'cannot read s3://bucket/holdout.parquet now'
    >>> without_secrets("data/what?.csv")
    'data/what?.csv'
    """
    return _QUERY.sub(r"\1", _USER.sub("", text))


@dataclass(frozen=True)
class File:
    """One file: how to open it, and the name that messages may show."""

    filesystem: pafs.FileSystem
    path: str
    shown: str

    def stream(self) -> pa.NativeFile:
        """The bytes from the first to the last; ``.gz``, ``.bz2``, ``.zst`` and ``.lz4`` are unpacked on the way."""
        return self.filesystem.open_input_stream(self.path, compression="detect")

    def seekable(self) -> pa.NativeFile:
        """The file for formats that keep their table of contents at the end."""
        return self.filesystem.open_input_file(self.path)


def find_files(source: str | os.PathLike[str], *, what: str) -> tuple[str, tuple[File, ...]]:
    """The source as messages may show it, and the file that it names, or the files of that folder sorted by path.

    Names that begin with ``.`` or ``_`` are passed over, as Spark and Hive do. A path that does not exist, an unknown
    scheme or a filesystem that is not installed is a :class:`UsageError`; a folder without files, one partitioned by
    its folders' names (``region=EU/``), and a place that cannot be reached are an :class:`EvidenceError`.
    """
    raw = os.fspath(source)
    shown = without_secrets(raw) if _URI.match(raw) else raw
    if not raw:
        raise UsageError(f"the {what} has an empty path")
    filesystem, path = _filesystem(raw, shown, what)
    with reading(shown):
        info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise UsageError(f"no such file or folder ({what})", where=shown, hint="check the path")
    if info.type != pafs.FileType.Directory:
        return shown, (File(filesystem, path, shown),)
    with reading(shown):
        inside = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
    base = path.rstrip("/")
    names = sorted(entry.path[len(base) :].lstrip("/") for entry in inside if entry.is_file)
    names = [name for name in names if not any(part.startswith((".", "_")) for part in name.split("/"))]
    if not names:
        raise EvidenceError(f"the folder holds no data file ({what})", where=shown)
    for name in names:
        folders = name.split("/")[:-1]
        if any("=" in folder for folder in folders):
            raise EvidenceError(
                "partitioned folder: some of its columns are in the names of its folders, where they are not read",
                where=f"{shown.rstrip('/')}/{name}",
                hint="write the held-out set with all of its columns inside the files",
            )
    return shown, tuple(File(filesystem, f"{base}/{name}", f"{shown.rstrip('/')}/{name}") for name in names)


@contextmanager
def reading(shown: str, explain: Callable[[str], str] = str) -> Iterator[None]:
    """Turn whatever a reader or a filesystem throws into an :class:`EvidenceError` that names the file.

    A filesystem may be anybody's Python, so no list of exceptions would be complete; running out of memory is left
    alone, since the file is not to blame. ``explain`` puts a reader's message into the words of its format.
    """
    try:
        yield
    except (EvidenceError, UsageError, MemoryError):
        raise
    except UnicodeError as error:
        raise EvidenceError(
            f"not UTF-8: {error.reason if hasattr(error, 'reason') else error}",
            where=shown,
            hint="save the file as UTF-8",
        ) from error
    except FileNotFoundError as error:
        raise EvidenceError("the file is gone", where=shown) from error
    except Exception as error:
        said = without_secrets(str(error)).strip() or type(error).__name__
        raise EvidenceError(explain(said.splitlines()[0]), where=shown) from error


def _filesystem(raw: str, shown: str, what: str) -> tuple[pafs.FileSystem, str]:
    if not _URI.match(raw):
        # Absolute, so that a later change of the working directory does not move the held-out set.
        return pafs.LocalFileSystem(), os.path.abspath(raw)
    try:
        filesystem, path = pafs.FileSystem.from_uri(raw)
        return filesystem, path
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass  # not one of Arrow's own schemes
    except OSError as error:
        raise EvidenceError(f"cannot be reached: {without_secrets(str(error))}", where=shown) from error
    return _fsspec(raw, shown, what)


def _fsspec(raw: str, shown: str, what: str) -> tuple[pafs.FileSystem, str]:
    hint = "pyarrow knows file, s3, gs, abfs and hdfs; fsspec and its extras bring the others"
    try:
        from fsspec.core import url_to_fs

        found: tuple[Any, str] = url_to_fs(raw)
    except (ImportError, ValueError) as error:
        said = without_secrets(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise UsageError(f"no filesystem for this URI ({what}): {said}", where=shown, hint=hint) from error
    except Exception as error:
        raise EvidenceError(f"cannot be reached: {without_secrets(str(error))}", where=shown) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(found[0])), found[1]
