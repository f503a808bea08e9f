"""What models ask of their environment, and when that clashes with the running one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.engines.requirements import asked_of, check_running
from gate.errors import EvidenceError

INSTALLED = {
    "mlflow": "3.17.2",
    "scikit-learn": "1.9.1",
    "numpy": "2.4.6",
    "torch": "2.13.0+cpu",
    "pre": "2.0rc1",
    "zope-interface": "7.1",
}


def model(folder: Path, requirements: str | None, python: str | None = "3.11.7", file: str = "model.pkl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"")
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    if python is not None:
        (folder / "python_env.yaml").write_text(f"python: {python}\ndependencies:\n- -r requirements.txt\n")
    return folder


def check(folder: Path, accept_clash: bool = False, python: str = "3.11.9") -> tuple[str, ...]:
    return check_running(folder, "candidate", accept_clash=accept_clash, installed=INSTALLED.get, python=python)


def clashes(folder: Path, python: str = "3.11.9") -> list[str]:
    with pytest.raises(EvidenceError) as caught:
        check(folder, python=python)
    assert {problem.where for problem in caught.value.problems} == {"candidate model"}
    return [problem.found for problem in caught.value.problems]


@pytest.mark.parametrize(
    "requirement",
    [
        "scikit-learn==1.9.1",
        "scikit_learn == 1.9.1",
        "Scikit.Learn>=1.5,<2",
        "scikit-learn",
        "scikit-learn[benchmark]==1.9.1",
        "scikit-learn==1.9.*",
        "scikit-learn~=1.9.0",
        "scikit-learn===1.9.1",
        "scikit-learn!=1.9.0",
        "scikit-learn==1.5.2; python_version < '3.9'",
        "scikit-learn==1.5.2; sys_platform == 'win32'",
        "nothing-of-the-kind; extra == 'gpu'",
        "torch==2.13.0",
        "torch==2.13.0+cpu",
        "pre>=2.0rc1",
        "pre>1",
        "zope.interface==7.1",
        "mlflow==3.17.2",
        "mlflow==3.4.0",
        "mlflow==3.99.0",
        "mlflow>=3,<4",
        "numpy==2.4.6 # why not",
        "# numpy==1.0",
        "",
        "numpy \\\n  ==2.4.6",
    ],
)
def test_what_is_met_is_no_clash_and_no_note(requirement: str, tmp_path: Path) -> None:
    assert check(model(tmp_path / "m", f"{requirement}\n")) == ()


@pytest.mark.parametrize(
    "requirement, found",
    [
        ("scikit-learn==1.5.2", "needs scikit-learn==1.5.2, and 1.9.1 is installed"),
        ("Scikit_Learn==1.5.2", "needs scikit-learn==1.5.2, and 1.9.1 is installed"),
        ("scikit-learn==1.9.0", "needs scikit-learn==1.9.0, and 1.9.1 is installed"),
        ("scikit-learn[a,b]<1.9", "needs scikit-learn[a,b]<1.9, and 1.9.1 is installed"),
        ("scikit-learn===1.9", "needs scikit-learn===1.9, and 1.9.1 is installed"),
        ("scikit-learn==1.5.2; python_version >= '3.11'", "needs scikit-learn==1.5.2, and 1.9.1 is installed"),
        ("torch==2.12.0", "needs torch==2.12.0, and 2.13.0+cpu is installed"),
        ("torch==2.12.0+cu128", "needs torch==2.12.0+cu128, and 2.13.0+cpu is installed"),
        ("xgboost", "needs xgboost, which is not installed"),
        ("mlflow==2.9.2", "needs mlflow==2.9.2, and 3.17.2 is installed"),
        ("mlflow>=3.18", "needs mlflow>=3.18, and 3.17.2 is installed"),
    ],
)
def test_what_is_not_met_is_a_clash(requirement: str, found: str, tmp_path: Path) -> None:
    assert clashes(model(tmp_path / "m", f"{requirement}\n")) == [found]


def test_all_clashes_are_told_at_once_and_the_flag_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "scikit-learn==1.5.2\nxgboost==2.1\nnumpy\n", "3.10.2")
    with pytest.raises(EvidenceError) as caught:
        check(folder)
    assert len(caught.value.problems) == 3 and caught.value.exit_code == 12
    assert str(caught.value).count("-> --env-manager uv") == 1


def test_clashes_that_are_accepted_are_notes_of_the_decision(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "scikit-learn==1.5.2\n")
    assert check(folder, accept_clash=True) == (
        "candidate model: needs scikit-learn==1.5.2, and 1.9.1 is installed: accepted by --accept-clash",
    )


def test_another_build_of_the_same_version_is_a_note(tmp_path: Path) -> None:
    (note,) = check(model(tmp_path / "m", "torch==2.13.0+cu128\n"))
    assert note == "candidate model: asks for torch==2.13.0+cu128, and ran on another build of it, 2.13.0+cpu"


def test_another_python_is_a_clash_for_a_pickle_and_a_note_otherwise(tmp_path: Path) -> None:
    assert "was made by Python 3.10, and this is 3.11" in clashes(model(tmp_path / "pickled", "", "3.10.14"))[0]
    assert check(model(tmp_path / "boosted", "", "3.10.14", "model.ubj")) == (
        "candidate model: was made by Python 3.10, and ran on 3.11",
    )
    assert check(model(tmp_path / "patch", "", "3.11.0")) == ()


def test_a_model_that_says_nothing_asks_for_nothing(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", None, None)
    assert check(folder) == () and not asked_of(folder).recorded


def test_conda_stands_in_where_there_are_no_requirements_of_pip(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", None, None)
    (folder / "conda.yaml").write_text(
        "channels: [conda-forge]\ndependencies:\n- python=3.11.2\n- pip<=26\n- libfoo=2\n- pip:\n  - scikit-learn==1.5.2\n"
    )
    asked = asked_of(folder)
    assert (
        asked.recorded and asked.python == "3.11.2" and [str(r) for r in asked.requirements] == ["scikit-learn==1.5.2"]
    )
    assert asked.passed_over == ("libfoo=2 of its conda.yaml is a conda package, which was not looked at",)


def test_the_version_of_python_is_also_taken_from_the_mlmodel(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "", None)
    (folder / "MLmodel").write_text("mlflow_version: 3.17.2\nflavors:\n  python_function: {python_version: 3.12.1}\n")
    assert (asked_of(folder).python, asked_of(folder).mlflow) == ("3.12.1", "3.17.2")


def test_constraints_count_for_what_is_required_only(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "scikit-learn\n-c constraints.txt\n")
    (folder / "constraints.txt").write_text("scikit-learn<1.6\nnumpy<2\nunheard-of==1\n")
    assert clashes(folder) == ["needs scikit-learn<1.6, and 1.9.1 is installed"]


def test_files_that_requirements_name_are_read_once_and_within_the_folder_only(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "-r more.txt\n--requirement=../outside.txt\n-r /etc/passwd\n")
    (folder / "more.txt").write_text("numpy==1.0\n-r requirements.txt\n")
    (tmp_path / "outside.txt").write_text("secret-package\n")
    asked = asked_of(folder)
    assert [str(requirement) for requirement in asked.requirements] == ["numpy==1.0"]
    assert len(asked.unusable) == 2 and all("not in the model's folder" in line for line in asked.unusable)


@pytest.mark.parametrize(
    "line, why",
    [
        ("--index-url https://evil.example/${PIP_INDEX_URL}", "names a variable of the environment"),
        ("git+https://host.example/x.git#egg=x", "is an address without the name of a package"),
        ("https://host.example/x-1-py3-none-any.whl", "is an address without the name of a package"),
        ("./wheels/gone-1-py3-none-any.whl", "is no wheel in the model's folder"),
        ("../../x-1-py3-none-any.whl", "is no wheel in the model's folder"),
        ("-e .", "is an option that was not understood"),
        ("numpy==1.0 --hash=sha256:00", "has a hash"),
        ("what is this", "is no requirement"),
    ],
)
def test_what_no_environment_can_be_built_from_is_a_note_here(line: str, why: str, tmp_path: Path) -> None:
    (note,) = check(model(tmp_path / "m", line + "\n"))
    assert why in note


@pytest.mark.parametrize(
    "line",
    ["--extra-index-url https://me:hunter2@host.example", "-i https://me:hunter2@host.example", "--find-links=/tmp"],
)
def test_an_index_of_the_models_own_is_not_followed_and_its_password_not_shown(line: str, tmp_path: Path) -> None:
    (note,) = check(model(tmp_path / "m", line + "\n"))
    assert "your own settings say where packages come from" in note and "hunter2" not in note


def test_requirements_by_address_and_wheels_in_the_folder_are_not_compared(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "numpy @ https://host.example/numpy-1-py3-none-any.whl\nx-1-py3-none-any.whl\n")
    (folder / "x-1-py3-none-any.whl").write_bytes(b"")
    assert [note.split(": ", 1)[1] for note in check(folder)] == [
        "numpy comes from an address and was not compared with what is installed",
        "x-1-py3-none-any.whl in its folder was not compared with what is here",
    ]


@pytest.mark.parametrize(
    "name, content", [("requirements.txt", b"\xff\xfe\xff"), ("python_env.yaml", b"python: [3"), ("MLmodel", b"\x80")]
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(name: str, content: bytes, tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "")
    (folder / name).write_bytes(content)
    with pytest.raises(EvidenceError, match=name):
        check(folder)


@pytest.mark.parametrize("content", ["[]", "just text", "python: {a: 1}", "python: 4.1"])
def test_files_of_another_form_say_nothing(content: str, tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "", None)
    (folder / "python_env.yaml").write_text(content)
    assert asked_of(folder).python is None
