"""Put packages into an environment of a model's own: by uv, or by virtualenv and pip.

The installer is run by the gate: it gets the user's settings of indexes, with what they need to log in, and nothing
else that looks like a secret. Wheels only, unless builds are allowed: to build a package is to run its code, and that
code would run with those settings in sight. An installed wheel runs nothing; the model's worker, which imports it, has
the scrubbed environment of all workers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gate.engines.environment import ALLOWED, presentable
from gate.errors import EvidenceError, UsageError

INSTALL_SECONDS = 3600.0
LAST_LINES = 12
OF_THE_SYSTEM = frozenset(
    [
        *("HOME", "USER", "NETRC", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    ]
)
OF_PIP = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONSTRAINT", "PRE", "UPLOADED_PRIOR_TO"),
        *("CONFIG_FILE", "KEYRING_PROVIDER", "CERT", "CLIENT_CERT", "TRUSTED_HOST", "PROXY"),
        *("RETRIES", "TIMEOUT", "DEFAULT_TIMEOUT", "CACHE_DIR", "NO_CACHE_DIR"),
    )
)
OF_UV = frozenset(
    f"UV_{name}"
    for name in (
        *("DEFAULT_INDEX", "INDEX", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "INDEX_STRATEGY"),
        *("CONSTRAINT", "OVERRIDE", "EXCLUDE_NEWER", "PRERELEASE", "TORCH_BACKEND", "CONFIG_FILE", "NO_CONFIG"),
        *("KEYRING_PROVIDER", "NATIVE_TLS", "SYSTEM_CERTS", "INSECURE_HOST", "HTTP_TIMEOUT", "HTTP_RETRIES", "OFFLINE"),
        *("CACHE_DIR", "NO_CACHE", "LINK_MODE", "PYTHON_DOWNLOADS", "PYTHON_INSTALL_DIR", "PYTHON_INSTALL_MIRROR"),
    )
)
LOGIN = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
INDEXES_OF_UV = ("DEFAULT_INDEX", "INDEX", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "CONFIG_FILE")


@dataclass(frozen=True)
class Order:
    """What is to be installed: the interpreter to build on, and the files with requirements and constraints.

    ``python`` may be a version, for uv to find or to download; ``build`` allows to build packages from their sources.
    """

    python: str
    requirements: Path
    constraints: Path
    build: bool = False


Installer = Callable[[Order, Path, Mapping[str, str]], None]


def by_uv(order: Order, folder: Path, environment: Mapping[str, str]) -> None:
    """Build an environment in ``folder`` with uv. Raises :class:`EvidenceError` with the last words of uv."""
    uv = uv_command(environment)
    run([*uv, "venv", "--quiet", "--no-project", "--relocatable", "--python", order.python, str(folder)], environment)
    # uv compiles nothing by itself, and the workers write no byte code: each would compile all that it imports.
    install = [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "bin" / "python")]
    install += [] if order.build else ["--no-build"]
    for constraints in (str(order.constraints), *environment.get("UV_CONSTRAINT", "").split()):
        install += ["-c", constraints]  # one on the command line would stand in for the variable
    run([*install, "-r", str(order.requirements)], environment)


def by_virtualenv(order: Order, folder: Path, environment: Mapping[str, str]) -> None:
    """Build an environment in ``folder`` with virtualenv, or venv where that is not installed, and pip."""
    if find_spec("virtualenv"):
        ours = [sys.executable, "-I", "-m", "virtualenv", "--quiet", "--no-periodic-update", "--python", order.python]
        run([*ours, str(folder)], environment)
    else:
        run([order.python, "-I", "-m", "venv", str(folder)], environment)
    install = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input"]
    install += [] if order.build else ["--only-binary", ":all:"]
    run([*install, "-r", str(order.requirements), "-c", str(order.constraints)], environment)


INSTALLERS: dict[str, Installer] = {"uv": by_uv, "virtualenv": by_virtualenv}


def uv_command(environment: Mapping[str, str]) -> list[str]:
    """How to run uv: that in PATH, or that installed beside the gate. Raises :class:`UsageError` without one."""
    found = shutil.which("uv", path=environment.get("PATH"))
    if found:
        return [found]
    if find_spec("uv"):
        return [sys.executable, "-I", "-m", "uv"]
    raise UsageError(
        "uv is not installed",
        where="--env-manager",
        hint="pip install uv, or --env-manager virtualenv, which needs nothing more",
    )


def with_uv(environment: Mapping[str, str]) -> str:
    """The PATH of ``environment`` with the folder of the uv of :func:`uv_command`, for others who look for it there.

    Raises :class:`UsageError` without one.
    """
    if len(uv_command(environment)) == 1:
        return environment.get("PATH", "")
    from uv import find_uv_bin

    return os.pathsep.join(filter(None, (os.path.dirname(find_uv_bin()), environment.get("PATH"))))


def installer_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """The environment of an installer: the user's settings of indexes, proxies and caches, by an allow-list.

    What moves an installation somewhere else (``PIP_TARGET``, ``UV_SYSTEM_PYTHON``) and what publishes
    (``UV_PUBLISH_TOKEN``) stays outside with all other variables. uv downloads no Python unless the user's
    ``UV_PYTHON_DOWNLOADS`` says so.

    >>> sorted(installer_environment({"PIP_INDEX_URL": "u", "AWS_SECRET_ACCESS_KEY": "x", "UV_PUBLISH_TOKEN": "y"}))
    ['PIP_DISABLE_PIP_VERSION_CHECK', 'PIP_INDEX_URL', 'UV_PYTHON_DOWNLOADS']
    """
    allowed = ALLOWED | OF_THE_SYSTEM | OF_PIP | OF_UV
    return {
        "UV_PYTHON_DOWNLOADS": "never",
        **{
            name: value
            for name, value in parent.items()
            if name in allowed or name.startswith("LC_") or LOGIN.fullmatch(name)
        },
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def without_cuda(environment: Mapping[str, str], driver: Path = Path("/proc/driver/nvidia/version")) -> dict[str, str]:
    """The environment with ``UV_TORCH_BACKEND=cpu``, where that spares gigabytes that would serve nobody.

    That is on Linux without a driver of NVIDIA's, and where the user says nothing of indexes: MLflow records torch
    without its ``+cpu``, and the usual index has the build for CUDA under that number.

    >>> without_cuda({"UV_INDEX_URL": "https://index.example"})
    {'UV_INDEX_URL': 'https://index.example'}
    """
    home = Path(environment.get("HOME") or "~").expanduser()
    configured = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "uv" / "uv.toml"
    says = any(f"UV_{name}" in environment for name in ("TORCH_BACKEND", *INDEXES_OF_UV))
    says = says or configured.exists() or Path("/etc/uv/uv.toml").exists()
    if says or driver.exists() or not sys.platform.startswith("linux"):
        return dict(environment)
    return {**environment, "UV_TORCH_BACKEND": "cpu"}


def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run an installer. Raises :class:`EvidenceError` with its last lines where it fails."""
    try:
        ended = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EvidenceError(f"the installer did not end within {INSTALL_SECONDS:g} s") from error
    except OSError as error:
        raise EvidenceError(f"the installer does not run: {error}") from error
    if ended.returncode:
        lines = [line.rstrip()[:300] for line in ended.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
        shown = "".join(f"\n    | {presentable(line, {**os.environ, **environment})}" for line in lines[-LAST_LINES:])
        raise EvidenceError(f"the installer left with exit code {ended.returncode}{shown}")
