"""The session of Spark: the one that is active, or one that the gate starts; and who sees what there."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.engines.environment import FORBIDDEN_NAME, presentable, worker_environment
from gate.engines.spark.daemon import AT_HAND
from gate.errors import UsageError

INSTALL = "pip install 'model-update-gate[spark]'"
INSTALL_JAVA = "apt-get install openjdk-17-jre-headless"

_SPARK_NAMES = re.compile(r"^(JAVA_HOME|SPARK_.*|PYSPARK_.*|HADOOP_.*|YARN_.*|KUBERNETES_.*|PYTHONPATH)$")


@dataclass(frozen=True)
class Started:
    """A session, and what to say of who sees what there. ``own`` ones end with the check."""

    session: Any
    own: bool
    scrubbed: bool

    @property
    def local(self) -> bool:
        """Whether everything runs on this machine."""
        return str(self.session.sparkContext.master).startswith("local")

    @property
    def reused(self) -> bool:
        """Whether Spark's Python workers serve one task after another."""
        return str(self.session.sparkContext.getConf().get("spark.python.worker.reuse", "true")).lower() == "true"

    def isolation(self, *, apart: bool) -> str:
        """Where the models ran, for the record; ``apart`` in workers of their own, or in those that counted."""
        where = "on this machine" if self.local else "of the cluster"
        seeing = (
            "an environment without tokens"
            if self.local and self.scrubbed
            else "whatever environment and credentials these have"
        )
        shared = "each of one model alone" if apart else "which models and counting share"
        if not self.reused:
            shared = "a fresh one for each task"
        return f"in Spark's Python workers {where}, {shared}, with {seeing}; no limits but Spark's own"

    @property
    def tools(self) -> dict[str, str]:
        """Versions for the record."""
        java = self.session._jvm.java.lang.System.getProperty("java.version")
        return {"spark": str(self.session.version), "java": str(java)}


@contextmanager
def spark_session(master: str | None = None, at_hand: str = "") -> Iterator[Started]:
    """The session that is active, or one that lives as long as this block.

    A session that is there is used as it is. A new one is of ``master``, or of the master that Spark's own
    configuration names, or ``local[*]``; on this machine it starts with an environment without tokens, what the JVM
    writes goes to a log that nobody reads, and its workers have the module ``at_hand``. UsageError where pyspark or
    Java are missing, where a session of another master is active, and for Spark Connect.
    """
    _installed()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        if not hasattr(active, "sparkContext") or not hasattr(active, "_jsparkSession"):
            raise UsageError("Spark Connect is not supported", where="--engine spark", hint="use a classic session")
        is_of = str(active.sparkContext.master)
        if master is not None and master != is_of:
            raise UsageError(f"a session of {is_of} is active", where="--spark-master", hint="leave the option out")
        yield Started(active, own=False, scrubbed=False)
        return
    with (
        tempfile.TemporaryDirectory(prefix="gate-spark-", ignore_cleanup_errors=True) as folder,
        quiet("py4j"),  # what goes wrong is told as an error
        _no_traceback_of_interrupts(),
    ):
        started = _start(master or _configured_master(), Path(folder), at_hand)
        try:
            yield started
        finally:
            started.session.stop()


def _installed() -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise UsageError("pyspark is not installed", where="--engine spark", hint=INSTALL) from None
    home = os.environ.get("JAVA_HOME")
    if home and not Path(home, "bin", "java").exists():
        raise UsageError(f"JAVA_HOME is {home}, and no Java is there", where="--engine spark", hint=INSTALL_JAVA)
    if not home and shutil.which("java") is None:
        raise UsageError("Spark needs Java, and there is none", where="--engine spark", hint=INSTALL_JAVA)


def _configured_master() -> str:
    """The master that spark-submit would take: from its arguments, from spark-defaults.conf, or this machine."""
    arguments = shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    if "--master" in arguments[:-1]:
        return arguments[arguments.index("--master") + 1]
    home = os.environ.get("SPARK_HOME")
    folder = os.environ.get("SPARK_CONF_DIR") or (os.path.join(home, "conf") if home else None)
    with suppress(OSError, TypeError):
        for line in Path(folder, "spark-defaults.conf").read_text().splitlines():  # type: ignore[arg-type]
            found = re.match(r"\s*spark\.master[\s=:]+(\S+)", line)
            if found:
                return found.group(1)
    return "local[*]"


def _start(master: str, folder: Path, at_hand: str) -> Started:
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway as launch
    from pyspark.sql import SparkSession

    launch_gateway: Callable[..., Any] = launch

    local = master.startswith("local")
    fresh = SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ
    environment = dict(os.environ)
    if local:
        environment = worker_environment(os.environ, home=str(folder), threads=1)
        environment |= {
            name: value
            for name, value in os.environ.items()
            if _SPARK_NAMES.match(name) and (name.startswith("PYSPARK_GATEWAY") or not FORBIDDEN_NAME.search(name))
        }
        environment.setdefault("PYSPARK_PYTHON", sys.executable)
        environment[AT_HAND] = at_hand
    conf = SparkConf().setMaster(master).setAppName("gate check").set("spark.ui.showConsoleProgress", "false")
    if local:
        conf.set("spark.ui.enabled", "false").set("spark.local.dir", str(folder))
        conf.set("spark.python.daemon.module", "gate.engines.spark.daemon")
    log = folder / "spark.log"
    with environment_of(environment), log.open("wb") as stream, _own_interrupt():
        try:
            if fresh:
                gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
                context = SparkContext(conf=conf, gateway=gateway)
            else:
                context = SparkContext.getOrCreate(conf)
            session = SparkSession.builder.getOrCreate()
        except (PySparkException, OSError, RuntimeError) as error:
            said = _reason(log.read_text(errors="replace")) or str(error).splitlines()[0]
            raise UsageError(
                f"Spark does not start: {presentable(said)}",
                where=f"--spark-master {master}",
                hint="as in local[2] or spark://host:7077; or look at Spark's own configuration",
            ) from error
    context.setLogLevel("OFF")
    return Started(session, own=True, scrubbed=local and fresh)


def _reason(said: str) -> str:
    r"""The line of a log in which Java says what went wrong, else the last one; of a stack the lines are left out.

    >>> _reason("starting\nException in thread main: no such master\n\tat org.apache.X")
    'Exception in thread main: no such master'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("\t")]
    raised = [line for line in lines if re.search(r"(Exception|Error)\b", line)]
    return next(iter([*raised[:1], *lines[-1:]]), "")


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Ctrl-C means here what it meant before: pyspark would ask Java to cancel its jobs in the middle of a question."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _no_traceback_of_interrupts() -> Iterator[None]:
    """Whoever interrupts a command knows it; py4j would tell it by the root logger, with all of its stack."""

    def other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("KeyboardInterrupt while sending command")

    root = logging.getLogger()
    root.addFilter(other)
    try:
        yield
    finally:
        root.removeFilter(other)


@contextmanager
def environment_of(environment: Mapping[str, str]) -> Iterator[None]:
    """Makes this the environment of the process, for as long as Spark or MLflow look at it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Of a logger only errors that end everything are shown inside."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
