"""Galleries of an older version become today's."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from edge.errors import GalleryError
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.schema import SCHEMA_VERSION
from tests.edge.gallery.support import everything, faces, opened, raw, vectors
from tests.edge.gallery.version_1 import IDS, PER_PERSON, PNG, make_version_1
from tests.edge.gallery.version_2 import make_version_2

SEALER = Sealer([bytes(range(32))])


@pytest.fixture(params=[1, 2])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    made = tmp_path / f"version{request.param}.sqlite"
    {1: make_version_1, 2: make_version_2}[request.param](made)
    return made


def version_before(path: Path) -> int:
    return int(path.stem[-1])


def version(path: Path) -> int:
    return int(raw(path).execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("sealer", [None, SEALER], ids=["plain", "sealed"])
def test_everybody_is_still_there(path: Path, sealer: Sealer | None) -> None:
    before = version_before(path)
    if sealer is not None:
        if before == 1:
            pytest.skip("version 1 knew no keys")
        path.unlink()
        make_version_2(path, sealer)
    with opened(path, sealer=sealer) as gallery:
        records = gallery.list_identities()
        index = gallery.load_index(everyone=True)
        kept = gallery.faces("Person 2")
        assert gallery.revision == 7
    assert [(one.id, one.name, one.note) for one in records] == [
        (identity_id, f"Person {number}", f"note {number}") for number, identity_id in enumerate(IDS)
    ]
    assert [one.enabled for one in records] == [True, False, True]
    assert [(one.valid_from, one.valid_until) for one in records] == [(None, None), (None, 4e9), (None, 4e9)]
    assert {(one.created_at, one.updated_at, one.embeddings, one.faces) for one in records} == {
        (1e9, 2e9, PER_PERSON, 1)
    }
    written = ("", (), (), "") if before == 1 else ("in writing", ("staff",), (), "")
    assert {(one.consent, one.groups, one.zones, one.schedule) for one in records} == {written}
    assert {(one.origin, one.enrolments, one.stored) for one in records} == {("", PER_PERSON, PER_PERSON)}
    for number, identity_id in enumerate(IDS):
        found = index.search(vectors(PER_PERSON, number)[1])
        assert found.identity is not None
        assert (found.identity.id, found.similarity > 0.9999) == (identity_id, True)
    assert [(face.face_png, face.template, face.source) for face in kept] == [(None, "", "2.jpg"), (PNG, "", "2.jpg")]
    assert version(path) == SCHEMA_VERSION


def test_it_is_done_once_and_what_comes_after_is_as_ever(path: Path) -> None:
    with opened(path) as gallery:
        gallery.enrol("Person 0", faces(1, 50))
        gallery.set_access("Person 0", groups=["staff"])
        numbers = (
            raw(path).execute("SELECT (SELECT max(id) FROM embeddings), (SELECT max(id) FROM enrolments)").fetchone()
        )
    assert numbers == (100, 100), "an id of before was used again"
    with opened(path) as gallery:
        assert gallery.get("Person 0").groups == ("staff",)
        assert not gallery.verify_audit().fault
        assert [row.action for row in gallery.audit()] == ["access_changed", "embeddings_added"]
        gallery.remove("Person 0")
        assert raw(path).execute("SELECT count(*) FROM embeddings").fetchone() == (2 * PER_PERSON,)


def described(path: Path) -> list[tuple[str, str]]:
    """Name and text of everything in the database, without what SQLite writes of its own."""
    asked = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    return [(name, re.sub(r'["\s]+', " ", sql).replace(" (", "(")) for name, sql in raw(path).execute(asked)]


def test_its_tables_are_those_of_a_new_gallery(path: Path, tmp_path: Path) -> None:
    opened(path).close()
    opened(tmp_path / "new.sqlite").close()
    assert described(path) == described(tmp_path / "new.sqlite")


def test_nothing_of_the_old_tables_is_left_in_the_file(path: Path) -> None:
    connection = raw(path)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("UPDATE identities SET note = 'Ariadne of Crete'")
    connection.close()
    with opened(path) as gallery:
        for number in range(3):
            gallery.set_note(f"Person {number}", "")
        gallery.scrub()
        assert b"Ariadne" not in everything(path)
        assert raw(path).execute("PRAGMA freelist_count").fetchone() == (0,)


def test_to_read_alone_it_is_too_old(path: Path) -> None:
    before = version_before(path)
    with pytest.raises(GalleryError, match=rf"(?s)version {before}, from an older ostiary.*gallery list"):
        opened(path, read_only=True)
    assert version(path) == before


def test_a_migration_that_fails_leaves_the_old_version(path: Path) -> None:
    def connect(*args: object, **options: object) -> sqlite3.Connection:
        made = sqlite3.connect(*args, **options)  # type: ignore[call-overload]
        made.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096 + 3}")
        return made  # type: ignore[no-any-return]

    before = raw(path).execute("SELECT * FROM identities").fetchall()
    with pytest.raises(GalleryError, match="disk full"):
        opened(path, connect=connect)
    assert version(path) == version_before(path)
    assert raw(path).execute("SELECT * FROM identities").fetchall() == before
    with opened(path) as gallery:
        assert len(gallery.list_identities()) == 3
