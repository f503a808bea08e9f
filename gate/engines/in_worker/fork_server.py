"""Several workers for the time of one: import what all of them need, and only then become one process for each model.

The gate runs it as ``__main__.py --fork TOLD``, where ``TOLD`` is JSON: ``children`` with the descriptors of each
(``channel`` and ``answers`` as of any worker, and ``status``), its ``log`` and its ``home``; ``network`` leaves them
the network, ``die_with_parent`` ends this process with the thread that started it.

No model runs here, and nothing of one is known here. Each child gives up what a worker has no need of
(``unplugged``), by itself, before it hears of its model: it has a session, a network and random numbers of its own, and
no descriptor of another child's. What becomes of it is written to ``status``: ``born NUMBER``, then ``over CODE``, as
``subprocess`` counts exit codes. A child that the gate has let go of before it was forked is never forked. Linux only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

from . import serving, unplugged

ALL_NEED = ("numpy", "pandas", "pyarrow", "mlflow.pyfunc")
MOST_NEED = ("scipy.sparse", "scipy.linalg", "scipy.special", "scipy.optimize", "scipy.stats", "joblib")
"""What most of scikit-learn's import is; itself it is none of these, so that its version is said by who imports it."""


def main() -> NoReturn:
    """Be the server, and in each child a worker."""
    told = json.loads(sys.argv[2])
    children: list[dict[str, Any]] = told["children"]
    unplugged.be_the_first_to_go()
    unplugged.adopt()
    if told["die_with_parent"]:
        unplugged.die_with(int(signal.SIGKILL))
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # of allocators
    gc.disable()  # as in any worker
    for name in (*ALL_NEED, *MOST_NEED):
        # What is missing or broken each worker finds out by itself, and says it.
        with suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # in pages that the workers share
    server, running = os.getpid(), {}
    for place, child in enumerate(children):
        number = None if is_let_go(child["channel"]) else os.fork()
        if number == 0:
            others = children[:place] + children[place + 1 :]
            be(child, others, server, network=told["network"])
        for end in ("channel", "answers"):
            os.close(child.pop(end))
        if number is None:
            say(child, "over 0")
        else:
            running[number] = child
    while running:
        over = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert over is not None
        if over.si_pid in running:  # and no orphan
            code = over.si_status if over.si_code == os.CLD_EXITED else -over.si_status
            say(running.pop(over.si_pid), f"over {code}")  # its number is its own for as long as nobody waited for it
        os.waitpid(over.si_pid, 0)
    os._exit(0)  # all that is imported here was let go of by others already


def be(child: dict[str, Any], others: list[dict[str, Any]], server: int, *, network: bool) -> NoReturn:
    """Be the worker ``child``."""
    os.setsid()
    for other in others:
        for end in {"channel", "answers", "status"} & other.keys():
            os.close(other[end])
    os.set_inheritable(child["status"], False)
    log = os.open(child["log"], os.O_WRONLY | os.O_APPEND)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    os.environ["HOME"] = child["home"]
    os.chdir(child["home"])
    unplugged.give_up(network=network, die_with_parent=True)
    if os.getppid() != server:  # it went before the system was asked to tell
        os._exit(1)
    say(child, f"born {os.getpid()}")
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # Python's own random numbers begin anew by themselves
    serving.be_worker(child["channel"], child["answers"])


def say(child: dict[str, Any], what: str) -> None:
    """Tell the gate, where it still listens; after ``over`` there is nothing to say."""
    with suppress(OSError):
        os.write(child["status"], f"{what}\n".encode())
    if what.startswith("over"):
        os.close(child.pop("status"))


def is_let_go(channel: int) -> bool:
    """Whether the gate has closed its end."""
    poll = select.poll()
    poll.register(channel, 0)  # hang-ups are always reported
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
