"""What a version's page shows of its verdict: a block of the description, between marks that no page shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gate.errors import EvidenceError
from gate.registry.address import inner

if TYPE_CHECKING:
    from gate.registry.registry import Registry

HEADLINES = {
    "allow": "ALLOWED by the gate.",
    "refuse": "REFUSED by the gate.",
    "inconclusive": "INCONCLUSIVE, says the gate.",
    "error": "ERROR, says the gate.",
    "override": "OVERRIDE of the gate.",
    "rollback": "ROLLBACK, says the gate.",
}
"""How a block begins, by what it tells of: the list of versions shows the first words of a description as they are."""

MARK = "<!-- gate: written by the gate, and replaced with each verdict -->"
END = "<!-- /gate -->"
# A block holds no other mark, so that a mark which lost its end swallows nothing that a person wrote.
_BLOCK = re.compile(
    f"(?:{'|'.join(map(re.escape, HEADLINES.values()))})?{re.escape(MARK)}(?:(?!{re.escape(MARK)}).)*?{re.escape(END)}",
    re.DOTALL,
)

LONGEST = 5000
"""Characters that every supported MLflow store takes as a description."""


def with_block(description: str, verdict: str, text: str) -> str:
    """The description with a verdict in the gate's block; all else stays as it is.

    ``verdict`` is a key of ``HEADLINES``; ``text`` is Markdown without comments. The block goes where it was before,
    else to the end.

    >>> first = with_block("Trained on all rows.", "refuse", "See [the run](#/experiments/3/runs/5f0c).")
    >>> print(first.replace(MARK, "<!-- gate -->"))
    Trained on all rows.
    <BLANKLINE>
    REFUSED by the gate.<!-- gate --> See [the run](#/experiments/3/runs/5f0c).<!-- /gate -->
    >>> with_block(first, "allow", "It is fine.").replace(MARK, "").splitlines()[-1]
    'ALLOWED by the gate. It is fine.<!-- /gate -->'
    """
    block = f"{HEADLINES[verdict]}{MARK} {text}{END}"
    before, *after = _BLOCK.split(description)
    if after:
        return before + block + "".join(after)
    return f"{description}\n\n{block}" if description.strip() else block


def describe(registry: Registry, model: str, version: int, verdict: str, text: str) -> None:
    """Put a verdict into the gate's block of a version's description, as :func:`with_block` says.

    EvidenceError where the description would become too long; nothing is changed then.

    Example::

        describe(registry, "fraud", 7, "refuse", "See [the run](#/experiments/3/runs/5f0c).")
    """
    from gate.registry import lookup

    connection = registry._connection
    where = f"models:/{model}/{version}"
    has = lookup.version(connection, model, version, where).description or ""
    wanted = with_block(has, verdict, text)
    if len(wanted) > LONGEST:
        raise EvidenceError(
            f"its description has {len(has):,} characters, with the verdict {len(wanted):,}; {LONGEST:,} is the most",
            where=where,
            hint="shorten the description; the tags say the same",
        )
    if wanted != has:
        with connection.told(where):
            connection.patiently(lambda: connection.client.update_model_version(model, str(version), wanted))


def run_page(registry: Registry, run_id: str) -> str | None:
    """The address of a run's page in MLflow's UI, as a link on the page of a version.

    It is relative where runs and models are kept in one place, so that it holds under whatever name that place is
    reached; None where the runs are in a database of their own, which has no pages.
    """
    connection = registry._connection
    with connection.told(f"run {run_id}", connection.tracking_uri):
        experiment = connection.client.get_run(run_id).info.experiment_id
    page = f"#/experiments/{experiment}/runs/{run_id}"
    runs = connection.tracking_uri.rstrip("/")
    if runs == inner(connection.uri).rstrip("/"):
        return page
    return f"{runs}/{page}" if runs.startswith(("http://", "https://")) else None
