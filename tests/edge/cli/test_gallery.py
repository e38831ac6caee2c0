from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import load_bundle
from tests.edge.cli.conftest import Command, finished
from tests.support.bundles import make_bundle

RECORD_KEYS = {
    "id", "name", "note", "consent", "enabled", "groups", "zones", "schedule", "valid_from", "valid_until", "created_at",
    "updated_at", "embeddings", "faces", "origin", "enrolments", "stored", "matched",
}  # fmt: skip


def only(ostiary: Command, gallery: Path) -> Any:
    [row] = ostiary("gallery", "list", "--json", "--gallery", gallery).rows
    return row


def test_list(ostiary: Command, gallery: Path) -> None:
    row = only(ostiary, gallery)
    assert row.keys() == RECORD_KEYS
    assert (row["name"], row["note"], row["enabled"], row["embeddings"]) == ("Grace Hopper", "admiral", True, 1)
    lines = ostiary("gallery", "list", "--gallery", gallery).out.splitlines()
    assert lines[0].startswith(f"{gallery}: 1 identity, embedder ")
    assert lines[1].split() == [row["id"], "Grace", "Hopper", "1", "embedding"]


def test_show_by_name_or_id(ostiary: Command, gallery: Path, hopper_file: Path) -> None:
    wanted = only(ostiary, gallery)["id"]
    for who in (wanted, "Grace Hopper", "GRACE HOPPER"):
        result = ostiary("gallery", "show", "--json", "--gallery", gallery, who)
        [row] = result.rows
        assert row.keys() == RECORD_KEYS | {"sources"}
        assert row["id"] == wanted
        [source] = row["sources"]
        assert (source["source"], source["face_kept"]) == (str(hopper_file), False)
    text = ostiary("gallery", "show", "--gallery", gallery, wanted).out
    assert text.startswith(f"Grace Hopper\n  id       {wanted}\n  enabled  yes\n  valid    always\n")
    assert f"  from     {hopper_file} (quality 0." in text


def test_set_changes_only_what_is_given(ostiary: Command, gallery: Path) -> None:
    before = only(ostiary, gallery)
    changes = ["--name", "Admiral Hopper", "--valid-until", "2030-06-01T12:00:00+02:00"]
    result = ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *changes)
    assert result.code == 0
    assert result.out == f"Admiral Hopper ({before['id']}): 1 embedding  (until 2030-06-01T10:00:00Z)\n"
    after = only(ostiary, gallery)
    assert {key for key in after if after[key] != before[key]} <= {"name", "valid_until", "updated_at"}
    assert ostiary("gallery", "set", "--gallery", gallery, before["id"], "--valid-until", "", "--note", "").code == 0
    assert (only(ostiary, gallery)["valid_until"], only(ostiary, gallery)["note"]) == (None, "")


def test_the_disabled_are_not_recognized_and_of_the_expired_it_is_told(
    ostiary: Command, gallery: Path, hopper_file: Path
) -> None:
    def known() -> tuple[object, object]:
        [row] = ostiary("identify", "--json", "--gallery", gallery, hopper_file).rows
        [face] = row["faces"]
        return face["identity"] and face["identity"]["name"], face["validity"]

    assert known() == ("Grace Hopper", "valid")
    for away, back, expected in (
        (["--disable"], ["--enable"], (None, None)),
        (["--valid-until", "2020-01-01"], ["--valid-until", ""], ("Grace Hopper", "expired")),
        (["--valid-from", "2090-01-01"], ["--valid-from", ""], ("Grace Hopper", "not_yet_valid")),
    ):
        assert ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *away).code == 0
        assert known() == expected
        assert ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *back).code == 0
        assert known() == ("Grace Hopper", "valid")
    assert ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", "--valid-until", "2020-01-01").code == 0
    assert "; expired: a door refuses\n" in ostiary("identify", "--gallery", gallery, hopper_file).out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([], "nothing to change"),
        (["--name", ""], "name of 0 characters"),
        (["--name", "New", "--valid-from", "2030-01-01", "--valid-until", "2029-01-01"], "valid_from is not before"),
        (["--name", "New", "--valid-until", "soon"], "'soon' is no date"),
        (["--enable", "--disable"], "not allowed with"),
    ],
)
def test_set_changes_nothing_by_half(ostiary: Command, gallery: Path, changes: list[str], says: str) -> None:
    before = only(ostiary, gallery)
    result = ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *changes)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert only(ostiary, gallery) == before


def test_remove_asks_first(home: Path, gallery: Path, ostiary: Command) -> None:
    with Path("/dev/null").open("rb") as nobody:
        result = finished("gallery", "remove", "--gallery", gallery, "Grace Hopper", stdin=nobody)
    assert (result.code, result.out) == (2, "")
    assert "--yes" in result.err
    assert only(ostiary, gallery)["name"] == "Grace Hopper"


def test_export_and_import_are_a_round_trip(ostiary: Command, home: Path, gallery: Path, hopper_file: Path) -> None:
    export = home / "people.ostiary"
    assert ostiary("gallery", "export", "--json", "--gallery", gallery, export).rows == [
        {"file": str(export), "identities": 1}
    ]
    assert export.stat().st_mode & 0o777 == 0o600
    before = only(ostiary, gallery)
    fresh = home / "fresh.sqlite"
    first = ostiary("gallery", "import", "--json", "--gallery", fresh, export)
    assert first.rows == [{"added": 1, "changed": 0, "unchanged": 0, "embeddings": 1}]
    again = ostiary("gallery", "import", "--gallery", fresh, export)
    assert again.out == "0 added, 0 changed, 1 unchanged; 0 embeddings added\n"
    assert only(ostiary, fresh) == before
    [row] = ostiary("identify", "--json", "--gallery", fresh, hopper_file).rows
    assert row["faces"][0]["identity"] == {"id": before["id"], "name": "Grace Hopper"}


def test_what_only_looks_makes_no_file(ostiary: Command, home: Path) -> None:
    listed = ostiary("gallery", "list")
    assert (listed.code, listed.out) == (0, "")
    assert "ostiary enroll" in listed.err
    for words in (["show", "Ada"], ["remove", "--yes", "Ada"], ["export", "people"], ["set", "Ada", "--disable"]):
        result = ostiary("gallery", *words)
        assert (result.code, result.out) == (2, "")
        assert "no gallery yet" in result.err
    assert list(home.rglob("*")) == []


def test_nobody_of_that_name(ostiary: Command, gallery: Path) -> None:
    result = ostiary("gallery", "show", "--gallery", gallery, "Ada")
    assert (result.code, result.out) == (2, "")
    assert "nobody called 'Ada' is enrolled" in result.err


@pytest.mark.parametrize("words", [["identify"], ["enroll", "--name", "Ada"]], ids=" ".join)
def test_a_gallery_of_another_embedder_is_refused(
    ostiary: Command, tmp_path: Path, gallery: Path, hopper_file: Path, words: list[str]
) -> None:
    other = other_bundle(tmp_path)
    before = gallery.read_bytes()
    result = ostiary(*words, "--bundle", other, "--gallery", gallery, hopper_file)
    assert (result.code, result.out) == (4, "")
    assert "gallery of embedder" in result.err
    assert "'another-embedder'" in result.err
    assert gallery.read_bytes() == before
    # It can still be listed, exported and removed from.
    assert ostiary("gallery", "list", "--bundle", other, "--gallery", gallery).code == 0


def other_bundle(tmp_path: Path) -> Path:
    """The default bundle's networks under another embedder's name."""
    bundle = load_bundle()
    section = dataclasses.asdict(bundle.manifest.embedder)
    return make_bundle(
        tmp_path / "bundle",
        detector_file=bundle.path(bundle.manifest.detector.artifacts["model"]),
        embedder_file=bundle.path(bundle.manifest.embedder.artifact),
        overrides={"embedder": {**section, "artifact": "embedder.tflite", "embedder_id": "another-embedder"}},
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"SQLite format 3\0" + bytes(4080), b"a letter to a friend" * 300],
    ids=["empty", "hollow", "text"],
)
@pytest.mark.parametrize("words", [["gallery", "list"], ["identify"], ["enroll", "--name", "Ada"]], ids=" ".join)
def test_a_corrupt_gallery_is_refused_and_left_alone(
    ostiary: Command, home: Path, hopper_file: Path, content: bytes, words: list[str]
) -> None:
    path = home / "gallery.sqlite"
    path.write_bytes(content)
    pictures = [] if words[0] == "gallery" else [hopper_file]
    result = ostiary(*words, "--gallery", path, *pictures)
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith(f"ostiary: {path}: ")
    assert path.read_bytes() == content


def test_a_cut_off_gallery_is_refused(ostiary: Command, home: Path, gallery: Path, hopper_file: Path) -> None:
    path = Path(shutil.copy(gallery, home / "cut.sqlite"))
    path.write_bytes(gallery.read_bytes()[:6000])
    assert ostiary("identify", "--gallery", path, hopper_file).code == 4
