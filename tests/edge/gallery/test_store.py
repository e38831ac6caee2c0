from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ulid import ULID

from edge.datatypes import Access, Embedding
from edge.errors import UsageError
from edge.gallery.opening import open_any_gallery
from edge.gallery.records import PNG_SIGNATURE, EnrolledFace, parse_moment
from edge.gallery.store import Gallery
from tests.edge.gallery.support import EMBEDDER, LENGTH, everything, faces, opened, vectors

PNG = PNG_SIGNATURE + b"a face that nobody may find again" * 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "gallery.sqlite"


def test_what_is_enrolled_is_there_after_opening_again(path: Path) -> None:
    given = faces(3, png=PNG)
    with opened(path) as gallery:
        record = gallery.enrol("Ada", given, note="asked in writing")
    with opened(path, create=False) as gallery:
        assert gallery.get("Ada") == record
        kept = gallery.faces("Ada")
        match = gallery.load_index().search(given[1].embedding.vector)
    assert (record.embeddings, record.faces, record.note, record.enabled) == (3, 3, "asked in writing", True)
    assert ULID.from_str(record.id)
    assert [face.embedding.vector.tobytes() for face in kept] == [face.embedding.vector.tobytes() for face in given]
    assert [(face.quality, face.source, face.face_png) for face in kept] == [(0.5, "a.jpg", PNG)] * 3
    assert match.identity == record.identity
    assert match.similarity > 0.9999


def test_an_identity_may_get_more_embeddings_and_another_name(path: Path) -> None:
    with opened(path) as gallery:
        identity = gallery.add_identity("Ada", note="n", valid_from=1.0, valid_until=2.0)
        assert gallery.get(identity.id).embeddings == 0
        gallery.add_embeddings(identity.id, faces(1, 1))
        gallery.enrol("ada", faces(2, 2))
        gallery.rename(identity.id, "Grace")
        (record,) = gallery.list_identities()
    assert (record.id, record.name, record.embeddings, record.note) == (identity.id, "Grace", 3, "n")
    assert (record.valid_from, record.valid_until) == (1.0, 2.0)
    assert record.updated_at >= record.created_at > 1.7e9


def test_every_change_raises_the_revision_by_one_and_no_read_does(path: Path) -> None:
    changes: list[Callable[[Gallery], object]] = [
        lambda gallery: gallery.add_identity("Ada"),
        lambda gallery: gallery.enrol("Ada", faces(3)),
        lambda gallery: gallery.add_embeddings("Ada", faces(2)),
        lambda gallery: gallery.rename("Ada", "Grace"),
        lambda gallery: gallery.set_note("Grace", "note"),
        lambda gallery: gallery.set_enabled("Grace", enabled=False),
        lambda gallery: gallery.set_validity("Grace", valid_from=None, valid_until=5.0),
        lambda gallery: gallery.remove("Grace"),
    ]
    with opened(path) as gallery:
        for number, change in enumerate(changes):
            assert gallery.revision == number
            assert gallery.load_index().revision == number
            gallery.list_identities()
            change(gallery)
        assert gallery.revision == len(changes)


def test_the_disabled_are_kept_but_not_matched_and_those_not_valid_now_are(path: Path) -> None:
    given = faces(3)
    with opened(path) as gallery:
        for name, face in zip(["on", "off", "later"], given, strict=True):
            gallery.enrol(name, [face])
        gallery.set_enabled("off", enabled=False)
        gallery.set_validity("later", valid_from=2000.0, valid_until=None)
        index = gallery.load_index()
        names = [identity.name for face in given if (identity := index.search(face.embedding.vector).identity)]
        assert (names[0], names[2]) == ("on", "later")
        assert names[1] in {"on", "later"}
        assert index.access(gallery.get("later").id) == Access(valid_from=2000.0)
        assert index.access(gallery.get("off").id) is None
        everyone = gallery.load_index(everyone=True)
        assert [everyone.search(face.embedding.vector).similarity > 0.999 for face in given] == [True] * 3
        assert [record.is_active(1500.0) for record in gallery.list_identities()] == [False, False, True]
        assert len(gallery.list_identities()) == 3


@pytest.mark.parametrize(
    "name", ["Ada", "  Ada ", "Ada Lovelace-Byron, Dr.", "Zoe\u0308", "عایشه‌خانم", "山田", "x" * 200]
)
def test_names_people_have(path: Path, name: str) -> None:
    with opened(path) as gallery:
        record = gallery.enrol(name, faces(1))
        assert gallery.get(name).id == gallery.get(record.name.upper()).id == record.id
        assert record.name == record.name.strip()
        assert "\u0308" not in record.name


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\nb", "a\x00b", "a\u202eb", "\udcff", "\u200d", "a\tb"])
def test_names_nobody_has(path: Path, name: str) -> None:
    with opened(path) as gallery:
        for change in (
            lambda: gallery.add_identity(name),
            lambda: gallery.enrol(name, faces(1)),
            lambda: gallery.find(name),
        ):
            with pytest.raises(UsageError, match="name"):
                change()
        assert gallery.revision == 0


@pytest.mark.parametrize("note", ["x" * 2001, "a\x00b", "\udcff"])
def test_a_note_that_cannot_be_kept_is_refused(path: Path, note: str) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        with pytest.raises(UsageError, match="note"):
            gallery.set_note("Ada", note)


@pytest.mark.parametrize(("begin", "end"), [(5.0, 5.0), (6.0, 5.0), (float("nan"), None), (None, float("inf"))])
def test_a_validity_that_cannot_be_meant_is_refused(path: Path, begin: float | None, end: float | None) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        with pytest.raises(UsageError, match=r"valid_from|moment"):
            gallery.set_validity("Ada", valid_from=begin, valid_until=end)


def test_two_people_of_one_name_are_told_apart_by_id(path: Path) -> None:
    with opened(path) as gallery:
        first, second = sorted((gallery.add_identity("Ada"), gallery.add_identity("Ada")), key=lambda who: who.id)
        for ask in (
            lambda: gallery.get("ada"),
            lambda: gallery.remove("Ada"),
            lambda: gallery.enrol("Ada", faces(1)),
        ):
            with pytest.raises(UsageError, match=f"(?i)2 people are called 'ada'.*{first.id}, {second.id}"):
                ask()
        gallery.remove(first.id)
        assert gallery.get("Ada").id == second.id


def test_a_name_as_written_goes_before_one_in_other_letters(path: Path) -> None:
    with opened(path) as gallery:
        gallery.add_identity("ADA")
        small = gallery.add_identity("ada")
        assert gallery.get("ada").id == small.id


def test_somebody_unknown_is_told_with_the_nearest_name(path: Path) -> None:
    with opened(path) as gallery:
        gallery.add_identity("Grace Hopper")
        with pytest.raises(UsageError, match=r"(?s)nobody called 'Grace Hoper' is enrolled.*'Grace Hopper'"):
            gallery.remove("Grace Hoper")
        assert gallery.find("Grace Hoper") is None


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [*faces(1), EnrolledFace(Embedding(vectors(1)[0], "another"), 0.5)],
        [*faces(1), EnrolledFace(Embedding(vectors(1, length=LENGTH + 1)[0], EMBEDDER), 0.5)],
    ],
)
def test_embeddings_that_do_not_belong_here_change_nothing(path: Path, wrong: list[EnrolledFace]) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        for change in (lambda: gallery.enrol("Ada", wrong), lambda: gallery.add_embeddings("Ada", wrong)):
            with pytest.raises(ValueError, match="expected"):
                change()
        assert (gallery.revision, gallery.get("Ada").embeddings) == (1, 1)


@pytest.mark.parametrize(
    ("quality", "source", "png"), [(1.1, "", None), (float("nan"), "", None), (0.5, "x" * 1001, None),
    (0.5, "\udc80", None), (0.5, "", b"GIF89a"), (0.5, "", PNG_SIGNATURE + bytes(1_000_000))],
)  # fmt: skip
def test_an_enrolled_face_is_checked_where_it_is_made(quality: float, source: str, png: bytes | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        EnrolledFace(Embedding(vectors(1)[0], EMBEDDER), quality, source, png)


def test_an_enrolment_that_fails_half_way_leaves_nothing(path: Path) -> None:
    def failing() -> None:
        with gallery.change() as connection:
            connection.execute("UPDATE identities SET name = 'gone'")
            raise KeyboardInterrupt

    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        with pytest.raises(KeyboardInterrupt):
            failing()
        assert (gallery.revision, gallery.get("Ada").name) == (1, "Ada")


def test_what_is_removed_leaves_no_trace_in_any_file(path: Path) -> None:
    secret = faces(40, png=PNG, source="holiday/Ariadne.jpg")
    with opened(path) as gallery, opened(path) as other:
        gallery.enrol("Keeper", faces(30, 9))
        gallery.enrol("Ariadne", secret, note="knows the maze")
        gallery.rename("Ariadne", "Ariadne of Crete")
        traces = [b"Ariadne", b"knows the maze", b"nobody may find", secret[7].embedding.vector.tobytes()]
        before = everything(path)
        assert all(trace in before for trace in traces)
        assert other.revision == 3

        erased = gallery.remove("Ariadne of Crete")

        after = everything(path)
        assert not any(trace in after for trace in traces)
        assert not any(face.embedding.vector.tobytes() in after for face in secret)
        assert (erased.identity.name, erased.embeddings, erased.faces) == ("Ariadne of Crete", 40, 40)
        assert erased.is_scrubbed
        assert len(after) < len(before) / 2
        assert gallery._connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert [record.name for record in other.list_identities()] == ["Keeper"]


def test_a_reader_that_holds_old_pages_is_told_of_and_scrubbed_later(path: Path) -> None:
    with opened(path, busy_s=0.05) as gallery, opened(path) as other:
        gallery.enrol("Ada", faces(5))

        def while_reading(connection: object) -> bool:
            other._connection.execute("SELECT count(*) FROM identities").fetchone()
            return gallery.remove("Ada").is_scrubbed

        assert other.read(while_reading) is False
        assert gallery.list_identities() == []
        assert gallery.scrub() is True
        assert faces(5)[3].embedding.vector.tobytes() not in everything(path)


def test_no_id_is_used_again(path: Path) -> None:
    with opened(path) as gallery:
        ids = set()
        for _ in range(5):
            ids.add(gallery.enrol("Ada", faces(1)).id)
            gallery.remove("Ada")
        assert len(ids) == 5


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_nobody_else_may_read_the_files_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "folder" / "gallery.sqlite"
    before = os.umask(umask if umask != 0o277 else 0o022)
    try:
        path.parent.mkdir(0o700)
        os.umask(umask)
        with opened(path) as gallery:
            gallery.enrol("Ada", faces(1))
            found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert found == dict.fromkeys(["gallery.sqlite", "gallery.sqlite-wal", "gallery.sqlite-shm"], 0o600)


def test_a_log_that_others_could_read_is_closed_to_them_too(path: Path) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").chmod(0o644)
        with opened(path):
            found = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert found == {0o600}


def test_the_folder_is_made_for_the_owner_alone(path: Path) -> None:
    opened(path).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_gallery_that_others_could_read_is_closed_to_them(path: Path) -> None:
    opened(path).close()
    path.chmod(0o644)
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_durability_and_privacy_are_switched_on(path: Path) -> None:
    with opened(path) as gallery:
        asked = [
            gallery._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store")
        ]
    assert asked == ["wal", 2, 1, 1, 2]


def test_a_gallery_opened_to_read_is_not_written(path: Path) -> None:
    with opened(path) as writer:
        writer.enrol("Ada", faces(1))
        with opened(path, read_only=True) as gallery:
            assert gallery.get("Ada").embeddings == 1
            with pytest.raises(Exception, match="may not be written"):
                gallery.enrol("Ada", faces(1))


def test_any_gallery_can_be_listed_without_its_bundle(path: Path) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
    with open_any_gallery(path) as gallery:
        assert (gallery.embedder_id, gallery.embedding_length) == (EMBEDDER, LENGTH)
        assert gallery.list_identities()[0].name == "Ada"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1970-01-02", 86400.0), ("1970-01-01T00:00:10Z", 10.0), (" 1970-01-01T01:00:00+01:00", 0.0), ("19700101", 0.0)],
)
def test_moments_as_people_write_them(text: str, expected: float) -> None:
    assert parse_moment(text) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "1" * 5000, "0001-01-01T00:00:00+23:59"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="is no date"):
        parse_moment(text)


def test_vectors_are_stored_little_endian(path: Path) -> None:
    face = faces(1)[0]
    with opened(path) as gallery:
        gallery.enrol("Ada", [face])
        blob = gallery.read(lambda connection: connection.execute("SELECT vector FROM embeddings").fetchone()[0])
    assert np.array_equal(np.frombuffer(blob, "<f4"), face.embedding.vector)
