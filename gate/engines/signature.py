"""What a model's signature says, read from its ``MLmodel`` file: before a process has loaded it, and without MLflow."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.engines.requirements import yaml_of
from gate.errors import EvidenceError

WIDEST = 1 << 40  # values a row; no model answers with as many


@dataclass(frozen=True)
class Signature:
    """The columns that a model names, None where it names none, and how many values a row of its answers has.

    A size that the signature leaves open, and all of one that says nothing of answers, count as one value.
    """

    columns: tuple[str, ...] | None = None
    width: int = 1


def signature_of(folder: Path) -> Signature:
    """The signature of the model in a folder. What cannot be read says nothing: whoever loads the model will say why.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     told = {"inputs": '[{"type": "double", "name": "x"}]', "outputs": '[{"type": "long"}]'}
    ...     _ = Path(name, "MLmodel").write_text(json.dumps({"signature": told}))
    ...     signature_of(Path(name))
    Signature(columns=('x',), width=1)
    """
    with suppress(EvidenceError, ValueError, RecursionError):
        told = yaml_of(folder / "MLmodel").get("signature")
        if isinstance(told, dict):
            return Signature(_names(_specs(told.get("inputs"))), _width(_specs(told.get("outputs"))))
    return Signature()


def _specs(text: Any) -> list[dict[str, Any]]:
    """The inputs or outputs, which MLflow writes as JSON within the YAML."""
    found = json.loads(text) if isinstance(text, str) else None
    return [spec for spec in found if isinstance(spec, dict)] if isinstance(found, list) else []


def _names(specs: list[dict[str, Any]]) -> tuple[str, ...] | None:
    names = [spec.get("name") for spec in specs]
    return tuple(str(name) for name in names) if names and None not in names else None


def _width(specs: list[dict[str, Any]]) -> int:
    """Values a row, all columns and tensors together, up to ``WIDEST``.

    >>> _width([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10, 100]}}])
    1000
    >>> _width([{"type": "double", "name": "no"}, {"type": "double", "name": "yes"}]), _width([])
    (2, 1)
    """
    return min(WIDEST, max(1, sum(_size(spec.get("tensor-spec")) for spec in specs)))


def _size(tensor: Any) -> int:
    """Values a row of one column or tensor; its first size is that of the batch."""
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    sizes = shape[1:] if isinstance(shape, list) else []
    return math.prod(size for size in sizes if isinstance(size, int) and size > 0)
