"""Kills a change of a gallery before each (or every EVERYth) of its SQL statements, and looks at what is left.

    python -m tests.edge.gallery.kills FOLDER [EVERY]

One line of JSON for each operation: how many kills, and how many left the state of before and that of after. Forks, so it
has to be a process of its own; exit code 1 with a traceback when anything is neither.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.gallery.encryption.rekey import rekey_gallery
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.opening import open_any_gallery
from edge.gallery.store import Gallery
from tests.edge.gallery.support import faces, opened
from tests.edge.gallery.version_1 import IDS, make_version_1

A, B = Sealer([bytes(range(32))]), Sealer([bytes(range(50, 82)), bytes(range(32))])
NAME = b"Ariadne of Crete"


class Counting(sqlite3.Connection):
    """Ends the process with SIGKILL before statement `kill_before`."""

    count = 0
    kill_before = -1

    def execute(self, *args: Any) -> sqlite3.Cursor:
        if Counting.count == Counting.kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        Counting.count += 1
        return super().execute(*args)


def connect(*args: Any, **options: Any) -> sqlite3.Connection:
    return sqlite3.connect(*args, factory=Counting, **options)


@dataclass(frozen=True)
class Operation:
    """`make` gives the state of before, `act` changes it with `connect`, `look` says `before` or `after`."""

    make: Callable[[Path], object]
    act: Callable[[Path], object]
    look: Callable[[Path], str]


def make_plain(path: Path) -> None:
    with opened(path) as gallery:
        fill(gallery)


def make_sealed(path: Path) -> None:
    with opened(path, sealer=A) as gallery:
        fill(gallery)


def fill(gallery: Gallery) -> None:
    gallery.enrol("Keeper", faces(2, 9))
    gallery.enrol(NAME.decode(), faces(2, png=b"\x89PNG\r\n\x1a\n" + NAME * 300))


def look_at_migration(path: Path) -> str:
    asking = sqlite3.connect(path)
    (version,) = asking.execute("PRAGMA user_version").fetchone()
    if version == 1:
        assert len(asking.execute("SELECT id, name, note, enabled FROM identities").fetchall()) == 3
        assert asking.execute("SELECT count(*) FROM embeddings").fetchone() == (6,)
    asking.close()
    with opened(path) as gallery:
        assert [record.id for record in gallery.list_identities()] == IDS
        assert len(gallery.load_index(everyone=True)) == 6
    return "before" if version == 1 else "after"


def look_at_rekey(path: Path, before: Sealer | None, after: Sealer) -> str:
    asking = sqlite3.connect(path)
    keys = [row[0] for row in asking.execute("SELECT id FROM keys")]
    asking.close()
    is_after = keys == [after.key_ids[0]]
    with opened(path, sealer=after if is_after else before) as gallery:
        check_people(gallery, ["Ariadne of Crete", "Keeper"])
    # What a killed run leaves undone the next one does.
    rekey_gallery(path, after)
    with opened(path, sealer=after) as gallery:
        check_people(gallery, ["Ariadne of Crete", "Keeper"])
        assert NAME not in b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
    return "after" if is_after else "before"


def look_at_removal(path: Path) -> str:
    with opened(path) as gallery:
        records = gallery.list_identities()
        actions = [row.action for row in gallery.audit()]
        check_people(gallery, [record.name for record in records])
        assert (len(records), actions[0]) in {(2, "enrolled"), (1, "removed")}
        assert gallery.scrub()
        if len(records) == 1:
            assert NAME not in path.read_bytes()
    return "before" if len(records) == 2 else "after"


def check_people(gallery: Gallery, names: list[str]) -> None:
    assert [record.name for record in gallery.list_identities()] == names
    index = gallery.load_index()
    assert (len(index), index.refused_rows) == (2 * len(names), 0)
    for name in names:
        assert len(gallery.faces(name)) == 2
    assert not gallery.verify_audit().fault


def remove(path: Path) -> None:
    with open_any_gallery(path, connect=connect) as gallery:
        gallery.remove("Ariadne of Crete")


OPERATIONS = {
    "migration": Operation(
        make_version_1, lambda path: open_any_gallery(path, connect=connect).close(), look_at_migration
    ),
    "encryption": Operation(
        make_plain, lambda path: rekey_gallery(path, A, connect=connect), lambda path: look_at_rekey(path, None, A)
    ),
    "rotation": Operation(
        make_sealed, lambda path: rekey_gallery(path, B, connect=connect), lambda path: look_at_rekey(path, A, B)
    ),
    "removal": Operation(make_plain, remove, look_at_removal),
}


def ended(operation: Operation, path: Path, kill_before: int = -1) -> int:
    """Run it in a fork; how waitpid says that ended, with the number of statements as its exit code."""
    child = os.fork()
    if child == 0:
        Counting.count, Counting.kill_before = 0, kill_before
        operation.act(path)
        os._exit(Counting.count)
    return os.waitpid(child, 0)[1]


def run(operation: Operation, folder: Path, every: int) -> dict[str, int]:
    folder.mkdir()
    start = folder / "start"
    operation.make(start)
    whole = Path(shutil.copy(start, folder / "whole"))
    statements = os.WEXITSTATUS(ended(operation, whole))
    assert operation.look(whole) == "after"
    # The last ones, around COMMIT and VACUUM, whatever is left out.
    chosen = sorted({*range(0, statements, every), *range(statements - 4, statements)})
    found: Counter[str] = Counter(statements=statements, kills=len(chosen))
    for number in chosen:
        path = Path(shutil.copy(start, folder / f"gallery{number}"))
        assert os.WIFSIGNALED(ended(operation, path, number)), f"{statements} statements, but no {number}"
        found[operation.look(path)] += 1
    return dict(found)


if __name__ == "__main__":
    step = int(sys.argv[2]) if sys.argv[2:] else 1
    for name, operation in OPERATIONS.items():
        print(json.dumps({"operation": name, **run(operation, Path(sys.argv[1]) / name, step)}), flush=True)  # noqa: T201
