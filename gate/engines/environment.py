"""What a model may see of the gate's environment, and what of its messages may be shown.

An allow-list: a variable that nobody thought of stays outside. A model runs as the same user on the same machine, so
this keeps tokens out of its way; it is no sandbox against one that goes looking for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

ALLOWED = frozenset(
    [
        *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "CUBLAS_WORKSPACE_CONFIG"),
        *("NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    ]
)
SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
FORBIDDEN_NAME = re.compile(rf"^MLFLOW_|^AWS_|{SECRET_NAME.pattern}", re.IGNORECASE)
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
USER_INFO = re.compile(r"(?<=://)[^\s/@]+(?:/[^\s/@]*)?@")
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def worker_environment(parent: Mapping[str, str], *, home: str, threads: int) -> dict[str, str]:
    """The environment of a worker: what is allowed of the parent's, a home of its own, its share of the cores.

    Nothing whose name looks like a secret, and nothing of ``MLFLOW_`` or ``AWS_``, gets through.

    >>> worker_environment({"AWS_SECRET_ACCESS_KEY": "x", "LC_ALL": "C"}, home="/h", threads=2)["LC_ALL"]
    'C'
    """
    allowed = {
        name: value
        for name, value in parent.items()
        if (name in ALLOWED or name.startswith("LC_")) and not FORBIDDEN_NAME.search(name)
    }
    return {
        **allowed,
        **dict.fromkeys(THREADS, str(threads)),
        "HOME": home,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def presentable(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Text from a model, fit for a message: no control characters, no user and password in a URI, no secret value.

    >>> presentable("no route to postgresql://me:hunter2@db/x", {})
    'no route to postgresql://***@db/x'
    """
    text = USER_INFO.sub("***@", CONTROL.sub("", text.encode("utf-8", "backslashreplace").decode("utf-8")))
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= 6 and SECRET_NAME.search(name) and not name.endswith(("_DIR", "_PATH", "_FILE", "_SOCK")):
            text = text.replace(value, "***")
    return text
