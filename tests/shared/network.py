"""Whether this machine lets a program be without the network; asked of the system's own tool, not of the gate."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

LEFT_ON = "the system does not let the network be turned off"


@cache
def can_be_turned_off() -> bool:
    if shutil.which("unshare") is None:
        return False
    tries = (["unshare", "-n", "true"], ["unshare", "-Urn", "true"])
    return any(subprocess.run(words, capture_output=True, check=False).returncode == 0 for words in tries)
