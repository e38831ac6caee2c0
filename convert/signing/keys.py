"""Private keys in files: Ed25519, PKCS#8 in PEM, for their owner alone, with a passphrase if wanted."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

MOST_BYTES = 65_536
SUFFIX = ".pem"
MADE_BY = "`ostiary-convert sign keys` makes one."


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Where the words that open a key file come from."""

    file: Path | None = None
    """Its first line; None asks at the terminal."""

    def ask(self, path: Path, *, twice: bool = False) -> bytes:
        """For the key in `path`; UsageError where nobody can be asked."""
        if self.file is not None:
            return _first_line(self.file)
        if not sys.stdin.isatty():
            hint = "Give --passphrase-file, or call it at a terminal."
            raise UsageError("is locked by a passphrase", where=str(path), expected="somebody to ask", hint=hint)
        given = getpass.getpass(f"Passphrase of {path}: ")
        if not given or (twice and getpass.getpass("Once more: ") != given):
            raise UsageError("two different passphrases, or none", where=str(path), expected="the same one twice")
        return given.encode()


def need_tuf() -> None:
    """MissingDependencyError where the libraries are not there."""
    try:
        import cryptography.hazmat.primitives  # noqa: F401 - only whether it is there
        import securesystemslib.signer  # noqa: F401
        import tuf.api.metadata  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("tuf", extra="updates", purpose="signing bundles") from error


def new_key(path: Path, passphrase: bytes | None = None) -> CryptoSigner:
    """A new key in a new file of mode 0600; UsageError where there is one already."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )
    from securesystemslib.signer import CryptoSigner

    key = Ed25519PrivateKey.generate()
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    _write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return CryptoSigner(key)


def load_key(path: Path, passphrase: Passphrase) -> CryptoSigner:
    """The key in a file. UsageError where it is none, or does not open."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    data, where = _read(path), str(path)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        try:
            key = load_pem_private_key(data, passphrase.ask(path))
        except ValueError as error:
            raise UsageError("does not open with this passphrase", where=where) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("not a private key", where=where, expected="Ed25519 in PEM", hint=MADE_BY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("a key of another kind", where=where, expected="Ed25519", hint=MADE_BY)
    return CryptoSigner(key)


def load_keys(places: Iterable[Path], passphrase: Passphrase) -> dict[str, CryptoSigner]:
    """Keys by id, of files and of every .pem file in folders. UsageError where there is none."""
    found: dict[str, CryptoSigner] = {}
    for place in places:
        files = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not files:
            raise UsageError("no key in it", where=str(place), expected=f"*{SUFFIX}", hint=MADE_BY)
        for file in files:
            signer = load_key(file, passphrase)
            found[signer.public_key.keyid] = signer
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = handle.read(MOST_BYTES)
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a private key", hint=MADE_BY
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        hint = f"chmod 600 {path}"
        raise UsageError(
            f"others may read it (mode {stat.S_IMODE(mode):04o})", where=str(path), expected="0600", hint=hint
        )
    return data


def _first_line(path: Path) -> bytes:
    try:
        line = path.read_bytes()[:MOST_BYTES].split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path)) from error
    if not line:
        raise UsageError("an empty passphrase", where=str(path), expected="a line of text")
    return line


def _write_new(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        hint = "Keys are never overwritten: name another file, or move that one away."
        raise UsageError("is there already", where=str(path), expected="a new file", hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(path), expected="a new file") from error
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
