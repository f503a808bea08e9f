"""Findings are written when read; tails near alpha are exact, the others need not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core.bounds import binomial_tail, binomial_tail_about
from gate.core.judgement import (
    Cell,
    DecideOn,
    Finding,
    Findings,
    Part,
    Severity,
    Source,
    Status,
    Verdict,
    statuses_of,
    verdict,
)


def finding(status: Status, severity: Severity = Severity.ENFORCE) -> Finding:
    return Finding(
        "r", "nfr", None, Cell("overall"), severity, DecideOn.PROOF, status, 0.0, 0.0, "upper", True, 0.1, 0.1, 9, 0,
        None, None, None, None, None, Source("p.yaml", 1),
    )  # fmt: skip


def part(written: list[int], *statuses: Status, severity: Severity = Severity.ENFORCE) -> Part:
    found = np.empty(len(statuses), dtype=object)
    found[:] = statuses

    def write() -> list[Finding]:
        written.append(len(statuses))
        return [finding(status, severity) for status in statuses]

    return Part(found, severity, write)


@pytest.mark.parametrize(
    ("statuses", "severity", "expected"),
    [
        ([Status.PASS, Status.FAIL], Severity.ENFORCE, Verdict.REFUSE),
        ([Status.PASS, Status.INCONCLUSIVE], Severity.ENFORCE, Verdict.INCONCLUSIVE),
        ([Status.PASS, Status.WARN], Severity.ENFORCE, Verdict.ALLOW),
        ([Status.PASS], Severity.WARN, Verdict.ERROR),
        ([Status.PASS, Status.WAIVED], Severity.ENFORCE, Verdict.ALLOW),
        ([Status.ERROR], Severity.WARN, Verdict.ERROR),
        ([], Severity.ENFORCE, Verdict.ERROR),
    ],
)
def test_the_verdict_of_findings_is_that_of_the_findings_written_out_and_writes_none(statuses, severity, expected):
    written: list[int] = []
    found = Findings([part(written, *statuses, severity=severity)])
    assert verdict(found) is expected
    assert not written
    assert verdict(tuple(found)) is expected


def test_findings_are_written_once_and_read_like_a_tuple():
    written: list[int] = []
    found = Findings([part(written, Status.PASS, Status.FAIL), (finding(Status.WARN),)])
    assert len(found) == 3
    assert not written
    assert [one.status for one in found] == [Status.PASS, Status.FAIL, Status.WARN]
    assert found[1].status is Status.FAIL
    assert found[1:] == tuple(found)[1:]
    assert found == tuple(found) and tuple(found) == found and found != ()
    assert found != 3
    assert repr(found) == repr(tuple(found))
    assert written == [2]


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 400), st.integers(0, 400), st.floats(0, 1), st.sampled_from([0.05, 0.01, 0.2, 0.7, 1e-6]))
def test_tails_about_alpha_lie_on_the_side_of_it_where_the_exact_tails_lie(hits, more, p, alpha):
    exact = binomial_tail(hits, hits + more, p)
    about = binomial_tail_about(hits, hits + more, p, alpha)
    for one, other in zip(exact, about, strict=True):
        assert (one <= alpha) == (other <= alpha)
        assert (one < alpha) == (other < alpha)


@settings(deadline=None, max_examples=300)
@given(st.floats(0, 200), st.floats(0, 200), st.floats(0, 1), st.floats(1, 30), st.sampled_from([0.05, 0.4, 0.7]))
def test_so_they_do_for_counts_that_are_not_whole_and_hits_that_count_more(hits, more, p, one_more, alpha):
    exact = binomial_tail(hits, hits + more, p, one_more)
    about = binomial_tail_about(hits, hits + more, p, alpha, one_more)
    for one, other in zip(exact, about, strict=True):
        assert (one <= alpha) == (other <= alpha)


def test_an_estimate_that_is_undefined_is_decided_by_what_is_proven():
    yes, no, unknown = np.array([True]), np.array([False]), np.array([np.nan])
    rows = np.array([5])
    assert statuses_of(DecideOn.ESTIMATE, yes, no, unknown, rows)[0] is Status.PASS
    assert statuses_of(DecideOn.ESTIMATE, no, no, unknown, rows)[0] is Status.INCONCLUSIVE
    assert statuses_of(DecideOn.ESTIMATE, no, yes, np.array([1.0]), rows)[0] is Status.PASS
    assert statuses_of(DecideOn.HARM, yes, no, np.array([1.0]), np.array([0]))[0] is Status.INCONCLUSIVE
