"""Which keys a gallery is sealed with. It says so itself, so that a missing key is told from damage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge.errors import GalleryError
from edge.gallery.encryption.sealing import Sealer, UnsealError, context_of
from edge.gallery.rows import read_binding

_EXPECTED = "a gallery that the configured keys open"


def key_ids(connection: sqlite3.Connection) -> list[str]:
    """Keys that sealed something in here; none for a gallery that is not encrypted."""
    return [row[0] for row in connection.execute("SELECT id FROM keys ORDER BY id")]


def check_keys(connection: sqlite3.Connection, path: Path, sealer: Sealer | None) -> None:
    """GalleryError unless `sealer` has every key of an encrypted gallery, or is None for one that is not encrypted.

    A gallery that is not encrypted is not taken where a key is configured: it may have been put there by somebody else.
    """
    used = key_ids(connection)
    if used and sealer is None:
        hint = "privacy.key_file (or the credential template-key) must have that key: see docs/privacy.md."
        raise GalleryError(f"encrypted with key {', '.join(used)}", where=str(path), expected="a key", hint=hint)
    if sealer is None:
        return
    if not used:
        hint = "`ostiary gallery rekey` encrypts it, or take the key out of the configuration."
        raise GalleryError(
            "not encrypted, although a key is configured", where=str(path), expected=_EXPECTED, hint=hint
        )
    unknown = [key_id for key_id in used if key_id not in sealer.key_ids]
    if unknown:
        hint = "Put that key back behind the others in privacy.key_file; `ostiary gallery rekey` makes it superfluous."
        problem = f"encrypted with key {', '.join(unknown)}, which is not among {', '.join(sealer.key_ids)}"
        raise GalleryError(problem, where=str(path), expected=_EXPECTED, hint=hint)


def prove_keys(connection: sqlite3.Connection, sealer: Sealer | None) -> None:
    """DatabaseError unless the gallery's word on its keys, embedder and length was sealed with these keys."""
    if sealer is None:
        return
    for key_id, proof in connection.execute("SELECT id, proof FROM keys"):
        try:
            sealer.open(proof, _context(connection, key_id))
        except UnsealError as error:
            raise sqlite3.DatabaseError(f"the proof of key {key_id}: {error}") from error


def add_key(connection: sqlite3.Connection, sealer: Sealer | None) -> None:
    """Note that `sealer` seals in here from now on."""
    if sealer is not None and sealer.key_ids[0] not in key_ids(connection):
        key_id = sealer.key_ids[0]
        connection.execute("INSERT INTO keys VALUES (?, ?)", (key_id, sealer.seal(b"", _context(connection, key_id))))


def _context(connection: sqlite3.Connection, key_id: str) -> bytes:
    return context_of("keys", "proof", key_id, *read_binding(connection))
