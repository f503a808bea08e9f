"""Runs commands of the gate as real processes, forked after the imports, so that many of them cost little.

Reads a line with a JSON list of jobs, starts a process for each at the same moment, and answers with a line: for each
its exit code (that of a signal is negative), what it said, and the names of the calls by which it wrote to a registry.
A job may be killed: ``{"argv": [...], "kill": 3}`` ends it with SIGKILL after its third write, 0 before the first.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# ruff: noqa: F401 - what a command imports when it needs it is imported here, once, before the forks
import mlflow.store.model_registry.rest_store
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.rest_store
import mlflow.store.tracking.sqlalchemy_store
import securesystemslib.signer
from mlflow import MlflowClient

import gate.cli.output
import gate.registry.files
import gate.registry.journal
import gate.registry.lease
import gate.stories.audit
import gate.stories.promote
import gate.stories.rollback
from gate.cli.app import run
from gate.decisions.canonical import json_schema

WRITES = (
    "delete_model_version_tag",
    "delete_registered_model_alias",
    "delete_registered_model_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_registered_model_tag",
    "update_model_version",
)


def counted(call: Callable[..., Any], written: list[str], kill: int | None) -> Callable[..., Any]:
    def write(*args: Any, **kwargs: Any) -> Any:
        if kill == len(written):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(*args, **kwargs)
        written.append(call.__name__)
        if kill == len(written):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return write


def work(job: dict[str, Any], start: int, answer: int) -> None:
    written: list[str] = []
    for name in WRITES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name), written, job.get("kill")))
    os.environ.update(job.get("env", {}))
    os.read(start, 1)  # until the parent closes it
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(job["argv"])
    with os.fdopen(answer, "w") as out:
        json.dump({"code": code, "said": said.getvalue(), "writes": written}, out)


def main() -> None:
    json_schema()  # builds, and keeps, what reading a decision takes
    for line in sys.stdin:
        start_read, start_write = os.pipe()
        running = []
        for job in json.loads(line):
            answer_read, answer_write = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(start_write)
                try:
                    work(job, start_read, answer_write)
                finally:
                    os._exit(0)
            os.close(answer_write)
            running.append((pid, answer_read))
        os.close(start_read)
        os.close(start_write)
        answers = []
        for pid, answer_read in running:
            with os.fdopen(answer_read) as read:
                answer = json.loads(read.read() or "{}")
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                answer = {"code": -os.WTERMSIG(status), "said": "", "writes": []}
            answers.append(answer)
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
