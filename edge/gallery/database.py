"""The gallery's database file: made whole or not at all, opened only when it is what it should be.

Durability: WAL with synchronous=FULL, so that a commit survives power loss. Privacy: mode 0600 (SQLite gives -wal and
-shm the mode of the database), secure_delete, temporary data in memory only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.errors import GalleryError
from edge.gallery.audit import AuditLog
from edge.gallery.encryption.columns import Columns
from edge.gallery.encryption.keyring import add_key
from edge.gallery.schema import SCHEMA_VERSION, migrate, write_schema

log = logging.getLogger(__name__)

APPLICATION_ID = 0x4F535459
"""`OSTY`: tells a gallery from any other SQLite database."""
BUSY_S = 5.0

Connect = Callable[..., sqlite3.Connection]
"""sqlite3.connect, or one that a test puts in its place."""

NO_SHARED_MEMORY = {sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}
"""The disk has no room for the file by which processes share a database."""

_RESTORE = "Nothing was changed. Restore a copy, or move the file away and `ostiary gallery import` an export."
_FAULTS = {
    **dict.fromkeys(NO_SHARED_MEMORY, ("disk full", "", "Free some space and try again.")),
    sqlite3.SQLITE_NOTADB: ("not a database", "a gallery made by ostiary", _RESTORE),
    sqlite3.SQLITE_CORRUPT: ("damaged", "an intact gallery", _RESTORE),
    sqlite3.SQLITE_BUSY: ("locked by another program", "", "Try again when the other program has finished."),
    sqlite3.SQLITE_LOCKED: ("locked by another program", "", "Try again when the other program has finished."),
    sqlite3.SQLITE_FULL: ("disk full; the change was not made", "", "Free some space and try again."),
    sqlite3.SQLITE_READONLY: ("may not be written", "", "Check who owns the file and its folder."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "", "Check who owns the file and its folder."),
    sqlite3.SQLITE_PERM: ("may not be opened", "", "Check who owns the file and its folder."),
    sqlite3.SQLITE_IOERR: ("input/output error", "", "Check the disk; the last change may not have been made."),
}


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as GalleryError that say what to do."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # Python fails to decode what SQLite says of garbage.
        code = int(getattr(error, "sqlite_errorcode", 0))
        problem, expected, hint = _FAULTS.get(code) or _FAULTS.get(
            code & 0xFF, ("damaged", "an intact gallery", _RESTORE)
        )
        raise GalleryError(f"{problem} ({error})", where=str(path), expected=expected, hint=hint) from error


def exists(path: Path) -> bool:
    """Whether anything has that name; GalleryError when not even that can be found out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise GalleryError(f"cannot be opened ({error.strerror})", where=str(path), expected="a gallery") from error
    return True


def create_database(
    path: Path, embedder_id: str, embedding_length: int, connect: Connect, columns: Columns | None = None
) -> None:
    """Make an empty gallery at `path` unless something is there by now; a crash leaves no half-made one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                os.fchmod(descriptor, 0o600)
                with translated(path), contextlib.closing(_connect_rw(connect, draft)) as made:
                    _write_new(made, embedder_id, embedding_length, columns or Columns())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _put_in_place(draft, path)
        finally:
            for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                leftover.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        hint = "Choose another place with --gallery, or check who owns the folder."
        raise GalleryError(
            f"cannot be made ({error.strerror})", where=str(path), expected="a folder that may be written", hint=hint
        ) from error


def _connect_rw(connect: Connect, path: Path) -> sqlite3.Connection:
    return connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)


def _write_new(connection: sqlite3.Connection, embedder_id: str, embedding_length: int, columns: Columns) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    write_schema(connection, embedder_id, embedding_length)
    add_key(connection, columns.sealer)
    AuditLog(columns).put_ends(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")


def _put_in_place(draft: Path, path: Path) -> None:
    """A hard link never replaces what another process made meanwhile; some file systems have none."""
    try:
        os.link(draft, path)
    except FileExistsError:
        log.info("%s was made by another process meanwhile", path)
    except OSError:
        draft.rename(path)


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect_database(path: Path, connect: Connect, *, read_only: bool, busy_s: float) -> sqlite3.Connection:
    """A connection to an existing gallery whose structure was checked."""
    _check_is_file(path)
    with translated(path):
        connection = _connected(path, connect, read_only=read_only, busy_s=busy_s)
    try:
        with translated(path):
            # Before anything is set: a file that is no gallery stays as it is.
            _check_format(path, connection, read_only=read_only)
            _check_structure(path, connection)
            if not read_only:
                _upgrade(path, connection)
            _set_up(connection, read_only=read_only)
        if not read_only:
            _keep_private(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path, connect: Connect, *, read_only: bool, busy_s: float) -> sqlite3.Connection:
    """Where the disk is too full for SQLite's shared memory, one that holds the file alone: a door must still open."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    options = {"uri": True, "timeout": busy_s, "isolation_level": None, "check_same_thread": False}
    connection = connect(uri, **options)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except BaseException as error:
        connection.close()
        if read_only or getattr(error, "sqlite_errorcode", 0) not in NO_SHARED_MEMORY:
            raise
    else:
        return connection
    connection = connect(uri, **options)
    # Then the index of its log lies in this process alone (sqlite.org/wal.html, section 8).
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
    log.warning("%s: the disk is full; while this process reads the gallery, no other one can", path)
    return connection


def is_held_alone(connection: sqlite3.Connection) -> bool:
    """Whether no other process can open the file until this connection is closed."""
    return str(_pragma(connection, "locking_mode")).lower() == "exclusive"


def _check_is_file(path: Path) -> None:
    """By stat alone: to open and close the file here would drop the locks of this process's other connections."""
    where, expected = str(path), "a gallery made by ostiary"
    try:
        if not path.is_file():
            raise GalleryError("not a file" if path.exists() else "no such file", where=where, expected=expected)
        size = path.stat().st_size
        if size < 512:
            problem = "not a database" if size else "an empty file"
            raise GalleryError(problem, where=where, expected=expected, hint=_RESTORE)
    except OSError as error:
        raise GalleryError(f"cannot be opened ({error.strerror})", where=where, expected=expected) from error


def _keep_private(path: Path) -> None:
    for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        try:
            if one.stat().st_mode & 0o077:
                one.chmod(0o600)
        except FileNotFoundError:
            continue
        except OSError:
            log.warning("%s can be read by others, and its mode cannot be changed", one)


def _set_up(connection: sqlite3.Connection, *, read_only: bool) -> None:
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    # VACUUM copies the whole gallery: not into a file that outlives a crash.
    connection.execute("PRAGMA temp_store = MEMORY")


def _check_format(path: Path, connection: sqlite3.Connection, *, read_only: bool) -> None:
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application != APPLICATION_ID:
        hint = "Name a gallery, or a file that does not exist yet."
        raise GalleryError(
            "a database of another program", where=str(path), expected="a gallery made by ostiary", hint=hint
        )
    if version < 1:
        raise sqlite3.DatabaseError(f"version {version}")
    if version > SCHEMA_VERSION:
        hint = "Update ostiary on this box, or import an export of this gallery with the older version."
        raise GalleryError(
            f"gallery of version {version}, from a newer ostiary",
            where=str(path), expected=f"version {SCHEMA_VERSION}", hint=hint,
        )  # fmt: skip
    if read_only and version < SCHEMA_VERSION:
        hint = "`ostiary gallery list` brings it up to date."
        raise GalleryError(
            f"gallery of version {version}, from an older ostiary",
            where=str(path), expected=f"version {SCHEMA_VERSION}", hint=hint,
        )  # fmt: skip


def _upgrade(path: Path, connection: sqlite3.Connection) -> None:
    """An older version to today's, in one transaction: a crash leaves the old one."""
    if _pragma(connection, "user_version") == SCHEMA_VERSION:
        return
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _pragma(connection, "user_version")
        # Another process may have been quicker.
        if version < SCHEMA_VERSION:
            migrate(connection, version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    log.info("%s: brought from version %d to %d", path, version, SCHEMA_VERSION)
    # What the older tables took up is zeros by now; who reads meanwhile only keeps the file from shrinking.
    with contextlib.suppress(sqlite3.Error):
        scrub(connection)


def _check_structure(path: Path, connection: sqlite3.Connection) -> None:
    """0.14 s for 100,000 embeddings, all of which have to be read anyway."""
    report = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if report is None or report[0] != "ok":
        raise sqlite3.DatabaseError("integrity_check: " + (str(report[0])[:200] if report else "no answer"))
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.DatabaseError("embeddings of nobody")
    # SQLite reads a last page that was cut off as if zeros followed; only a log may still hold the rest.
    log_file = Path(f"{path}-wal")
    if not (log_file.exists() and log_file.stat().st_size) and path.stat().st_size % _pragma(connection, "page_size"):
        raise sqlite3.DatabaseError("the last page is cut off")


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    row = connection.execute(f"PRAGMA {name}").fetchone()
    return None if row is None else row[0]


def scrub(connection: sqlite3.Connection, *, is_whole: bool = True) -> bool:
    """Rewrite the file without deleted pages and empty the write-ahead log; False while somebody reads old pages.

    Without `is_whole` the file is rewritten only where there are such pages: what an earlier call could not finish.
    """
    if is_whole or _pragma(connection, "freelist_count"):
        connection.execute("VACUUM")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
