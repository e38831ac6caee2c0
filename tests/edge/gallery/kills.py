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

import cv2

from edge.gallery.encryption.rekey import rekey_gallery
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.opening import open_any_gallery
from edge.gallery.pruning import prune_from
from edge.gallery.reembedding import apply_to
from edge.gallery.store import Gallery
from tests.edge.gallery.networks import FIRST, SECOND, Network, enrolled, images, models_of, settings_of
from tests.edge.gallery.support import faces, opened
from tests.edge.gallery.version_1 import IDS, make_version_1
from tests.edge.gallery.version_2 import make_version_2

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


def look_at_migration(path: Path, before: int) -> str:
    asking = sqlite3.connect(path)
    (version,) = asking.execute("PRAGMA user_version").fetchone()
    if version == before:
        assert len(asking.execute("SELECT id, name, note, enabled FROM identities").fetchall()) == 3
        assert asking.execute("SELECT count(*) FROM embeddings").fetchone() == (6,)
    asking.close()
    with opened(path) as gallery:
        assert [record.id for record in gallery.list_identities()] == IDS
        assert len(gallery.load_index(everyone=True)) == 6
    return "before" if version == before else "after"


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


def check_people(gallery: Gallery, names: list[str], *, stored: int = 2) -> None:
    """`stored` embeddings of everybody, of all embedders."""
    assert [record.name for record in gallery.list_identities()] == names
    index = gallery.load_index()
    assert (len(index), index.refused_rows) == (2 * len(names), 0)
    for name in names:
        assert len(gallery.faces(name)) == 2
        assert gallery.get(name).stored == stored
    assert not gallery.verify_audit().fault


OLD, NEW = Network(FIRST), Network(SECOND, length=24)


def make_embedded(path: Path) -> None:
    with opened(path) as gallery:
        for seed, name in enumerate(("Ariadne of Crete", "Keeper")):
            gallery.enrol(name, enrolled(OLD, images(2, seed)))


def make_embedded_twice(path: Path) -> None:
    make_embedded(path)
    embed_again(path)


def embed_again(path: Path, connect: Any = sqlite3.connect) -> None:
    models = models_of(path.parent / "bundles", NEW)
    with open_any_gallery(path, connect=connect) as gallery:
        apply_to(gallery, settings_of(path), models)


def look_at_embedding_again(path: Path) -> str:
    with opened(path) as gallery:
        embedders = gallery.embedders()
        check_people(gallery, ["Ariadne of Crete", "Keeper"], stored=2 * len(embedders))
    counts = {one.embedder_id: one.embeddings for one in embedders}
    assert counts in ({FIRST: 4}, {FIRST: 4, SECOND: 4})
    # What a killed run did not do the next one does, and no more than that.
    NEW.embedded = 0
    embed_again(path)
    assert NEW.embedded == (0 if SECOND in counts else 4)
    with opened(path, embedder_id=SECOND, embedding_length=24) as gallery:
        check_people(gallery, ["Ariadne of Crete", "Keeper"], stored=4)
    return "after" if SECOND in counts else "before"


def take_old_away(path: Path, connect: Any = sqlite3.connect) -> None:
    with open_any_gallery(path, connect=connect) as gallery:
        prune_from(gallery, {SECOND})


def look_at_pruning(path: Path) -> str:
    with opened(path, embedder_id=SECOND, embedding_length=24) as gallery:
        embedders = [one.embedder_id for one in gallery.embedders()]
        check_people(gallery, ["Ariadne of Crete", "Keeper"], stored=2 * len(embedders))
        assert gallery.scrub()
    content = path.read_bytes()
    gone = [OLD.vector(image).astype("<f4").tobytes() for image in images(2, 0)]
    assert {vector in content for vector in gone} == {FIRST in embedders}
    return "before" if FIRST in embedders else "after"


def remove(path: Path) -> None:
    with open_any_gallery(path, connect=connect) as gallery:
        gallery.remove("Ariadne of Crete")


def migrate(path: Path) -> None:
    open_any_gallery(path, connect=connect).close()


OPERATIONS = {
    "migration": Operation(make_version_1, migrate, lambda path: look_at_migration(path, 1)),
    "migration of version 2": Operation(make_version_2, migrate, lambda path: look_at_migration(path, 2)),
    "encryption": Operation(
        make_plain, lambda path: rekey_gallery(path, A, connect=connect), lambda path: look_at_rekey(path, None, A)
    ),
    "rotation": Operation(
        make_sealed, lambda path: rekey_gallery(path, B, connect=connect), lambda path: look_at_rekey(path, A, B)
    ),
    "removal": Operation(make_plain, remove, look_at_removal),
    "embedding again": Operation(make_embedded, lambda path: embed_again(path, connect), look_at_embedding_again),
    "pruning": Operation(make_embedded_twice, lambda path: take_old_away(path, connect), look_at_pruning),
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
    # OpenCV's threads would not be there in a fork.
    cv2.setNumThreads(1)
    step = int(sys.argv[2]) if sys.argv[2:] else 1
    for name, operation in OPERATIONS.items():
        print(json.dumps({"operation": name, **run(operation, Path(sys.argv[1]) / name, step)}), flush=True)  # noqa: T201
