"""Key files: who may read them, what is taken for a key, and that other tools read them too."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gate.decisions.keys import new_keys, read_private, read_public
from gate.errors import UsageError

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command to compare with")


def run_openssl(*arguments: object, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=True)
    return done.stdout


def refused(act: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        act(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return new_keys(tmp_path / "ci")


def test_a_pair_is_two_files_of_which_others_may_read_only_the_public_one(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        private, public = new_keys(tmp_path / "ci")
    finally:
        os.umask(old)

    assert (private, public) == (tmp_path / "ci", tmp_path / "ci.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


def test_both_halves_have_the_same_id_and_two_pairs_have_not(pair: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = read_private(pair[0]), read_public(pair[1])
    other = read_public(new_keys(tmp_path / "other")[1])

    assert private.keyid == private.public.keyid == public.keyid != other.keyid
    assert (private.name, private.public.name, public.name) == ("ci", "ci.pub", "ci.pub")


def test_the_secret_is_in_no_representation(pair: tuple[Path, Path]) -> None:
    shown = repr(read_private(pair[0]))

    assert "secret" not in shown and "PRIVATE" not in shown
    assert pair[0].read_text().splitlines()[1] not in shown


@pytest.mark.parametrize("taken", ["ci", "ci.pub"])
def test_nothing_is_ever_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        new_keys(tmp_path / "ci")
    assert [file.name for file in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "ci").symlink_to(tmp_path / "elsewhere")

    assert "exists already" in refused(new_keys, tmp_path / "ci")
    assert not (tmp_path / "elsewhere").exists()


def test_where_no_key_can_be_written(tmp_path: Path) -> None:
    assert "No such file" in refused(new_keys, tmp_path / "absent" / "ci")
    assert "a name for a public key" in refused(new_keys, tmp_path / "ci.pub")
    assert "no name for a key" in refused(new_keys, Path())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_private_key_that_others_can_read_is_refused_with_what_to_run(pair: tuple[Path, Path], mode: int) -> None:
    pair[0].chmod(mode)

    found = refused(read_private, pair[0])
    assert f"others can read (mode {mode:04o})" in found and f"chmod 600 {pair[0]}" in found
    pair[0].chmod(0o400)
    assert read_private(pair[0]).name == "ci"


def test_the_wrong_half_is_told_apart(pair: tuple[Path, Path]) -> None:
    found = refused(read_private, pair[1])
    assert "a public key, which signs nothing" in found and f"give the private one: {pair[0]}" in found
    assert "a private key, where its public half is enough" in refused(read_public, pair[0])


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"hello", b"-----BEGIN PUBLIC KEY-----\nAAAA\n", b"{}"])
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(0o600)

    assert "no public key in PEM" in refused(read_public, path)
    if b"PUBLIC" not in content:
        assert "no private key in PEM" in refused(read_private, path)


def test_an_absent_key_and_a_folder(tmp_path: Path) -> None:
    assert "no such private key" in refused(read_private, tmp_path / "absent")
    assert "no such public key" in refused(read_public, tmp_path / "absent")
    assert "Is a directory" in refused(read_public, tmp_path)


def test_two_keys_in_one_file_are_one_too_many(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pub"
    both.write_bytes(pair[1].read_bytes() + read_public_bytes(tmp_path))

    assert "more than one key" in refused(read_public, both)


def read_public_bytes(folder: Path) -> bytes:
    return new_keys(folder / "other")[1].read_bytes()


@openssl
def test_openssl_reads_both_and_gives_the_same_id(pair: tuple[Path, Path]) -> None:
    der = run_openssl("pkey", "-pubin", "-in", pair[1], "-outform", "DER")

    assert hashlib.sha256(der).hexdigest() == read_public(pair[1]).keyid
    assert run_openssl("pkey", "-in", pair[0], "-pubout", "-outform", "DER") == der
    assert b"ED25519 Private-Key" in run_openssl("pkey", "-in", pair[0], "-noout", "-text")


@openssl
def test_keys_that_openssl_made_are_as_good(tmp_path: Path) -> None:
    private, public = tmp_path / "made", tmp_path / "made.pub"
    run_openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    run_openssl("pkey", "-in", private, "-pubout", "-out", public)

    assert read_private(private).keyid == read_public(public).keyid


@openssl
def test_other_kinds_of_keys_are_refused_by_name(tmp_path: Path) -> None:
    for number, asked in enumerate(
        (("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), ("-algorithm", "ed448"), ("-algorithm", "x25519"))
    ):
        private, public = tmp_path / f"k{number}", tmp_path / f"k{number}.pub"
        run_openssl("genpkey", *asked, "-out", private)
        run_openssl("pkey", "-in", private, "-pubout", "-out", public)

        assert "not of the kind Ed25519" in refused(read_private, private)
        assert "not of the kind Ed25519" in refused(read_public, public)


@openssl
def test_a_passphrase_is_refused_with_the_reason(tmp_path: Path) -> None:
    private = tmp_path / "locked"
    run_openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:hunter2", "-out", private)

    found = refused(read_private, private)
    assert "a private key with a passphrase" in found and "hunter2" not in found


def test_a_key_of_openssh_is_told_from_none(tmp_path: Path) -> None:
    private, public = tmp_path / "id", tmp_path / "id.pub"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n")
    public.write_text("ssh-ed25519 AAAAC3Nz somebody\n")
    private.chmod(0o600)

    assert "OpenSSH's own format" in refused(read_private, private)
    assert "OpenSSH's own format" in refused(read_public, public)
