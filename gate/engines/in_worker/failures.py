"""What goes wrong with a model, in words: a sentence, what to do about it, and the sentence without what it quotes."""

from __future__ import annotations

import os
import sys
import traceback


class Refusal(Exception):
    """What is found wrong with a model, its input or its answer: a sentence, and what to do about it."""

    def __init__(self, found: str, hint: str = "", withheld: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.hint = hint
        self.withheld = withheld  # the sentence without what it quotes of the data, where it quotes any


def failure(stage: str, error: BaseException) -> dict[str, str]:
    """An error as the payload of FAIL: the sentence, what to do about it, and the sentence without words of others."""
    if isinstance(getattr(error, "found", None), str):  # a Refusal, of this package or of a copy of it
        return {part: str(getattr(error, part, "")) for part in ("found", "hint", "withheld")}
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  foreign code may raise anything
        message = "(its message cannot be shown)"
    if len(message) > 800:  # MLflow prints the data first and the reason last
        message = f"{message[:300]} ... {message[-480:]}"
    frames = traceback.extract_tb(error.__traceback__)
    last = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = (
            f"install what the model needs into the environment of {sys.executable}; workers run `python -I`, which "
            "sees neither PYTHONPATH nor the user's site-packages"
        )
    raised = f"{stage} raised {type(error).__name__}"
    return {"found": f"{raised}: {message}{last}", "hint": hint, "withheld": f"{raised}{last}"}
