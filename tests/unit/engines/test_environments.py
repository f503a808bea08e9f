"""Environments of the models' own, built by real installers from wheels made here: no index, no network."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gate.engines import environments, installers
from gate.engines.environments import (
    MARKER,
    Environment,
    drop_oldest,
    environment_for,
    kept_in,
    last_used,
    planned,
)
from gate.engines.installers import installer_environment, uv_command, without_cuda
from gate.engines.interpreters import interpreter
from gate.engines.requirements import asked_of
from gate.errors import EvidenceError, UsageError

RUNNING = "{}.{}".format(*sys.version_info[:2])
WORKERS_RUN_ON = ("3.10", "3.11", "3.12", "3.13")
OF_WORKERS = {"mlflow": "3.17.2", "numpy": "2.4.6", "pandas": "3.1.1", "pyarrow": "25.0.1"}


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with one module, which says its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: what the workers need, a library in two versions, and one that has to be built."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, version in [*OF_WORKERS.items(), ("learner", "1.5.2"), ("learner", "1.9.1")]:
        wheel(folder, name, version)
    source = folder / "setup.py"
    source.write_text(f"open({str(folder / 'was-built')!r}, 'w')\n")
    with tarfile.open(folder / "sourced-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "sourced-1.0/setup.py")
    source.unlink()
    return folder


@pytest.fixture(autouse=True)
def _offline(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "uv.toml").write_text(f"no-index = true\nfind-links = [{str(shelf)!r}]\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("GATE_CACHE_DIR", str(tmp_path / "cache"))


def model(folder: Path, *lines: str, python: str = f"{RUNNING}.0") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "python_env.yaml").write_text(f"python: {python}\n")
    (folder / "MLmodel").write_text("mlflow_version: 3.17.2\n")
    return folder


def version_in(environment: Environment, module: str) -> str:
    asks = f"import {module}; print({module}.__version__)"
    command = [environment.python, "-I", "-B", "-c", asks]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def refusal(of: Path, manager: str = "uv", **options: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        environment_for(of, manager, role="incumbent", **options)
    assert all(problem.where == "incumbent model" for problem in caught.value.problems)
    return str(caught.value)


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_two_models_have_the_versions_that_each_asks_for(manager: str, tmp_path: Path) -> None:
    old = environment_for(model(tmp_path / "old", "mlflow==3.17.2", "learner==1.5.2"), manager)
    new = environment_for(model(tmp_path / "new", "mlflow==3.17.2", "learner==1.9.1"), manager)
    assert (version_in(old, "learner"), version_in(new, "learner")) == ("1.5.2", "1.9.1")
    assert version_in(old, "pyarrow") == OF_WORKERS["pyarrow"] and old.digest != new.digest
    assert old.words == f"an environment of its own ({manager}, Python {RUNNING}, 2 requirements)" and old.notes == ()


def test_two_models_have_the_versions_of_python_that_each_was_made_by(tmp_path: Path) -> None:
    other = next((minor for minor in WORKERS_RUN_ON if minor != RUNNING and interpreter(minor)), None)
    if other is None:
        pytest.skip("one version of Python is here")
    both = [
        environment_for(model(tmp_path / minor, "learner==1.5.2", python=f"{minor}.0"), "uv")
        for minor in (RUNNING, other)
    ]
    asks = "import sys, learner; print('%d.%d' % sys.version_info[:2], learner.__version__)"
    told = [
        subprocess.run([one.python, "-I", "-c", asks], capture_output=True, text=True, check=True).stdout.split()
        for one in both
    ]
    assert told == [[RUNNING, "1.5.2"], [other, "1.5.2"]]
    assert both[0].digest != both[1].digest


def test_an_environment_is_built_once_and_found_afterwards(tmp_path: Path) -> None:
    said: list[str] = []
    first = environment_for(model(tmp_path / "m", "learner==1.5.2", "mlflow"), "uv", progress=said.append)
    again = environment_for(model(tmp_path / "n", "# the same", "mlflow", "learner==1.5.2"), "uv", progress=said.append)
    assert said == ["building the environment of the candidate"]
    assert (first.python, first.digest) == (again.python, again.digest)
    assert first.python.is_relative_to(tmp_path / "cache" / "environments" / first.digest)


def test_mlflow_is_added_in_the_version_that_saved_the_model(tmp_path: Path) -> None:
    plan = planned(asked_of(model(tmp_path / "m", "learner==1.5.2")), "uv", False, {})
    assert plan.lines == ("learner==1.5.2", "numpy", "pandas", "pyarrow>=16", "mlflow==3.17.2")


def test_what_is_pinned_by_the_model_stays_so(tmp_path: Path) -> None:
    pins = ["mlflow-skinny==3.4.0", "pandas==2.2.3", "numpy==1.26.4"]
    plan = planned(asked_of(model(tmp_path / "m", *pins)), "uv", False, {})
    assert plan.lines == (*pins, "pyarrow>=16") and plan.unpinned == ()


def test_requirements_without_an_exact_version_are_noted(tmp_path: Path) -> None:
    environment = environment_for(model(tmp_path / "m", "learner>=1", "mlflow==3.17.2"), "uv")
    assert version_in(environment, "learner") == "1.9.1"
    (note,) = environment.notes
    assert note.startswith("candidate model: learner without an exact version in its requirements: its environment has")


def test_the_digest_is_of_all_that_decides_what_is_inside(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "learner", "mlflow")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("learner<2\n")

    def digest(
        manager: str = "uv", build: bool = False, around: Mapping[str, str] | None = None, of: Path = folder
    ) -> str:
        return planned(asked_of(of), manager, build, around or {}).digest

    constrained = digest(around={"UV_CONSTRAINT": str(constraints)})
    constraints.write_text("learner<1.9\n")
    digests = [
        digest(),
        digest("virtualenv"),
        digest(build=True),
        digest(around={"UV_TORCH_BACKEND": "cpu"}),
        constrained,
        digest(around={"UV_CONSTRAINT": str(constraints)}),
        digest(of=model(tmp_path / "other", "learner==1.5.2", "mlflow")),
        digest(of=model(tmp_path / "python", "learner", "mlflow", python="3.10.1")),
    ]
    assert len(set(digests)) == len(digests)
    assert digest(around={"PIP_CONSTRAINT": str(constraints), "TOKEN": "x"}) == digest()


@pytest.mark.parametrize("manager, name", [("uv", "UV_CONSTRAINT"), ("virtualenv", "PIP_CONSTRAINT")])
def test_the_users_constraints_are_in_force(
    manager: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "constraints.txt").write_text("learner<1.9\n")
    monkeypatch.setenv(name, str(tmp_path / "constraints.txt"))
    assert version_in(environment_for(model(tmp_path / "m", "learner"), manager), "learner") == "1.5.2"


def test_a_wheel_in_the_models_folder_is_installed(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "wheels/ours-3.0-py3-none-any.whl", "mlflow")
    (folder / "wheels").mkdir()
    wheel(folder / "wheels", "ours", "3.0")
    assert version_in(environment_for(folder, "uv"), "ours") == "3.0"


def test_one_that_was_not_built_to_its_end_is_never_used(tmp_path: Path) -> None:
    folder, said = model(tmp_path / "m", "learner==1.5.2"), list[str]()
    first = environment_for(folder, "uv", folder=tmp_path / "a")
    home = tmp_path / "a" / first.digest
    for damage in ("{", json.dumps({"digest": "another", "built_at": "x"}), "[]"):
        (home / MARKER).write_text(damage)
        (home / "left-over").touch()
        environment_for(folder, "uv", folder=tmp_path / "a", progress=said.append)
        assert not (home / "left-over").exists()
    first.python.unlink()
    assert version_in(environment_for(folder, "uv", folder=tmp_path / "a", progress=said.append), "learner") == "1.5.2"
    assert len(said) == 4


def test_of_two_builders_at_once_one_builds_and_both_use_it(tmp_path: Path) -> None:
    folder, found = model(tmp_path / "m", "learner==1.5.2"), list[Environment]()
    threads = [threading.Thread(target=lambda: found.append(environment_for(folder, "uv"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1 and version_in(found[0], "learner") == "1.5.2"
    assert not list(kept_in(os.environ).glob("*.building"))


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_an_installer_that_fails_is_heard_and_leaves_nothing_behind(manager: str, tmp_path: Path) -> None:
    text = refusal(model(tmp_path / "m", "unheard-of==1.0"), manager)
    assert "could not be built" in text and "unheard-of" in text and "\n    | " in text
    assert not [path for path in kept_in(os.environ).iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_nothing_is_built_from_its_sources_unless_that_is_allowed(manager: str, shelf: Path, tmp_path: Path) -> None:
    assert "--allow-builds" in refusal(model(tmp_path / "m", "sourced==1.0"), manager)
    assert not (shelf / "was-built").exists()


def test_an_address_that_has_to_be_built_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    text = refusal(model(tmp_path / "m", "x @ git+https://host.example/x.git", "-e ."))
    assert "x comes from an address and has to be built" in text and "--allow-builds" in text and "'-e .'" in text


def test_a_version_of_python_that_is_not_here_is_named(tmp_path: Path) -> None:
    assert "needs Python 3.99, which was not found" in refusal(model(tmp_path / "m", "learner", python="3.99.1"))


def test_a_version_of_python_that_workers_cannot_run_on_is_named(tmp_path: Path) -> None:
    assert "was made by Python 3.8" in refusal(model(tmp_path / "m", "learner", python="3.8.18"))


def test_a_model_without_requirements_has_no_environment(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "--env-manager local" in refusal(tmp_path / "m")


def test_a_place_where_nothing_can_be_kept_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "$GATE_CACHE_DIR" in refusal(model(tmp_path / "m", "learner"), folder=tmp_path / "file")


def test_local_is_the_running_interpreter_after_a_look_at_the_requirements(tmp_path: Path) -> None:
    assert environment_for(model(tmp_path / "m", "mlflow"), "local").python == Path(sys.executable)
    assert "needs learner==1.5.2, which is not installed" in refusal(model(tmp_path / "n", "learner==1.5.2"), "local")
    accepted = environment_for(model(tmp_path / "n", "learner==1.5.2"), "local", accept_clash=True)
    assert accepted.digest == "" and "accepted by --accept-clash" in accepted.notes[0]


def test_an_unknown_manager_and_a_missing_one_are_errors_of_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="did you mean 'virtualenv'"):
        environment_for(tmp_path, "virtualenvs")
    monkeypatch.setattr(installers, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install uv"):
        uv_command({"PATH": str(tmp_path)})


# --- what an installer is told ----------------------------------------------------------------------------------------


def test_an_installer_is_told_of_indexes_and_of_no_token() -> None:
    told = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "PIP_INDEX_URL": "https://me:word@index.example",
        "PIP_CONSTRAINT": "c.txt",
        "UV_INDEX": "ours=https://index.example",
        "UV_INDEX_OURS_PASSWORD": "word",
        "https_proxy": "http://proxy",
    }
    kept_back = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "MLFLOW_TRACKING_TOKEN": "x",
        "GITHUB_TOKEN": "x",
        "UV_PUBLISH_TOKEN": "x",
        "TWINE_PASSWORD": "x",
        "PIP_TARGET": "/",
        "PIP_USER": "1",
        "UV_SYSTEM_PYTHON": "1",
        "PYTHONPATH": "/",
        "VIRTUAL_ENV": "/",
    }
    ours = {"UV_PYTHON_DOWNLOADS": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert installer_environment({**told, **kept_back}) == {**told, **ours}


def test_uv_fetches_a_python_only_where_the_user_says_so() -> None:
    assert installer_environment({})["UV_PYTHON_DOWNLOADS"] == "never"
    assert installer_environment({"UV_PYTHON_DOWNLOADS": "automatic"})["UV_PYTHON_DOWNLOADS"] == "automatic"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the usual index has no build for CUDA")
def test_torch_comes_without_cuda_where_there_is_none_and_the_user_says_nothing_else(tmp_path: Path) -> None:
    driver, home = tmp_path / "version", {"HOME": str(tmp_path)}
    if Path("/etc/uv/uv.toml").exists():
        pytest.skip("this machine has its own settings for uv")
    assert without_cuda(home, driver)["UV_TORCH_BACKEND"] == "cpu"
    assert without_cuda({**home, "UV_TORCH_BACKEND": "auto"}, driver)["UV_TORCH_BACKEND"] == "auto"
    assert "UV_TORCH_BACKEND" not in without_cuda({**home, "UV_DEFAULT_INDEX": "https://index.example"}, driver)
    driver.touch()
    assert "UV_TORCH_BACKEND" not in without_cuda(home, driver)
    driver.unlink()
    (tmp_path / ".config" / "uv").mkdir(parents=True)
    (tmp_path / ".config" / "uv" / "uv.toml").touch()
    assert "UV_TORCH_BACKEND" not in without_cuda(home, driver)


def test_the_words_of_an_installer_show_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    text = refusal(model(tmp_path / "m", "unheard-of==1.0"))
    assert "127.0.0.1:9" in text and "hunter2" not in text


# --- interpreters -----------------------------------------------------------------------------------------------------


def test_an_interpreter_is_found_in_the_places_where_they_are_kept(tmp_path: Path) -> None:
    def python(place: str, minor: str) -> Path:
        path = tmp_path / place / f"python{minor}"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho {minor}\n")
        path.chmod(0o755)
        return path

    home = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    shim = python("bin", "3.77")
    shim.write_text("#!/bin/sh\nexit 127\n")  # as pyenv's, for a version that is not switched on
    python(".pyenv/versions/3.77.2/bin", "3.77")
    newer = python(".pyenv/versions/3.77.10/bin", "3.77")
    of_uv = python(".local/share/uv/python/cpython-3.78.1-linux-x86_64-gnu/bin", "3.78")
    assert interpreter("3.77", home) == newer and interpreter("3.78", home) == of_uv
    assert interpreter("3.79", home) is None
    assert interpreter(RUNNING, {}) is not None


# --- the folder -------------------------------------------------------------------------------------------------------


def kept(home: Path, name: str, when: float) -> Path:
    (home / name).mkdir(parents=True)
    (home / name / MARKER).write_text("{}")
    os.utime(home / name / MARKER, (when, when))
    return home / name


def test_those_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
    for number in range(5):
        kept(tmp_path, f"e{number}", 1_000.0 + number)
    (tmp_path / "dead.building").mkdir()
    assert sorted(drop_oldest(tmp_path, keep=3)) == ["e0", "e1"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["e2", "e3", "e4"]
    assert drop_oldest(tmp_path / "nowhere") == ()


def test_one_that_is_in_use_is_not_dropped(tmp_path: Path) -> None:
    kept(tmp_path, "used", 1_000.0)
    with open(tmp_path / "used.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert drop_oldest(tmp_path, keep=0) == ()
    assert drop_oldest(tmp_path, keep=0) == ("used",)


def test_using_one_counts_as_a_use(tmp_path: Path) -> None:
    environment = environment_for(model(tmp_path / "m", "learner"), "uv")
    path = kept_in(os.environ) / environment.digest
    os.utime(path / MARKER, (1_000.0, 1_000.0))
    environments._in_use.pop(path).close()  # as in another process
    environment_for(model(tmp_path / "m", "learner"), "uv")
    assert last_used(path) > 2_000.0


def test_the_folder_is_in_the_users_cache() -> None:
    assert kept_in({"HOME": "/home/me"}) == Path("/home/me/.cache/gate/environments")
    assert kept_in({"HOME": "/home/me", "XDG_CACHE_HOME": "/c"}) == Path("/c/gate/environments")
