"""The enforcement file, watched: read at each guarded call, and again only where it or a key has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gate.errors import UsageError
from gate.plugin.enforcement import Enforcement, key_files, parse
from gate.policy.source import read

SETTING = "GATE_ENFORCEMENT"
"""The environment variable that names the file."""

_HINT = f"set {SETTING} to the enforcement file where the registry's server starts; docs/enforce.md has one"


class EnforcementFile:
    """The file that the environment names, read when it is asked for and kept while nothing in it changes.

    Example::

        EnforcementFile().now().on_alias("fraud", "champion")
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._kept: tuple[dict[str, _Seen], Enforcement | UsageError] | None = None

    def now(self) -> Enforcement:
        """What the file says now; UsageError with all its mistakes, or for want of a file."""
        named = self._environment.get(SETTING)
        if not named:
            raise UsageError("no enforcement file is named", where=SETTING, hint=_HINT)
        kept = self._kept
        if kept is None or named not in kept[0] or any(_seen(path) != seen for path, seen in kept[0].items()):
            kept = self._kept = _read_with_its_keys(named)
        if isinstance(kept[1], UsageError):
            raise UsageError(problems=kept[1].problems)
        return kept[1]


_Seen = tuple[int, int, int, int] | None


def _seen(path: str) -> _Seen:
    """A file as the file system describes it, without reading it; None: it is not there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _read_with_its_keys(path: str) -> tuple[dict[str, _Seen], Enforcement | UsageError]:
    seen = {path: _seen(path)}  # before it is read: a change meanwhile is seen the next time
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return seen, UsageError("no such enforcement file", where=path, hint=_HINT)
    except (OSError, ValueError) as error:
        return seen, UsageError(f"cannot be read: {error}", where=path, hint=_HINT)
    document = read(text)
    for key in key_files(document.data):
        beside = os.path.join(os.path.dirname(path), key)
        seen[beside] = _seen(beside)
    try:
        return seen, parse(document, path)
    except UsageError as error:
        return seen, error
