"""The gallery's file as something to read from and to write into: transactions, revisions, and who does it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

from edge.gallery import database, rows
from edge.gallery.audit import Action, AuditLog, local_actor
from edge.gallery.encryption.columns import Columns
from edge.gallery.encryption.keyring import add_key, check_keys
from edge.gallery.records import Actor

T = TypeVar("T")


class Ledger:
    """One open file. Any thread may call any method; other processes may write at the same time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, columns: Columns) -> None:
        self.path = path
        self.columns = columns
        self.log = AuditLog(columns)
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0
        """Write transactions inside one another; only looked at by who holds the lock."""
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; any number of times."""
        with self._lock:
            self._connection.close()

    @property
    def is_held_alone(self) -> bool:
        """Whether the disk was so full that no other process can open it meanwhile: close it soon."""
        return database.is_held_alone(self._connection)

    @property
    def revision(self) -> int:
        """How many changes were ever committed, by whichever process. One small read."""
        return self.read(rows.read_revision)

    @contextlib.contextmanager
    def acting(self, actor: Actor) -> Iterator[None]:
        """What this thread changes meanwhile was done by `actor`; else by the local user."""
        before = getattr(self._local, "actor", None)
        self._local.actor = actor
        try:
            yield
        finally:
            self._local.actor = before

    @property
    def actor(self) -> Actor:
        """Who changes things in this thread now."""
        return getattr(self._local, "actor", None) or local_actor()

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask inside one read transaction: all parts of the answer are of the same revision."""
        with self._lock, database.translated(self.path):
            if self._depth:
                return question(self._connection)
            self._connection.execute("BEGIN")
            try:
                # Somebody may have encrypted it since it was opened.
                check_keys(self._connection, self.path, self.columns.sealer)
                return question(self._connection)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed, or rolled back when anything is raised. One inside another is part of it."""
        with self._lock, database.translated(self.path):
            connection = self._connection
            if self._depth:
                yield from self._inner()
                return
            connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                check_keys(connection, self.path, self.columns.sealer)
                add_key(connection, self.columns.sealer)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite rolls back by itself after some errors, such as a full disk.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def _inner(self) -> Iterator[sqlite3.Connection]:
        self._depth += 1
        try:
            yield self._connection
        finally:
            self._depth -= 1

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """The same, as the next revision when anything was changed: several changes inside one become one."""
        with self._lock, self.transaction() as connection:
            before, is_outer = connection.total_changes, self._depth == 1
            yield connection
            if is_outer and connection.total_changes != before:
                connection.execute("UPDATE gallery SET revision = revision + 1")

    def note(self, connection: sqlite3.Connection, action: Action, identity_id: str = "", embeddings: int = 0) -> None:
        """Into the audit log, within the transaction that does it."""
        self.log.append(connection, action, identity_id, embeddings, actor=self.actor)
