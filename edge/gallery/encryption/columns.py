"""Personal values as the database keeps them: as they are, or sealed for their table, column and row."""

from __future__ import annotations

import sqlite3

from edge.gallery.encryption.sealing import Sealer, UnsealError, context_of


class Columns:
    """Values to what is stored, and back. `place` is table, column and row id, and whose the row is where that matters."""

    def __init__(self, sealer: Sealer | None = None) -> None:
        """Without a sealer values are stored as they are."""
        self.sealer = sealer

    def put_text(self, text: str, *place: str | int) -> str | bytes:
        """Text for a column."""
        return text if self.sealer is None else self.sealer.seal(text.encode(), context_of(*place))

    def get_text(self, stored: object, *place: str | int) -> str:
        """Back again; DatabaseError for what is damaged."""
        if self.sealer is None and isinstance(stored, str):
            return stored
        try:
            return self.get_bytes(stored, *place).decode()
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError(f"{_named(place)} is no text") from error

    def put_bytes(self, data: bytes, *place: str | int) -> bytes:
        """Bytes for a column."""
        return data if self.sealer is None else self.sealer.seal(data, context_of(*place))

    def get_bytes(self, stored: object, *place: str | int) -> bytes:
        """Back again; DatabaseError for what is damaged."""
        if not isinstance(stored, bytes):
            raise sqlite3.DatabaseError(f"{_named(place)} is not encrypted")
        if self.sealer is None:
            return stored
        try:
            return self.sealer.open(stored, context_of(*place))
        except UnsealError as error:
            raise sqlite3.DatabaseError(f"{_named(place)}: {error}") from error


def _named(place: tuple[str | int, ...]) -> str:
    return " ".join(map(str, place))
