"""Key pairs (Ed25519) as two files that any tool can read: ``NAME``, kept secret, and ``NAME.pub``, for everybody."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.errors import UsageError

_LARGEST = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# RFC 8410: what stands before the 32 bytes of an Ed25519 key in its DER SubjectPublicKeyInfo.
_SPKI = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies: its 32 bytes, and the name of the file that it came from.

    >>> PublicKey("ci.pub", bytes(32)).keyid[:16]
    '722abd12e99a5367'
    """

    name: str
    raw: bytes

    @property
    def keyid(self) -> str:
        """SHA-256 of its DER SubjectPublicKeyInfo, as 64 hexadecimal digits."""
        return hashlib.sha256(_SPKI + self.raw).hexdigest()


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs. What it is made of is in no representation of it and in no message."""

    name: str
    public: PublicKey
    secret: Any = field(repr=False, compare=False)

    @property
    def keyid(self) -> str:
        """That of its public key."""
        return self.public.keyid


def new_keys(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Make a key pair: the private key in ``path``, readable by its owner alone, the public one in ``path.pub``.

    Returns both paths. Never overwrites: UsageError where either file exists, where the folder does not, and where it
    cannot be written; then neither file is left.

    Example::

        private, public = new_keys("keys/ci")
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Path(path)
    if not os.fspath(path).strip():
        raise UsageError("a key needs a name, and this is empty", where="NAME", hint="as in gate keys new keys/ci")
    if private.is_dir():
        raise UsageError("a folder, and no name for a key", where=str(private), hint=f"as in {private / 'ci'}")
    if private.suffix == ".pub":
        raise UsageError(
            "that is a name for a public key", where=str(private), hint=f"give the pair's: {private.with_suffix('')}"
        )
    public = private.with_name(f"{private.name}.pub")
    key = Ed25519PrivateKey.generate()
    contents = (
        (private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
        (public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644),
    )
    written: list[Path] = []
    try:
        for file, content, mode in contents:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            written.append(file)
            with os.fdopen(handle, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fchmod(handle, mode)
                os.fsync(handle)
    except OSError as error:
        for file in written:
            with suppress(OSError):
                file.unlink()
        if isinstance(error, FileExistsError):
            raise UsageError(
                "exists already",
                where=str(error.filename),
                hint="a key is never overwritten: name another, or move this one away",
            ) from None
        raise UsageError(
            f"no key can be written there: {error.strerror}",
            where=str(private),
            hint="is there such a folder, and may you write there?",
        ) from None
    return private, public


def read_private(path: str | os.PathLike[str]) -> PrivateKey:
    """The private key in a file, as :func:`new_keys` or ``openssl genpkey -algorithm ed25519`` write one.

    UsageError for a file that others than its owner may read, for a public key, a key with a passphrase, a key of
    another kind, and what is no key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    where = os.fspath(path)
    content, mode = _read(where, "private key")
    if _holds(content, b"PUBLIC KEY"):
        hint = f"give the private one: {where.removesuffix('.pub')}" if where.endswith(".pub") else "give the private"
        raise UsageError("a public key, which signs nothing", where=where, hint=hint)
    if mode & _OTHERS:
        raise UsageError(
            f"a private key that others can read (mode {mode:04o})",
            where=where,
            hint=f"chmod 600 {where}, and make a new pair if somebody may have read it: gate keys new",
        )
    if _holds(content, b"ENCRYPTED"):
        raise UsageError(
            "a private key with a passphrase, and the gate asks for none",
            where=where,
            hint="keep the key in a store of secrets instead, and write it to a file for the time of signing",
        )
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # what the library says of a file of secrets stays here
        raise _no_key(where, "private", content) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _other_kind(where)
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = os.path.basename(where)
    return PrivateKey(name, PublicKey(f"{name}.pub", raw), key)


def read_public(path: str | os.PathLike[str]) -> PublicKey:
    """The public key in a file; exactly one.

    UsageError for a private key, which is not to lie where decisions are verified, a key of another kind, and what is
    no key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    where = os.fspath(path)
    content, _ = _read(where, "public key")
    if _holds(content, b"PRIVATE KEY"):
        raise UsageError(
            "a private key, where its public half is enough",
            where=where,
            hint=f"give {where}.pub, and keep the private key where decisions are signed",
        )
    if content.count(b"-----BEGIN ") > 1:
        raise UsageError("more than one key", where=where, hint="one file for each key")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(where, "public", content) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _other_kind(where)
    return PublicKey(os.path.basename(where), key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _read(where: str, what: str) -> tuple[bytes, int]:
    """The content of a key file, and its permissions."""
    try:
        with open(where, "rb") as file:
            return file.read(_LARGEST), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        raise UsageError(f"no such {what}", where=where, hint="gate keys new makes a pair") from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=where) from None


def _holds(content: bytes, label: bytes) -> bool:
    return any(label in line for line in content.splitlines() if line.startswith(b"-----BEGIN "))


def _no_key(where: str, half: str, content: bytes) -> UsageError:
    written = ""
    if _holds(content, b"OPENSSH") or content.startswith(b"ssh-"):
        written = ", but one of OpenSSH's own format"
    return UsageError(f"no {half} key in PEM{written}", where=where, hint="gate keys new makes a pair")


def _other_kind(where: str) -> UsageError:
    return UsageError("a key, but not of the kind Ed25519", where=where, hint="gate keys new makes a pair")
