"""Whatever is signed reads back; whatever was changed does not; and what is signed is good for one move alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gate.core.judgement import Verdict
from gate.decisions.envelope import sign, signer, verify, wrap
from gate.decisions.in_toto import document
from gate.decisions.keys import PrivateKey, new_keys, read_private
from gate.decisions.statement import Kind, Statement, Subject, override_of, rollback
from gate.decisions.times import moment, stamp
from gate.decisions.use import check_use
from gate.errors import ConflictError, EvidenceError, GateError

fast = settings(deadline=None, max_examples=80)
many = settings(deadline=None, max_examples=400)

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
# no lone surrogates: JSON has none, and neither has any registry
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
maybe = st.none() | names
versions = st.integers(1, 10**6)
subjects = st.builds(Subject, versions, digests)
any_verdict = st.sampled_from(Verdict)
moments = st.integers(0, 2**33).map(lambda second: datetime.fromtimestamp(second, timezone.utc))


@st.composite
def decided(draw: st.DrawFn, verdicts: st.SearchStrategy[Verdict] = any_verdict) -> Statement:
    """The statement of a decision: anything that one can say."""
    created = draw(moments)
    return Statement(
        kind=Kind.DECISION,
        verdict=draw(verdicts),
        decision_id=draw(digests),
        decision_digest=draw(digests),
        registry=draw(maybe),
        model=draw(names),
        alias=draw(names),
        keep_previous_as=draw(maybe),
        environment=draw(maybe),
        candidate=draw(subjects),
        incumbent=draw(st.none() | subjects),
        holdout_digest=draw(digests),
        policy_digest=draw(digests),
        created_at=stamp(created),
        signed_at=stamp(created + draw(st.timedeltas(timedelta(0), timedelta(hours=23)))),
        expires_at=stamp(created + draw(st.timedeltas(timedelta(days=1), timedelta(days=30)))),
        summary=draw(names),
        files=draw(st.dictionaries(names, digests, max_size=3)),
        tools=draw(st.dictionaries(names, names, max_size=3)),
        run_id=draw(maybe),
    )


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """The statement of a decision, of an override, or of a rollback."""
    of = draw(decided())
    kind = draw(st.sampled_from(Kind))
    told = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=50)
    if kind is Kind.OVERRIDE:
        return override_of(
            of, reason=draw(told), ticket=draw(told), by=draw(told), signed_at=moment(of.signed_at)
        )  # fmt: skip
    if kind is Kind.ROLLBACK:
        return rollback(
            model=of.model, alias=of.alias, candidate=of.candidate, incumbent=of.incumbent, by=draw(told),
            signed_at=moment(of.signed_at), environment=of.environment, decision_id=draw(st.none() | digests),
        )  # fmt: skip
    return of


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    return read_private(new_keys(tmp_path_factory.mktemp("keys") / "ci")[0])


@pytest.fixture(scope="module")
def content(key: PrivateKey) -> bytes:
    """An envelope of the usual size."""
    digest = "0123456789abcdef" * 4
    return sign(
        Statement(
            Kind.DECISION, Verdict.ALLOW, digest, digest, "https://mlflow.example", "fraud", "champion", "previous",
            "production", Subject(7, digest), Subject(6, digest), digest, digest, "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", "Allowed: version 7 of fraud may replace version 6.",
            {"golden.csv": digest}, {"gate": "0.1.0", "python": "3.11.7"},
        ),
        key,
    )  # fmt: skip


def refused(content: bytes, key: PrivateKey) -> None:
    with pytest.raises(EvidenceError):
        verify(content, [key.public], where="x")


@fast
@given(statement=statements())
def test_whatever_is_signed_reads_back(statement: Statement, key: PrivateKey) -> None:
    signed = sign(statement, key)

    assert verify(signed, [key.public], where="x") == statement
    assert signer(signed, [key.public]) == key.public


@pytest.mark.parametrize("verdict", Verdict)
@fast
@given(data=st.data())
def test_a_decision_of_every_verdict_reads_back(verdict: Verdict, data: st.DataObject, key: PrivateKey) -> None:
    statement = data.draw(decided(st.just(verdict)))

    assert verify(sign(statement, key), [key.public], where="x") == statement


@many
@given(data=st.data())
def test_changing_any_byte_fails(data: st.DataObject, content: bytes, key: PrivateKey) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))

    refused(content[:at] + bytes([byte]) + content[at + 1 :], key)


@many
@given(data=st.data())
def test_putting_bytes_in_anywhere_fails(data: st.DataObject, content: bytes, key: PrivateKey) -> None:
    at = data.draw(st.integers(0, len(content)))
    more = data.draw(st.binary(min_size=1, max_size=3) | st.sampled_from([b" ", b"\n", b"\t", b"=", b"A", b","]))

    refused(content[:at] + more + content[at:], key)


def test_changing_taking_out_or_doubling_each_single_byte_fails(content: bytes, key: PrivateKey) -> None:
    for at in range(len(content)):
        before, byte, after = content[:at], content[at : at + 1], content[at + 1 :]
        refused(before + bytes([byte[0] ^ 1]) + after, key)
        refused(before + after, key)
        refused(before + byte * 2 + after, key)


@fast
@given(data=st.data())
def test_cutting_off_either_end_and_mixing_two_envelopes_fails(
    data: st.DataObject, content: bytes, key: PrivateKey
) -> None:
    at = data.draw(st.integers(1, len(content) - 1))
    other = sign(data.draw(statements()), key)
    there = data.draw(st.integers(1, len(other) - 1))

    refused(content[:at], key)
    refused(content[at:], key)
    mixed = content[:at] + other[there:]
    assume(mixed not in (content, other))
    refused(mixed, key)


@fast
@given(anything=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_do_worse_than_being_refused(anything: bytes, key: PrivateKey) -> None:
    refused(anything, key)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@fast
@given(statement=statements(), data=st.data(), other=anything)
def test_whatever_a_trusted_key_signs_reads_as_it_stands_or_is_refused(
    statement: Statement, data: st.DataObject, other: object, key: PrivateKey
) -> None:
    plain = document(statement)
    part = data.draw(st.sampled_from([plain, plain["predicate"], plain["subject"][0], plain["subject"][0]["digest"]]))
    part[data.draw(st.sampled_from([*part, "more"]))] = other
    content = wrap(plain, key)
    try:
        found = verify(content, [key.public], where="x")
    except EvidenceError:
        return
    assert document(found) == plain


# good for one move


@fast
@given(
    statement=statements(), model=names, alias=names, environment=maybe, version=versions, stands=st.none() | versions
)
def test_it_is_good_for_its_own_model_alias_environment_version_and_incumbent_alone(
    statement: Statement, model: str, alias: str, environment: str | None, version: int, stands: int | None
) -> None:
    incumbent = statement.incumbent.version if statement.incumbent else None
    statement = replace(statement, verdict=Verdict.ALLOW if statement.verdict else None)
    own = {
        "model": statement.model,
        "alias": statement.alias,
        "environment": statement.environment,
        "version": statement.candidate.version,
        "incumbent": incumbent,
    }
    now = moment(max(statement.created_at, statement.signed_at))

    check_use(statement, **own, now=now, where="x")  # type: ignore[arg-type]
    others = {"model": model, "alias": alias, "environment": environment, "version": version, "incumbent": stands}
    for part, other in others.items():
        if other != own[part]:
            with pytest.raises(ConflictError if part == "incumbent" else EvidenceError):
                check_use(statement, **{**own, part: other}, now=now, where="x")  # type: ignore[arg-type]


@fast
@given(statement=statements(), after=st.timedeltas(timedelta(days=-40), timedelta(days=40)))
def test_it_is_good_from_its_signature_until_the_second_at_which_it_expires(
    statement: Statement, after: timedelta
) -> None:
    statement = replace(statement, verdict=Verdict.ALLOW if statement.verdict else None)
    start, end = moment(max(statement.created_at, statement.signed_at)), moment(statement.expires_at)
    for now in (end + after, end, end - timedelta(seconds=1), start):
        try:
            check_use(
                statement,
                model=statement.model,
                alias=statement.alias,
                version=statement.candidate.version,
                environment=statement.environment,
                incumbent=statement.incumbent.version if statement.incumbent else None,
                now=now,
                where="x",
            )
            good = True
        except ConflictError:
            good = False
        assert good == (start - timedelta(minutes=5) <= now < end)


@fast
@given(
    statement=decided(),
    now=moments,
    stands=st.none() | versions,
    policies=st.none() | st.lists(digests, max_size=2),
    max_age=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=30)),
)
def test_nothing_but_allow_is_ever_good(
    statement: Statement,
    now: datetime,
    stands: int | None,
    policies: list[str] | None,
    max_age: timedelta | None,
) -> None:
    assume(statement.verdict is not Verdict.ALLOW)
    with pytest.raises(GateError) as caught:
        check_use(
            statement,
            model=statement.model,
            alias=statement.alias,
            version=statement.candidate.version,
            environment=statement.environment,
            incumbent=stands,
            now=now,
            policies=policies,
            max_age=max_age,
            where="x",
        )
    assert caught.value.exit_code != 0
