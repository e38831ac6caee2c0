"""A gallery that only the holder of a key can read."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.errors import GalleryError, UsageError
from edge.gallery.archive import export_gallery, import_gallery
from edge.gallery.encryption.rekey import rekey_gallery
from edge.gallery.encryption.sealing import Sealer, key_id_of
from edge.gallery.live import LiveIndex
from edge.gallery.records import PNG_SIGNATURE
from edge.gallery.store import Gallery
from tests.edge.gallery.support import everything, faces, opened, raw

A, B, C = (bytes(range(start, start + 32)) for start in (0, 50, 100))
PNG = PNG_SIGNATURE + b"the face of Ariadne" * 400
"""Longer than a page."""
PIECES = [b"Ariadne", b"knows the maze", b"asked in writing", b"holiday"]


def fill(gallery: Gallery) -> None:
    gallery.enrol("Keeper", faces(2, 9), consent="of course")
    gallery.enrol(
        "Ariadne", faces(3, png=PNG, source="holiday/Ariadne.jpg"), note="knows the maze", consent="asked in writing"
    )


def secrets() -> list[bytes]:
    """What must not stand in the file of an encrypted gallery."""
    vectors = [face.embedding.vector.astype("<f4").tobytes() for face in [*faces(3), *faces(2, 9)]]
    return [*PIECES, *(vector[8:40] for vector in vectors), b"Keeper", b"of course"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Encrypted with A."""
    made = tmp_path / "gallery.sqlite"
    with opened(made, sealer=Sealer([A])) as gallery:
        fill(gallery)
    return made


def check(gallery: Gallery) -> None:
    """Everything is there as it was enrolled."""
    record = gallery.get("ariadne")
    assert (record.name, record.note, record.consent) == ("Ariadne", "knows the maze", "asked in writing")
    kept = gallery.faces(record.id)
    assert [(face.source, face.face_png) for face in kept] == [("holiday/Ariadne.jpg", PNG)] * 3
    for wanted, face in zip(faces(3), kept, strict=True):
        assert face.embedding.vector.tobytes() == wanted.embedding.vector.tobytes()
    index = gallery.load_index()
    assert (len(index), index.refused_rows) == (5, 0)
    assert index.search(faces(3)[1].embedding.vector).identity == record.identity
    assert not gallery.verify_audit().fault


def test_nothing_personal_can_be_read_in_its_files(path: Path) -> None:
    with opened(path, sealer=Sealer([A])) as gallery:
        check(gallery)
        gallery.rename("Keeper", "Keeper of Keys")
        gallery.set_note("Keeper of Keys", "of course not")
        data = everything(path)
        assert not [secret for secret in secrets() if secret in data]
        gallery.remove("Ariadne")
        assert [one.name for one in gallery.list_identities()] == ["Keeper of Keys"]


def test_a_gallery_that_is_not_encrypted_shows_what_this_test_looks_for(tmp_path: Path) -> None:
    with opened(tmp_path / "plain") as gallery:
        fill(gallery)
        data = everything(tmp_path / "plain")
    assert all(secret in data for secret in secrets())


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (None, rf"encrypted with key {key_id_of(A)}; expected a key"),
        ([B], rf"encrypted with key {key_id_of(A)}, which is not among {key_id_of(B)}"),
        ([B, C], rf"which is not among {key_id_of(B)}, {key_id_of(C)}"),
    ],
)
def test_without_its_key_it_is_refused_and_left_alone(path: Path, keys: list[bytes] | None, says: str) -> None:
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=rf"(?s){says}.*privacy.key_file"):
        opened(path, sealer=None if keys is None else Sealer(keys))
    assert path.read_bytes() == before


def test_a_plain_gallery_is_not_taken_for_an_encrypted_one(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    with opened(path) as gallery:
        fill(gallery)
    with pytest.raises(GalleryError, match=r"(?s)not encrypted, although a key is configured.*rekey"):
        opened(path, sealer=Sealer([A]))


def test_a_new_key_seals_what_comes_and_the_old_one_opens_what_was(path: Path) -> None:
    with opened(path, sealer=Sealer([B, A])) as gallery:
        gallery.enrol("Theseus", faces(1, 20))
        assert [one.name for one in gallery.list_identities()] == ["Ariadne", "Keeper", "Theseus"]
        assert len(gallery.load_index()) == 6
    for keys, missing in (([A], B), ([B], A)):
        with pytest.raises(GalleryError, match=f"encrypted with key {key_id_of(missing)}"):
            opened(path, sealer=Sealer(keys))


@pytest.fixture
def gallery(path: Path) -> Gallery:
    return opened(path, sealer=Sealer([A]))


def put(gallery: Gallery, asked: str, *values: object) -> None:
    """Behind the gallery's back, with the checksum made right, as whoever can write the file would."""
    connection = raw(gallery.path)
    assert connection.execute(asked, values).rowcount
    for row_id, vector in connection.execute("SELECT id, vector FROM embeddings").fetchall():
        connection.execute("UPDATE embeddings SET checksum = ? WHERE id = ?", (zlib.crc32(vector), row_id))
    connection.close()


def test_a_change_of_any_byte_of_an_embedding_costs_that_embedding_alone(gallery: Gallery) -> None:
    stored = raw(gallery.path).execute("SELECT vector FROM embeddings WHERE id = 4").fetchone()[0]
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 0x10
        put(gallery, "UPDATE embeddings SET vector = ? WHERE id = 4", bytes(changed))
        index = gallery.load_index()
        assert (index.refused_rows, len(index)) == (1, 4)
    assert gallery.list_identities()
    with pytest.raises(GalleryError, match="damaged"):
        gallery.faces("Ariadne")


@pytest.mark.parametrize(
    "asked",
    [
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 1) WHERE id = 4",
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 5) WHERE id = 4",
        "UPDATE enrolments SET identity_id = (SELECT identity_id FROM enrolments WHERE id = 1) WHERE id = 4",
        "UPDATE embeddings SET vector = zeroblob(64) WHERE id = 4",
        "UPDATE embeddings SET vector = (SELECT png FROM faces LIMIT 1) WHERE id = 4",
    ],
)
def test_an_embedding_of_somebody_else_is_not_taken_for_ones_own(gallery: Gallery, asked: str) -> None:
    put(gallery, asked)
    index = gallery.load_index()
    assert (index.refused_rows, len(index)) == (1, 4)
    assert index.search(faces(2, 9)[0].embedding.vector).identity == gallery.get("Keeper").identity


@pytest.mark.parametrize(
    "asked",
    [
        "UPDATE identities SET name = (SELECT i.name FROM identities i WHERE i.id <> identities.id)",
        "UPDATE identities SET name = note",
        "UPDATE identities SET consent = CAST('agreed' AS TEXT)",
        "UPDATE identities SET name = CAST('Eve' AS TEXT)",
        "UPDATE identities SET name = CAST('Eve' AS BLOB)",
        "UPDATE identities SET name = x'01'",
    ],
)
def test_a_name_that_was_changed_or_moved_is_damage(gallery: Gallery, asked: str) -> None:
    put(gallery, asked)
    with pytest.raises(GalleryError, match="damaged"):
        gallery.list_identities()


@pytest.mark.parametrize(
    "asked",
    [
        "UPDATE gallery SET embedder_id = 'other'",
        "UPDATE gallery SET embedding_length = 17",
        "UPDATE keys SET proof = x'00'",
    ],
)
def test_what_the_gallery_says_of_itself_is_bound_to_the_key(gallery: Gallery, asked: str) -> None:
    put(gallery, asked)
    with pytest.raises(GalleryError, match=r"damaged|gallery of embedder"):
        opened(gallery.path, sealer=Sealer([A]))


def test_taking_the_encryption_away_behind_its_back_is_noticed(gallery: Gallery) -> None:
    put(gallery, "DELETE FROM keys")
    for ask in (gallery.list_identities, gallery.load_index, lambda: gallery.enrol("Eve", faces(1, 30))):
        with pytest.raises(GalleryError, match="not encrypted, although a key is configured"):
            ask()


@pytest.mark.parametrize("asked", ["UPDATE gallery SET audit_head = zeroblob(32)", "DELETE FROM audit WHERE seq = 2",
    "UPDATE audit SET actor_name = 'somebody else' WHERE seq = 2", "UPDATE gallery SET audit_start = 2"])  # fmt: skip
def test_the_end_of_the_audit_log_cannot_be_forged_without_the_key(gallery: Gallery, asked: str) -> None:
    assert not gallery.verify_audit().fault
    put(gallery, asked)
    assert gallery.verify_audit().fault


def test_it_goes_from_plain_to_encrypted_to_another_key_and_back(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with opened(path) as gallery:
        fill(gallery)
    first = rekey_gallery(path, Sealer([A]))
    assert (first.before, first.after, first.identities, first.embeddings) == ((), key_id_of(A), 2, 5)
    assert first.is_scrubbed
    assert not [secret for secret in secrets() if secret in everything(path)]
    with opened(path, sealer=Sealer([A])) as gallery:
        check(gallery)
    second = rekey_gallery(path, Sealer([B, A]))
    assert (second.before, second.after) == ((key_id_of(A),), key_id_of(B))
    with opened(path, sealer=Sealer([B])) as gallery:
        check(gallery)
        assert bytes.fromhex(key_id_of(A)) not in everything(path)
    third = rekey_gallery(path, Sealer([B]), to_plain=True)
    assert (third.before, third.after) == ((key_id_of(B),), "")
    with opened(path) as gallery:
        check(gallery)
        assert [row.action for row in gallery.audit()] == ["rekeyed"] * 3 + ["enrolled"] * 2
        assert gallery.revision == 5


def test_a_gallery_with_damage_is_not_sealed_over(gallery: Gallery) -> None:
    put(gallery, "UPDATE embeddings SET vector = zeroblob(97) WHERE id = 4")
    before = everything(gallery.path)
    with pytest.raises(GalleryError, match=f"damaged.*{gallery.get('Ariadne').id}"):
        rekey_gallery(gallery.path, Sealer([B, A]))
    assert everything(gallery.path) == before


def test_what_cannot_be_meant_by_rekey(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no key is configured.*privacy.key_file"):
        rekey_gallery(path, None)
    with pytest.raises(GalleryError, match="encrypted with key"):
        rekey_gallery(path, None, to_plain=True)
    with pytest.raises(GalleryError, match="which is not among"):
        rekey_gallery(path, Sealer([B]))
    with pytest.raises(GalleryError, match="no such file"):
        rekey_gallery(tmp_path / "none", Sealer([B]))


def full(path: Path) -> Callable[..., sqlite3.Connection]:
    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        made = sqlite3.connect(*args, **options)
        made.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096}")
        return made

    return connect


def test_a_disk_too_full_for_rekey_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with opened(path) as gallery:
        for number in range(20):
            gallery.enrol(f"Person {number}", faces(10, number, source="x" * 100))
    with pytest.raises(GalleryError, match="disk full"):
        rekey_gallery(path, Sealer([A]), connect=full(path))
    with opened(path) as gallery:
        assert len(gallery.load_index()) == 200
        assert {row.action for row in gallery.audit()} == {"enrolled"}


def test_who_has_it_open_meanwhile_is_told_and_writes_nothing_in_plain(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with opened(path) as gallery:
        fill(gallery)
        live = LiveIndex(lambda: opened(path), interval_s=0.0)
        rekey_gallery(path, Sealer([A]))
        for ask in (gallery.list_identities, lambda: gallery.enrol("Eve", faces(1, 30))):
            with pytest.raises(GalleryError, match=f"encrypted with key {key_id_of(A)}"):
                ask()
        live.refresh()
        assert f"encrypted with key {key_id_of(A)}" in live.problem
        assert len(live.index) == 5
        live.close()


def test_export_and_import_go_between_galleries_of_different_keys(gallery: Gallery, tmp_path: Path) -> None:
    export_gallery(gallery, tmp_path / "file", include_faces=True)
    with opened(tmp_path / "other", sealer=Sealer([B])) as other:
        import_gallery(other, tmp_path / "file")
        check(other)
        again = import_gallery(other, tmp_path / "file")
        assert (again.unchanged, again.embeddings) == (2, 0)


def test_a_copy_is_worth_nothing_without_the_key(path: Path, tmp_path: Path) -> None:
    stolen = shutil.copy(path, tmp_path / "stolen")
    with pytest.raises(GalleryError, match="encrypted with key"):
        opened(Path(stolen))
