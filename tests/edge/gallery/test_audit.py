"""The audit log: complete, without names, and not to be changed unnoticed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import GalleryError, UsageError
from edge.gallery.archive import export_gallery, import_gallery
from edge.gallery.audit import AuditRow, local_actor
from edge.gallery.records import Actor
from edge.gallery.store import Gallery
from tests.edge.gallery.support import everything, faces, opened, raw

KEY = Actor("mqtt", "hall-key", "01HZX")


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return opened(tmp_path / "gallery.sqlite")


def test_every_change_is_in_it_with_who_did_it(gallery: Gallery, tmp_path: Path) -> None:
    with gallery.acting(KEY):
        ada = gallery.enrol("Ada", faces(3), consent="yes").id
        gallery.enrol("Ada", faces(2, 1), note="countess", consent="yes")
    gallery.add_embeddings("Ada", faces(1, 2))
    gallery.rename("Ada", "Grace")
    gallery.set_enabled("Grace", enabled=False)
    gallery.set_enabled("Grace", enabled=True)
    gallery.set_note("Grace", "")
    gallery.set_consent("Grace", "in writing")
    gallery.set_validity("Grace", valid_from=None, valid_until=5.0)
    gallery.set_access("Grace", groups=["staff"], zones=[], schedule="mon-fri 08:00-18:00")
    bob = gallery.add_identity("Bob").id
    export_gallery(gallery, tmp_path / "export")
    gallery.remove("Grace")
    import_gallery(gallery, tmp_path / "export")
    rows = gallery.audit()[::-1]
    assert [(row.action, row.identity_id, row.embeddings) for row in rows] == [
        ("enrolled", ada, 3), ("note_changed", ada, 0), ("embeddings_added", ada, 2), ("embeddings_added", ada, 1),
        ("renamed", ada, 0), ("disabled", ada, 0), ("enabled", ada, 0), ("note_changed", ada, 0),
        ("consent_changed", ada, 0), ("access_changed", ada, 0), ("access_changed", ada, 0), ("enrolled", bob, 0),
        ("exported", "", 0), ("removed", ada, 6), ("imported", ada, 6),
    ]  # fmt: skip
    assert [row.actor for row in rows] == [KEY] * 3 + [local_actor()] * 12
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert not gallery.verify_audit().fault


def test_it_can_be_asked_for_one_person_even_when_removed(gallery: Gallery) -> None:
    ada, bob = gallery.enrol("Ada", faces(1)).id, gallery.enrol("Bob", faces(1, 1)).id
    gallery.remove("Ada")
    assert [row.action for row in gallery.audit(who=ada)] == ["removed", "enrolled"]
    assert [row.identity_id for row in gallery.audit(who="bob")] == [bob]
    assert [row.action for row in gallery.audit(limit=1)] == ["removed"]
    assert gallery.audit(who="nobody at all") == []


def test_it_names_nobody(gallery: Gallery) -> None:
    gallery.enrol("Ariadne", faces(1), note="knows the maze", consent="in writing")
    gallery.rename("Ariadne", "Ariadne of Crete")
    gallery.remove("Ariadne of Crete")
    assert len(gallery.audit()) == 3
    assert b"Ariadne" not in everything(gallery.path)


def test_a_change_that_fails_leaves_no_row_and_no_row_means_no_change(gallery: Gallery) -> None:
    def failing() -> None:
        with gallery.change():
            gallery.enrol("Bob", faces(1))
            raise KeyboardInterrupt

    gallery.enrol("Ada", faces(1))
    with pytest.raises(KeyboardInterrupt):
        failing()
    raw(gallery.path).execute("CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(GalleryError):
        gallery.rename("Ada", "Eve")
    assert ([one.name for one in gallery.list_identities()], len(gallery.audit()), gallery.revision) == (["Ada"], 1, 1)


def test_several_changes_in_one_transaction_are_one_revision(gallery: Gallery) -> None:
    gallery.enrol("Ada", faces(1))
    with gallery.change():
        gallery.rename("Ada", "Grace")
        gallery.set_note("Grace", "rear admiral")
        assert gallery.get("Grace").note == "rear admiral"
    assert (gallery.revision, len(gallery.audit())) == (2, 3)


def digest(row: AuditRow) -> str:
    """As docs/privacy.md has it, without the code that is tested."""
    actor = row.actor
    values = [row.seq, row.at, row.action, row.identity_id, row.embeddings, actor.kind, actor.name, actor.request_id]
    return hashlib.sha256(json.dumps([*values, row.previous.hex()], separators=(",", ":")).encode()).hexdigest()


def test_each_row_holds_the_digest_of_the_one_before(gallery: Gallery) -> None:
    for number in range(4):
        gallery.enrol(f"Person {number}", faces(1, number))
    rows = gallery.audit()[::-1]
    assert rows[0].previous == bytes(32)
    assert [row.previous.hex() for row in rows[1:]] == [digest(row) for row in rows[:-1]]
    check = gallery.verify_audit()
    assert (check.rows, check.first, check.head) == (4, 1, digest(rows[-1]))


def test_a_row_that_was_changed_is_noticed(gallery: Gallery) -> None:
    fill(gallery)
    values = {"at": 5.0, "embeddings": 77, "previous": bytes(32)}
    connection = raw(gallery.path)
    for column in ("at", "action", "identity_id", "embeddings", "actor_kind", "actor_name", "request_id", "previous"):
        for seq in (2, 3, 5):
            connection.execute("BEGIN")
            asked = f"UPDATE audit SET {column} = ? WHERE seq = ?"  # noqa: S608 -- one of the above
            connection.execute(asked, (values.get(column, "x"), seq))
            assert gallery.log.verify(connection).fault, (column, seq)
            connection.execute("ROLLBACK")
    assert not gallery.log.verify(connection).fault


def fill(gallery: Gallery) -> None:
    for number in range(5):
        gallery.enrol(f"Person {number}", faces(1, number))


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 5",
        "DELETE FROM audit",
        "UPDATE audit SET seq = seq + 1 WHERE seq = 5",
        "INSERT INTO audit SELECT 6, at, action, identity_id, embeddings, actor_kind, actor_name, request_id, previous FROM audit WHERE seq = 5",
        "UPDATE gallery SET audit_start = 2",
    ],
)
def test_rows_taken_out_or_put_in_are_noticed_and_stay_noticed(gallery: Gallery, spoil: str) -> None:
    fill(gallery)
    raw(gallery.path).execute(spoil)
    assert gallery.verify_audit().fault
    gallery.enrol("One more", faces(1, 50))
    assert gallery.verify_audit().fault


def forge(connection: sqlite3.Connection, gallery: Gallery) -> None:
    """All digests made anew behind a change, as somebody with write access can where nothing is encrypted."""
    connection.execute("UPDATE audit SET actor_name = 'somebody else' WHERE seq = 2")
    previous = bytes(32)
    for row in gallery.audit()[::-1]:
        connection.execute("UPDATE audit SET previous = ? WHERE seq = ?", (previous, row.seq))
        changed = AuditRow(row.seq, row.at, row.action, row.identity_id, row.embeddings, row.actor, previous)
        previous = changed.digest()
    connection.execute("UPDATE gallery SET audit_head = ?", (previous,))


def test_only_a_digest_noted_elsewhere_shows_that_the_whole_was_forged(gallery: Gallery) -> None:
    fill(gallery)
    noted = gallery.verify_audit().head
    gallery.enrol("One more", faces(1, 50))
    assert not gallery.verify_audit(anchor=noted.upper()).fault
    forge(raw(gallery.path), gallery)
    assert not gallery.verify_audit().fault
    assert "no row has the digest" in gallery.verify_audit(anchor=noted).fault


def test_old_rows_are_forgotten_and_the_chain_begins_anew(gallery: Gallery) -> None:
    fill(gallery)
    # Of a box that had no time yet when the first were written, and where a younger one comes before an older.
    ages = {1: 10.0, 2: 20.0, 3: 500.0, 4: 30.0, 5: 600.0}
    rewrite(gallery, ages)
    with gallery.transaction() as connection:
        assert gallery.log.prune(connection, 100.0, actor=KEY) == 2
    rows = gallery.audit()
    assert [(row.seq, row.action) for row in rows[:2]] == [(6, "pruned"), (5, "enrolled")]
    assert (rows[0].embeddings, rows[0].actor, rows[-1].seq) == (2, KEY, 3)
    check = gallery.verify_audit()
    assert (check.fault, check.rows, check.first) == ("", 4, 3)
    with gallery.transaction() as connection:
        assert gallery.log.prune(connection, 1e12, actor=KEY) == 4
        assert gallery.log.prune(connection, 0.0, actor=KEY) == 0
    assert [(row.seq, row.action, row.embeddings) for row in gallery.audit()] == [(7, "pruned", 4)]
    assert not gallery.verify_audit().fault


def rewrite(gallery: Gallery, moments: dict[int, float]) -> None:
    """Other times, in a chain that is right."""
    connection = raw(gallery.path)
    previous = bytes(32)
    for row in gallery.audit()[::-1]:
        changed = AuditRow(row.seq, moments[row.seq], row.action, row.identity_id, row.embeddings, row.actor, previous)
        connection.execute("UPDATE audit SET at = ?, previous = ? WHERE seq = ?", (changed.at, previous, row.seq))
        previous = changed.digest()
    connection.execute("UPDATE gallery SET audit_head = ?", (previous,))
    assert not gallery.verify_audit().fault


def test_an_actor_with_an_odd_name_is_written_down_all_the_same(gallery: Gallery) -> None:
    with gallery.acting(Actor("mqtt", "x\udcff\0" + "y" * 500, "\ud800")):
        gallery.enrol("Ada", faces(1))
    (row,) = gallery.audit()
    assert (row.actor.name[:3], len(row.actor.name), row.actor.request_id) == ("x?y", 199, "?")
    assert not gallery.verify_audit().fault


@pytest.mark.parametrize("enrol", [
    lambda gallery: gallery.enrol("Ada", faces(1)),
    lambda gallery: gallery.enrol("Ada", faces(1), consent="  "),
    lambda gallery: gallery.add_identity("Ada"),
    lambda gallery: gallery.add_embeddings("Bob", faces(1)),
    lambda gallery: gallery.enrol("Bob", faces(1)),
    lambda gallery: gallery.set_consent("Bob", ""),
])  # fmt: skip
def test_nobody_without_consent_where_that_is_asked_for(gallery: Gallery, enrol: Callable[[Gallery], object]) -> None:
    gallery.add_identity("Bob")
    gallery.require_consent = True
    with pytest.raises(UsageError, match=r"(?s)no note of consent.*privacy.require_consent"):
        enrol(gallery)
    assert gallery.revision == 1
    gallery.enrol("Bob", faces(1), consent="asked in writing, 2026-01-31")
    gallery.enrol("Bob", faces(1, 1))
    assert (gallery.get("Bob").embeddings, gallery.get("Bob").consent) == (2, "asked in writing, 2026-01-31")


def test_an_import_without_consent_is_refused_where_that_is_asked_for(gallery: Gallery, tmp_path: Path) -> None:
    gallery.enrol("Ada", faces(1), consent="yes")
    gallery.enrol("Bob", faces(1, 1))
    export_gallery(gallery, tmp_path / "export")
    with opened(tmp_path / "other") as other:
        other.require_consent = True
        with pytest.raises(UsageError, match="no note of consent"):
            import_gallery(other, tmp_path / "export")
        assert other.list_identities() == []


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ({"groups": ["night shift"]}, "group 'night shift'"),
        ({"zones": [""]}, "zone ''"),
        ({"zones": ["a"] * 51}, "51 names of a zone"),
        ({"schedule": "whenever"}, "schedule 'whenever'"),
        ({"schedule": "mon-fri 25:00-26:00"}, "schedule"),
        ({"schedule": "x" * 2000}, "schedule of 2000 characters"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(gallery: Gallery, access: dict[str, object], says: str) -> None:
    gallery.add_identity("Ada")
    with pytest.raises(UsageError, match=says):
        gallery.set_access("Ada", **access)  # type: ignore[arg-type]
    assert gallery.revision == 1


def test_limits_are_kept_and_told_to_the_index(gallery: Gallery) -> None:
    ada = gallery.enrol("Ada", faces(1)).id
    gallery.set_access("Ada", groups=["staff", "night", "staff"], zones=["hall"], schedule=" mon-fri 08:00-18:00 ")
    gallery.set_access("Ada", zones=[])
    record = gallery.get("Ada")
    assert (record.groups, record.zones, record.schedule) == (("staff", "night"), (), "mon-fri 08:00-18:00")
    access = gallery.load_index().access(ada)
    assert access == record.access
    assert access is not None
    assert access.groups == ("staff", "night")
