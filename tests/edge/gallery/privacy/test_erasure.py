"""Somebody was erased, and that can be shown; what is still there is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.errors import UsageError
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.privacy.erasure import PIECES, erase, files_of
from edge.gallery.privacy.scan import counted
from edge.gallery.records import PNG_SIGNATURE
from edge.gallery.store import Gallery
from tests.edge.gallery.support import everything, faces, opened, raw

KEY = bytes(range(32))
PNG = PNG_SIGNATURE + np.random.default_rng(5).bytes(12_000)
"""Over several pages."""


def fill(path: Path, sealer: Sealer | None = None) -> Gallery:
    gallery = opened(path, sealer=sealer)
    gallery.enrol("Keeper of keys", faces(3, 9, png=PNG_SIGNATURE + bytes(500), source="all.jpg"), note="same note")
    gallery.enrol("Ariadne", faces(3, png=PNG, source="all.jpg"), note="same note", consent="knows the maze")
    return gallery


@pytest.mark.parametrize("sealer", [None, Sealer([KEY])], ids=["plain", "encrypted"])
def test_nothing_is_left_and_that_is_looked_for(tmp_path: Path, sealer: Sealer | None) -> None:
    path = tmp_path / "gallery.sqlite"
    gallery, other = fill(path, sealer), opened(path, sealer=sealer)
    ariadne = gallery.get("Ariadne")
    receipt = erase(gallery, "ariadne")
    assert receipt.found == ()
    assert receipt.is_verified
    assert receipt.erased.identity == ariadne.identity
    assert (receipt.erased.embeddings, receipt.erased.faces) == (3, 3)
    assert {Path(name).name for name in receipt.checked} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert receipt.searched > 25
    row = receipt.as_json()
    assert (row["verified"], row["id"], row["found"]) == (True, ariadne.id, [])
    assert any("broker" in text for text in row["not_covered"])
    assert any("exports" in text for text in row["not_covered"])
    data = everything(path)
    assert b"Ariadne" not in data
    assert data.count(ariadne.id.encode()) == len(gallery.audit(who=ariadne.id)) == 2
    assert [one.name for one in other.list_identities()] == ["Keeper of keys"]


def test_what_is_left_in_files_beside_it_is_found(tmp_path: Path) -> None:
    traces = {
        "gallery.sqlite.bak": ("name", b"Ariadne"),
        "gallery.sqlite-journal": ("consent", b"knows the maze"),
        ".gallery.sqlite.77-aa.new-wal": ("vector", faces(3)[2].embedding.vector.tobytes()[32:64]),
        "copy of gallery.sqlite": ("face", PNG[-64:]),
    }
    gallery = fill(tmp_path / "gallery.sqlite")
    for name, (_, trace) in traces.items():
        (tmp_path / name).write_bytes(b"x" * 1000 + trace + b"x" * 1000)
        (tmp_path / f"unconcerned {name[:3]}").write_bytes(trace)
    receipt = erase(gallery, "Ariadne")
    assert not receipt.is_verified
    assert {(Path(one.file).name, one.what) for one in receipt.found} == {
        (name, what) for name, (what, _) in traces.items()
    }


def test_what_is_left_in_the_database_itself_is_found(tmp_path: Path) -> None:
    gallery = fill(tmp_path / "gallery.sqlite")
    ariadne = gallery.get("Ariadne")
    connection = raw(gallery.path)
    connection.execute("CREATE TABLE forgotten (row)")
    for trace in (f"{ariadne.id}Ariadne", faces(3)[0].embedding.vector.tobytes(), ariadne.id):
        connection.execute("INSERT INTO forgotten VALUES (?)", (trace,))
    receipt = erase(gallery, ariadne.id)
    assert sorted(one.what for one in receipt.found) == ["id", "name", "vector"]
    assert {one.file for one in receipt.found} == {str(gallery.path)}


def test_what_others_have_too_is_not_taken_for_a_trace(tmp_path: Path) -> None:
    gallery = opened(tmp_path / "gallery.sqlite")
    for name in ("Ada", "Ada Lovelace", "Bo"):
        gallery.enrol(name, faces(2, png=PNG, source="album.jpg"), note="agreed in writing")
    twin = gallery.add_identity("Ada Lovelace", note="agreed in writing")
    for who in ("Ada", twin.id, "Bo"):
        receipt = erase(gallery, who)
        assert (receipt.found, receipt.is_verified) == ((), True)


def test_a_reader_that_keeps_old_pages_alive_is_told_of(tmp_path: Path) -> None:
    gallery, other = fill(tmp_path / "gallery.sqlite"), opened(tmp_path / "gallery.sqlite")
    gallery._connection.execute("PRAGMA busy_timeout = 50")

    def while_reading(connection: object) -> bool:
        other._connection.execute("SELECT count(*) FROM identities").fetchone()
        receipt = erase(gallery, "Ariadne")
        return receipt.erased.is_scrubbed or receipt.is_verified

    assert other.read(while_reading) is False
    assert gallery.scrub()
    assert b"Ariadne" not in everything(gallery.path)


def test_nobody_is_erased_who_is_not_there(tmp_path: Path) -> None:
    gallery = fill(tmp_path / "gallery.sqlite")
    with pytest.raises(UsageError, match="nobody called"):
        erase(gallery, "Theseus")
    assert gallery.revision == 2


def test_many_embeddings_are_looked_for_by_pieces(tmp_path: Path) -> None:
    gallery = opened(tmp_path / "gallery.sqlite")
    gallery.enrol("Ariadne", faces(500, 3))
    receipt = erase(gallery, "Ariadne")
    assert receipt.is_verified
    assert 200 <= receipt.searched <= 2 * PIECES + 10


def test_names_with_signs_of_patterns_are_found_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "g[1]*?.sqlite"
    for name in (path.name, f"{path.name}-wal", "g1x.sqlite"):
        shutil.copy(__file__, tmp_path / name)
    assert [one.name for one in files_of(path)] == sorted([path.name, f"{path.name}-wal"])


@pytest.mark.parametrize(
    ("data", "needle", "count"), [(b"", b"x", 0), (b"aaa", b"aa", 2), (b"abc" * 5000, b"cab", 4999), (b"a", b"ab", 0)]
)
def test_how_often(tmp_path: Path, data: bytes, needle: bytes, count: int) -> None:
    (tmp_path / "file").write_bytes(data)
    assert counted(tmp_path / "file", [needle]) == [count]
    assert counted(tmp_path / "none", [needle]) is None
