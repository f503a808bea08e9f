"""The files for CI systems: what is in them is run as the host would run it, with a real gate on the path."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SHARES = {"allowed": 4, "refused": 60}


def yaml(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout: a policy, and predictions of 1,000 rows in two columns for each outcome."""
    rows = ["id,y,old,allowed,refused"]
    for i in range(1000):
        y = "cat" if i < 500 else "dog"
        rows.append(",".join([str(i), y, y, *("dog" if i < flips else y for flips in SHARES.values())]))
    (tmp_path / "predictions.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: pets\nholdout: {id: id, label: y}\nrules:\n  - {id: few-flips, rate: nfr, at_most: 2%}\n"
    )
    return tmp_path


def bash(script: str, place: Path, env: Mapping[str, str], path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash with -e and pipefail, and nothing in the environment but what is said."""
    here = {
        "PATH": os.pathsep.join(part for part in (path, str(Path(sys.executable).parent), os.environ["PATH"]) if part),
        "HOME": str(place),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=place, env={**here, **env}, capture_output=True, text=True, check=False)


def inputs(candidate: str) -> dict[str, str]:
    return {
        "GATE_POLICY": "policy.yaml",
        "GATE_PREDICTIONS": "predictions.csv",
        "GATE_CANDIDATE": candidate,
        "GATE_INCUMBENT": "old",
        "GATE_LABEL": "y",
        "GATE_OUT": "gate-report",
    }


REPORTS = {
    "decision.json",
    "samples.jsonl",
    "verdict.html",
    "verdict.md",
    "junit.xml",
    "gate.sarif",
    "annotations.txt",
    "metrics.txt",
    "outputs.env",
}


@pytest.mark.parametrize(("candidate", "code", "verdict"), [("allowed", 0, "allow"), ("refused", 10, "refuse")])
def test_the_step_keeps_every_report_and_exits_as_the_gate(place: Path, candidate: str, code: int, verdict: str):
    done = bash(f"exec '{ROOT}/ci/gate.sh'", place, inputs(candidate))

    assert done.returncode == code, done.stderr
    assert {file.name for file in (place / "gate-report").iterdir()} == REPORTS
    outputs = dict(line.split("=", 1) for line in (place / "gate-report/outputs.env").read_text().splitlines())
    decision = json.loads((place / "gate-report/decision.json").read_text())
    assert outputs["verdict"] == decision["verdict"] == verdict
    assert outputs["n"] == "1000" and float(outputs["nfr"]) == SHARES[candidate] / 1000
    assert outputs["failed_rules"] == ("" if code == 0 else "few-flips")


def test_without_a_verdict_the_step_says_error_and_nothing_of_an_earlier_run_is_left(place: Path):
    assert bash(f"exec '{ROOT}/ci/gate.sh'", place, inputs("allowed")).returncode == 0
    (place / "policy.yaml").write_text("version: 1\nrules: []\n")
    done = bash(f"exec '{ROOT}/ci/gate.sh'", place, inputs("allowed"))

    assert done.returncode == 2
    assert not (place / "gate-report/decision.json").exists()
    assert "verdict=error\nexit_code=2\n" in (place / "gate-report/outputs.env").read_text()


def test_an_input_is_never_a_command(place: Path):
    hostile = "old; touch stolen; $(touch stolen) `touch stolen` --policy=x"
    done = bash(f"exec '{ROOT}/ci/gate.sh'", place, {**inputs("allowed"), "GATE_INCUMBENT": hostile})

    assert done.returncode == 12
    assert not (place / "stolen").exists()


# GitHub


def action() -> dict[str, Any]:
    (found,) = yaml(ROOT / "action.yml")
    return found


def steps() -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in action()["runs"]["steps"]}


@pytest.fixture
def host(place: Path) -> dict[str, str]:
    files = {"GITHUB_OUTPUT": place / "output", "GITHUB_STEP_SUMMARY": place / "summary"}
    return {**{name: str(path) for name, path in files.items()}, "GITHUB_ACTION_PATH": str(ROOT)}


@pytest.mark.parametrize(("candidate", "code"), [("allowed", 0), ("refused", 10)])
def test_the_action_keeps_everything_and_raises_the_exit_code_last(
    place: Path, host: dict[str, str], candidate: str, code: int
):
    judged = bash(steps()["Judge"]["run"], place, {**host, **inputs(candidate)})
    assert judged.returncode == 0, judged.stderr
    outputs = dict(line.split("=", 1) for line in (place / "output").read_text().splitlines())

    promised = {re.sub(r".*outputs\.(\w+).*", r"\1", told["value"]): name for name, told in action()["outputs"].items()}
    assert set(outputs) == set(promised)
    assert (place / outputs["decision"]).exists() and (place / outputs["report"]).exists()
    assert (place / "summary").read_text().startswith("## " + ("ALLOWED" if code == 0 else "REFUSED"))
    assert "::notice title=gate::" in judged.stdout
    assert ("::error file=policy.yaml,line=5" in judged.stdout) == bool(code)
    last = bash(steps()["The verdict"]["run"], place, {"EXIT_CODE": outputs["exit_code"]})
    assert last.returncode == code


def test_the_action_fails_where_nothing_was_judged(place: Path, host: dict[str, str]):
    judged = bash(steps()["Judge"]["run"], place, {**host, **inputs("no-such-column")})
    outputs = dict(line.split("=", 1) for line in (place / "output").read_text().splitlines())

    assert judged.returncode == 0
    assert outputs["verdict"] == "error" and outputs["exit_code"] == "12"
    assert bash(steps()["The verdict"]["run"], place, {"EXIT_CODE": ""}).returncode == 70


def test_inputs_reach_the_shell_only_through_the_environment():
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    named = {name for step in action()["runs"]["steps"] for name in re.findall(r"inputs\.(\w+)", json.dumps(step))}
    assert named == set(action()["inputs"])
    assert all("if" in step and "always()" in step["if"] for step in action()["runs"]["steps"][2:])


GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>calls
case "$*" in
*--paginate*) cat existing 2>/dev/null || true ;;
*) for part in "$@"; do case "$part" in body=@*) cat "${part#body=@}" >>bodies ;; esac; done ;;
esac
"""


@pytest.fixture
def gh(place: Path) -> Iterator[str]:
    folder = place / "bin"
    folder.mkdir()
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("existing", "method"), [("", "POST repos/o/n/issues/7/"), ("31\n", "PATCH repos/o/n/issues/comments/31")]
)
def test_a_comment_is_made_once_and_then_updated(place: Path, gh: str, existing: str, method: str):
    (place / "gate-report").mkdir()
    (place / "gate-report/verdict.md").write_text("## REFUSED\n")
    (place / "existing").write_text(existing)
    env = {"GATE_OUT": "gate-report", "GATE_REPOSITORY": "o/n", "GATE_PULL": "7", "GITHUB_ACTION_PATH": str(ROOT)}
    done = bash(steps()["Comment on the pull request"]["run"], place, env, path=gh)

    assert done.returncode == 0, done.stderr
    assert method in (place / "calls").read_text().splitlines()[-1]
    assert (place / "bodies").read_text() == "<!-- gate -->\n## REFUSED\n"


def test_outside_a_pull_request_there_is_no_comment(place: Path, gh: str):
    env = {"GATE_OUT": "gate-report", "GATE_REPOSITORY": "o/n", "GATE_PULL": "", "GITHUB_ACTION_PATH": str(ROOT)}
    assert bash(steps()["Comment on the pull request"]["run"], place, env, path=gh).returncode == 0
    assert not (place / "calls").exists()


# GitLab, Jenkins, pre-commit: what they run, with a gate that writes down how it was called


RECORDER = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" >called\nexit "${CODE:-0}"\n'


@pytest.fixture
def recorder(place: Path) -> str:
    folder = place / "bin"
    folder.mkdir()
    (folder / "gate").write_text(RECORDER)
    (folder / "gate").chmod(0o755)
    return str(folder)


def gate_options() -> set[str]:
    from gate.cli.check import command

    return {name for option in command.params for name in option.opts}


def asked(place: Path) -> list[str]:
    return (place / "called").read_text().splitlines()


def test_the_gitlab_component_asks_for_what_the_gate_knows(place: Path, recorder: str):
    spec, jobs = yaml(ROOT / "templates/gate.yml")
    job = jobs["gate"]
    named = set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", (ROOT / "templates/gate.yml").read_text()))
    assert named == set(spec["spec"]["inputs"])
    values = {name: f"the {name}" for name in named}
    env = {key: re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda m: values[m[1]], v) for key, v in job["variables"].items()}
    done = bash("\n".join(job["script"][1:]), place, env, path=recorder)

    assert done.returncode == 0, done.stderr
    called = asked(place)
    assert called[0] == "check" and {word for word in called if word.startswith("--")} <= gate_options()
    assert called[called.index("--candidate") + 1] == "the candidate"
    reports = {word.split("=", 1)[1] for word in called if "=gate-report/" in word}
    assert set(job["artifacts"]["reports"].values()) <= reports
    assert bash("\n".join(job["script"][1:]), place, {**env, "CODE": "10"}, path=recorder).returncode == 10


def test_the_gitlab_component_keeps_to_gitlabs_published_schema(place: Path):
    """What a pipeline is once GitLab has put the inputs in, by the schema that check-jsonschema brings along."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    spec, jobs = yaml(ROOT / "templates/gate.yml")
    given = {name: about.get("default", "given") for name, about in spec["spec"]["inputs"].items()}

    def filled(part: Any) -> Any:  # GitLab does so with the values, once it has read the YAML
        if isinstance(part, dict):
            return {name: filled(value) for name, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        return (
            re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: given[found[1]], part) if isinstance(part, str) else part
        )

    pipeline = filled(jobs)
    broken = {"gate": {**pipeline["gate"], "script": {"not": "a list"}}}
    for document, code in ((spec, 0), (pipeline, 0), (broken, 1)):
        (place / ".gitlab-ci.yml").write_text(json.dumps(document))
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout


def test_the_jenkins_stage_asks_for_what_the_gate_knows(place: Path, recorder: str):
    text = (ROOT / "ci/Jenkinsfile").read_text()
    script = re.search(r"sh '''(.*?)'''", text, re.DOTALL)
    assert script
    env = {"GATE_MODEL": "fraud", "CANDIDATE": "7; touch stolen", "GATE_DATA": "d", "GATE_POLICY": "p"}
    done = bash(script[1], place, env, path=recorder)

    assert done.returncode == 0, done.stderr
    assert {word for word in asked(place) if word.startswith("--")} <= gate_options()
    assert "7; touch stolen" in asked(place) and not (place / "stolen").exists()
    assert bash(script[1], place, {**env, "CODE": "11"}, path=recorder).returncode == 11


def test_the_pre_commit_hooks_are_commands_of_the_gate_and_match_policies(place: Path):
    (hooks,) = yaml(ROOT / ".pre-commit-hooks.yaml")
    for hook in hooks:
        words = hook["entry"].split()
        done = bash(f"{hook['entry']} --help", place, {})
        assert words[0] == "gate" and done.returncode == 0
    (validate,) = [hook for hook in hooks if hook["id"] == "gate-policy-validate"]
    for policy in sorted((ROOT / "policies").glob("*.yaml")):
        assert re.search(validate["files"], f"policies/{policy.name}")
        assert bash(f"{validate['entry']} '{policy}'", place, {}).returncode == 0
    assert bash(f"{validate['entry']} policy-without-rules.yaml", place, {}).returncode == 2


def test_the_workflow_to_copy_signs_where_no_model_runs():
    (workflow,) = yaml(ROOT / "ci/github.yml")
    judge, promote = workflow["jobs"]["judge"], workflow["jobs"]["promote"]

    assert workflow["permissions"] == {}
    assert "GATE_KEY" not in json.dumps(judge) and "GATE_KEY" in json.dumps(promote)
    assert promote["needs"] == "judge" and "environment" in promote
    (used,) = [step for step in judge["steps"] if "model-update-gate" in step.get("uses", "")]
    assert set(used["with"]) <= set(action()["inputs"])
    for step in [*judge["steps"], *promote["steps"], *action()["runs"]["steps"]]:
        assert re.search(r"@[0-9a-f]{40}$", step["uses"]) if "uses" in step else True
