"""Every fault has its test: the markers are whole, and the page that is made of them says what they say."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = range(1, 46)
NOT_YET = {26, 43}  # the gate asks a model once, and hears no webhooks


@pytest.fixture(scope="module")
def table() -> Any:
    """``docs/fault_table.py``, which is no part of the package."""
    spec: Any = spec_from_file_location("fault_table", ROOT / "docs" / "fault_table.py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    del sys.modules[spec.name]
    return module


def test_every_fault_is_shown_by_a_test(table: Any) -> None:
    shown, _ = table.found_in()

    assert {*FAULTS} - NOT_YET - {each.number for each in shown} == set()


def test_no_marker_is_malformed(table: Any) -> None:
    _, malformed = table.found_in()

    assert [str(each) for each in malformed] == []


def test_the_page_names_every_test_in_the_order_of_the_faults(table: Any) -> None:
    shown, _ = table.found_in()
    rows = [line.split(" | ") for line in table.page(shown).splitlines() if line.startswith("| ") and line[2].isdigit()]

    assert [int(row[0].removeprefix("| ")) for row in rows] == sorted(each.number for each in shown)
    assert [each.test for each in shown] == [row[-1].partition("::")[2].partition("`")[0] for row in rows]


MARKER = 'given="a file is cut off", then="gives no verdict", exit_code=12'
TEST = "def test_it():\n    pass\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"@pytest.mark.fault(22)\n{TEST}", "it has one number, and given, then, exit_code by name"),
        (f"@pytest.mark.fault({MARKER})\n{TEST}", "it has one number, and given, then, exit_code by name"),
        (f"@pytest.mark.fault(22, {MARKER}, why=1)\n{TEST}", "it has one number, and given, then, exit_code by name"),
        (f"@pytest.mark.fault(46, {MARKER})\n{TEST}", "there is no fault 46"),
        (f"@pytest.mark.fault('22', {MARKER})\n{TEST}", "there is no fault '22'"),
        (f"@pytest.mark.fault(FAULT, {MARKER})\n{TEST}", "only literals"),
        (f"@pytest.mark.fault(22, {MARKER.replace('12', '1')})\n{TEST}", "no command exits with 1"),
        (f"@pytest.mark.fault(22, {MARKER.replace('12', 'True')})\n{TEST}", "no command exits with True"),
        (f"@pytest.mark.fault(22, {MARKER.replace('a file is cut off', ' ')})\n{TEST}", "given must be words"),
        (f"@pytest.mark.fault(22, {MARKER.replace('verdict', 'verdict.')})\n{TEST}", "without a full stop"),
        (f"@pytest.mark.fault(22, {MARKER.replace(' cut', '  cut')})\n{TEST}", "one space apart"),
        (f"@pytest.mark.fault\n{TEST}", "a marker stands above a test"),
        (f"pytestmark = pytest.mark.fault(22, {MARKER})\n{TEST}", "a marker stands above a test"),
        (f"@pytest.mark.fault(22, {MARKER})\ndef helps():\n    pass\n", "a marker stands above a test"),
        (f"@pytest.mark.fault(22, {MARKER})\n{TEST}" * 2, "fault 22 is given in the same words in"),
    ],
)
def test_a_malformed_marker_is_found_with_its_line(text: str, found: str, table: Any, tmp_path: Path) -> None:
    file = tmp_path / "test_files.py"
    file.write_text(f"import pytest\n{text}")
    _, malformed = table.found_in(tmp_path)

    assert [each.line for each in malformed] in ([2], [5])
    assert found in str(malformed[0])
    assert str(malformed[0]).startswith(f"{file}:")


def test_a_marker_becomes_a_row_that_breaks_no_table(table: Any, tmp_path: Path) -> None:
    marker = '@pytest.mark.fault(36, given="a class is called `|`", then="escapes it", exit_code=None)\n'
    (tmp_path / "test_names.py").write_text(f"import pytest\n{marker}{TEST}")
    shown, malformed = table.found_in(tmp_path)

    assert malformed == []
    page = table.page(shown)
    assert "## Output and integrity\n" in page and "## Policy\n" not in page
    assert r"| 36 | a class is called `\|` | escapes it | - | [`test_names.py::test_it`]" in page
