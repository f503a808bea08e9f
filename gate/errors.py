"""What went wrong, said so that the reader can act: where, what was found, what to do.

Everything the gate refuses to work with is a :class:`GateError`. It carries one or more :class:`Problem`
(all the mistakes of a file at once) and the exit code of the command that met it. Only exit code 0 allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import IntEnum
from typing import TypeVar

_Error = TypeVar("_Error", bound="GateError")

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: no text has them
_DATUM = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")


class ExitCode(IntEnum):
    """The exit codes of every ``gate`` command. Only 0 allows; 1 is left to a crashed interpreter.

    >>> int(ExitCode.INCONCLUSIVE)
    11
    """

    ALLOW = 0
    USAGE = 2
    REFUSED = 10
    INCONCLUSIVE = 11
    EVIDENCE = 12
    CONFLICT = 13
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``where`` is a file with line and column, a URI, an option or a model; ``found`` is a sentence; ``hint`` says what
    to do about it. Either of ``where`` and ``hint`` may be empty. ``withheld`` is the sentence without the values that
    :func:`datum` marks in it; left out, it follows from ``found``.

    >>> print(Problem("no such file", where="data.csv", hint="check the path"))
    data.csv: no such file
      -> check the path
    """

    found: str
    where: str = ""
    hint: str = ""
    withheld: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "withheld", self.withheld or _DATUM.sub("(withheld)", self.found))
        object.__setattr__(self, "found", self.found.replace(_OPEN, "").replace(_CLOSE, ""))

    def __str__(self) -> str:
        first = f"{self.where}: {self.found}" if self.where else self.found
        return f"{first}\n  -> {self.hint}" if self.hint else first


class GateError(Exception):
    """The gate cannot go on. The base of all its errors; raise one of the subclasses, which fix the exit code.

    >>> error = EvidenceError("no version 9", where="models:/fraud/9", hint="versions: 1, 2")
    >>> error.exit_code is ExitCode.EVIDENCE
    True
    >>> print(error)
    models:/fraud/9: no version 9
      -> versions: 1, 2
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, found: str = "", *, where: str = "", hint: str = "", problems: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems) or (Problem(found, where, hint),)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def without_data(self: _Error) -> _Error:
        """The same error, with no value of the data in its message.

        >>> print(EvidenceError(f"the id {datum('a-17')} stands there twice").without_data())
        the id (withheld) stands there twice
        """
        bare = type(self).__new__(type(self))
        bare.__dict__.update(self.__dict__)
        bare.problems = tuple(replace(problem, found=problem.withheld) for problem in self.problems)
        bare.args = ("\n".join(str(problem) for problem in bare.problems),)
        return bare


class UsageError(GateError):
    """A wrong option, a missing file, an invalid policy: exit code 2."""

    exit_code = ExitCode.USAGE


class EvidenceError(GateError):
    """Evidence is missing or not to be trusted (no such model, contract broken, a model failed): exit code 12."""

    exit_code = ExitCode.EVIDENCE


class ConflictError(GateError):
    """The registry is no longer as it was judged (alias moved, decision stale): exit code 13."""

    exit_code = ExitCode.CONFLICT


def datum(value: object, form: Callable[[object], str] = repr) -> str:
    """A value of the data, or another's words that may quote one, as it stands in the sentence of a problem.

    It is marked, so that it can be left out where the data are private; ``form`` makes it text.

    >>> Problem(f"the id {datum('a-17')} stands there twice").found
    "the id 'a-17' stands there twice"
    """
    return f"{_OPEN}{form(value).replace(_OPEN, '').replace(_CLOSE, '')}{_CLOSE}"


@contextmanager
def data_withheld(asked: bool) -> Iterator[None]:
    """Errors raised within say no value of the data, if that is ``asked``.

    >>> with data_withheld(True):
    ...     raise EvidenceError(f"{datum(0.5)} is no class")
    Traceback (most recent call last):
    gate.errors.EvidenceError: (withheld) is no class
    """
    try:
        yield
    except GateError as error:
        if not asked:
            raise
        raise error.without_data() from None


def did_you_mean(wrong: object, right: Iterable[object]) -> str:
    """The tail of a message about an unknown name: the nearest right one, or all of them.

    An empty ``right`` gives an empty string.

    >>> did_you_mean("nrf", ["nfr", "pfr"])
    "; did you mean 'nfr'?"
    >>> did_you_mean("zzz", ["nfr", "pfr"])
    '; one of: nfr, pfr'
    """
    names = [str(name) for name in right]
    if not names:
        return ""
    near = get_close_matches(str(wrong), names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    shown = ", ".join(names[:12])
    return f"; one of: {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")
