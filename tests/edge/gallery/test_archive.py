from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.datatypes import Embedding
from edge.errors import GalleryError, UsageError
from edge.gallery.archive import ImportReport, export_gallery, import_gallery
from edge.gallery.records import PNG_SIGNATURE, EnrolledFace
from edge.gallery.store import Gallery
from tests.edge.gallery.support import EMBEDDER, LENGTH, faces, opened, vectors

PNG = PNG_SIGNATURE + bytes(range(50))
Lines = list[dict[str, Any]]


def contents(gallery: Gallery) -> list[Any]:
    """Everything that an export must keep."""
    return [
        (record, [(one.embedding.vector.tobytes(), one.quality, one.source, one.face_png) for one in gallery.faces(record.id)])
        for record in gallery.list_identities()
    ]  # fmt: skip


def filled(path: Path) -> Gallery:
    gallery = opened(path)
    gallery.enrol("Ada", faces(3, 1, png=PNG), note="first")
    gallery.enrol("Grace", faces(2, 2))
    gallery.set_enabled("Grace", enabled=False)
    gallery.set_validity("Grace", valid_from=None, valid_until=4e9)
    gallery.add_identity("Nobody yet")
    return gallery


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.gz"
    with filled(tmp_path / "source.sqlite") as gallery:
        assert export_gallery(gallery, path, include_faces=True) == 3
    return path


def read_lines(path: Path) -> Lines:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write_lines(path: Path, lines: Lines) -> None:
    """With a right digest: what is refused is refused for what it says."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines if line.get("kind") != "end")
    if any(line.get("kind") == "end" for line in lines):
        body += json.dumps({"kind": "end", "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"
    path.write_bytes(gzip.compress(body))


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TIMES = st.none() | st.floats(0, 1e10)


@st.composite
def people(draw: st.DrawFn) -> list[tuple[str, str, list[EnrolledFace], tuple[float | None, float | None]]]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        made = vectors(draw(st.integers(0, 3)), draw(st.integers(0, 99)))
        given_faces = [
            EnrolledFace(Embedding(vector, EMBEDDER), draw(st.floats(0, 1)), draw(TEXTS), draw(st.sampled_from([None, PNG])))
            for vector in made
        ]  # fmt: skip
        begin, end = draw(TIMES), draw(TIMES)
        span = (begin, end) if begin is None or end is None or begin < end else (None, None)
        found.append((f"{draw(NAMES)} {number}", draw(TEXTS), given_faces, span))
    return found


@given(people())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_round_trip_keeps_everything_and_a_second_import_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, given_people: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    with opened(folder / "a") as source, opened(folder / "b") as target:
        for name, note, some_faces, (begin, end) in given_people:
            identity = source.add_identity(name, note=note, valid_from=begin, valid_until=end)
            if some_faces:
                source.add_embeddings(identity.id, some_faces)
        export_gallery(source, folder / "file", include_faces=True)
        before = contents(source)

        report = import_gallery(target, folder / "file")
        assert contents(target) == before
        assert report == ImportReport(added=len(before), embeddings=sum(len(one[1]) for one in before))
        revision = target.revision
        assert import_gallery(target, folder / "file") == ImportReport(unchanged=len(before))
        assert target.revision == revision
        import_gallery(target, folder / "file", on_conflict="replace")
        assert contents(target) == before


def test_faces_stay_behind_unless_asked_for(tmp_path: Path) -> None:
    with filled(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        export_gallery(source, tmp_path / "file")
        import_gallery(target, tmp_path / "file")
        assert [record.faces for record in target.list_identities()] == [0, 0, 0]
        assert [record.embeddings for record in target.list_identities()] == [3, 2, 0]
    assert base64.b64encode(PNG) not in gzip.decompress((tmp_path / "file").read_bytes())


def test_the_export_is_for_its_owner_alone_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("older")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        with filled(tmp_path / "a") as gallery:
            export_gallery(gallery, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "file"]
    assert read_lines(path)[0]["identities"] == 3


def test_an_export_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("older")
    with filled(tmp_path / "a") as gallery:
        with gallery.change() as connection:
            connection.execute("UPDATE embeddings SET checksum = 0 WHERE id = 5")
        with pytest.raises(GalleryError, match="damaged"):
            export_gallery(gallery, path)
    assert path.read_text() == "older"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "file"]


@pytest.mark.parametrize("where", ["a/x/file", "a"])
def test_an_export_goes_nowhere_near_the_gallery_itself(tmp_path: Path, where: str) -> None:
    with filled(tmp_path / "a") as gallery:
        with pytest.raises((GalleryError, UsageError)):
            export_gallery(gallery, tmp_path / where)
        assert len(gallery.list_identities()) == 3


@pytest.mark.parametrize(
    ("on_conflict", "report", "name", "embeddings"),
    [
        ("merge", ImportReport(added=2, changed=1, embeddings=4), "Countess", 4),
        ("replace", ImportReport(added=2, changed=1, embeddings=5), "Ada", 3),
        ("keep", ImportReport(added=2, unchanged=1, embeddings=2), "Countess", 2),
    ],
)
def test_an_identity_that_is_here_already(
    tmp_path: Path, on_conflict: Any, report: ImportReport, name: str, embeddings: int
) -> None:
    with filled(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        export_gallery(source, tmp_path / "file")
        whole = faces(3, 1)
        ada = source.get("Ada")
        with target.change() as connection:
            target.identities.insert(connection, ada)
            target.embeddings.insert(connection, ada.id, [whole[0], faces(1, 50)[0]], 1.0)
        target.rename(ada.id, "Countess")
        revision = target.revision
        assert import_gallery(target, tmp_path / "file", on_conflict=on_conflict) == report
        assert (target.get(ada.id).name, target.get(ada.id).embeddings) == (name, embeddings)
        assert target.revision == revision + 1


def test_an_unknown_way_to_merge_is_refused(tmp_path: Path, export: Path) -> None:
    with opened(tmp_path / "b") as target, pytest.raises(UsageError, match="merge, replace, keep"):
        import_gallery(target, export, on_conflict="overwrite")  # type: ignore[arg-type]


def vector_of(values: Any) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def put(line: int, key: str, value: Any, **more: Any) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        lines[line].update({key: value, **more})

    return change


def drop(line: int, key: str) -> Callable[[Lines], None]:
    return lambda lines: lines[line].pop(key)


WORD = {
    "kind": "synced",
    "origin": "staff",
    "identity_id": "01HZXW3J9Q8V6T5R4S3D2F1G00",
    "revision": 7,
    "state": "removed",
}
WRONG: list[tuple[Callable[[Lines], Any], str]] = [
    (put(0, "schema", 4), "line 1: export of schema 4, from a newer version; expected schema 3"),
    (put(0, "schema", "1"), "line 1.*gallery.schema"),
    (put(0, "embedders", {}, embedder_id="other"), "line 1: export of embedder 'other'.*expected one of 'test-1'"),
    (put(0, "embedding_length", 15), "line 1: export of embedder"),
    (put(0, "embedders", {"test-2": "16"}), "line 1.*gallery.embedders"),
    (put(0, "identities", 10**9), "line 1.*gallery.identities"),
    (put(0, "embeddings", -1), "line 1.*gallery.embeddings"),
    (put(0, "identities", 2), "3 identities and 5 embeddings; expected 2 and 5"),
    (put(0, "embeddings", 6), "3 identities and 5 embeddings; expected 3 and 6"),
    (put(0, "embeddings", 4), "expected 3 and 4"),
    (put(0, "surprise", 1), "line 1.*gallery.surprise: unknown key"),
    (put(0, "kind", "identity"), "line 1"),
    (lambda lines: lines.pop(0), "line 1: no header"),
    (lambda lines: lines.insert(2, lines[0]), "line 3: a second header"),
    (lambda lines: lines.pop(), "the file ends"),
    (lambda lines: lines.append({"kind": "more"}), "kind 'more'"),
    (lambda lines: lines.pop(1), "line 2: an embedding before any identity"),
    (lambda lines: lines.insert(2, lines[1]), "line 3: identity .* again"),
    (put(1, "id", "../../etc"), "line 2.*identity.id"),
    (put(1, "name", " Ada"), "line 2: name ' Ada'"),
    (put(1, "name", ""), "line 2: name of 0 characters"),
    (put(1, "name", "a\nb"), r"line 2: name .* U\+000A"),
    (put(1, "name", None), "line 2.*identity.name"),
    (put(1, "note", "x" * 3000), "line 2: note of 3000"),
    (put(1, "note", "\udcff"), "line 2: note"),
    (put(1, "consent", "x" * 3000), "line 2: consent of 3000"),
    (put(1, "consent", None), "line 2.*identity.consent"),
    (put(1, "groups", ["night shift"]), "line 2: group 'night shift'"),
    (put(1, "groups", "staff"), "line 2.*identity.groups"),
    (put(1, "zones", ["a"] * 51), "line 2: 51 names of a zone"),
    (put(1, "zones", [1]), "line 2.*identity.zones"),
    (put(1, "schedule", "whenever"), "line 2: schedule 'whenever'"),
    (put(1, "schedule", "mon 08:00-09:00;" * 200), "line 2: schedule of"),
    (put(1, "enabled", 1), "line 2.*identity.enabled"),
    (put(1, "created_at", 10**400), "line 2.*identity.created_at"),
    (put(2, "added_at", -(10**400)), "line 3.*embedding.added_at"),
    (put(1, "valid_until", 1e999), "line 2: not JSON .Infinity"),
    (put(1, "valid_from", 5e9), "line 2.*valid_from|valid_from"),
    (drop(1, "note"), "line 2.*identity.note: missing"),
    (put(2, "vector", vector_of(np.full(LENGTH, np.nan))), "line 3: embedding: expected length 1"),
    (put(2, "vector", vector_of(np.full(LENGTH, 3e38))), "line 3: embedding: expected length 1"),
    (put(2, "vector", vector_of(np.zeros(LENGTH))), "line 3: embedding: expected length 1"),
    (put(2, "vector", vector_of(vectors(1)[0][:-1])), "line 3: embedding of 60 bytes; expected 16 values"),
    (put(2, "vector", "?"), "line 3: not base64"),
    (put(2, "vector", "Ω"), "line 3: not base64"),
    (put(2, "quality", 1.5), "line 3.*embedding.quality"),
    (put(2, "quality", float("nan")), "line 3: not JSON .NaN"),
    (put(2, "source", "x" * 2000), "line 3: source"),
    (put(2, "source", "\ud800"), "line 3: source"),
    (put(2, "face", base64.b64encode(b"<svg>").decode()), "line 3: face: expected a PNG"),
    (put(2, "face", "A" * 2_000_000), "line 3: line too long"),
    (put(2, "extra", {}), "line 3.*embedding.extra: unknown key"),
    (put(2, "embedder", "other"), "line 3: embedder 'other'; expected one of test-1"),
    (put(2, "embedder", "a b"), "line 3.*embedding.embedder"),
    (put(2, "others", {"other": vector_of(vectors(1)[0])}), "line 3: embedder 'other'"),
    (put(2, "others", {"test-1": vector_of(vectors(1)[0])}), "line 3: embeddings: expected one of each embedder"),
    (put(2, "others", {"test-1": "?"}), "line 3: not base64"),
    (put(2, "template", "../x"), "line 3.*embedding.template"),
    (put(1, "origin", "a b"), "line 2.*identity.origin"),
    (put(0, "synced", 1), "3 identities and 5 embeddings, and 0 of groups; expected 3 and 5, and 1"),
    (
        lambda lines: lines.insert(1, WORD),
        "line 2: 0 identities and 0 embeddings, and 1 of groups; expected 3 and 5, and 0",
    ),
    (lambda lines: (lines[0].update(synced=1), lines.insert(2, WORD)), "line 3: a word of a group behind an identity"),
    (lambda lines: lines.insert(1, {**WORD, "state": "gone"}), "line 2.*synced.state"),
    (lambda lines: lines.insert(1, {**WORD, "revision": -1}), "line 2.*synced.revision"),
]


@pytest.mark.parametrize(("change", "expected"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_file_that_says_something_wrong_changes_nothing(
    tmp_path: Path, export: Path, change: Callable[[Lines], Any], expected: str
) -> None:
    lines = copy.deepcopy(read_lines(export))
    if "valid_from" in expected:
        lines[1]["valid_until"] = 4e9
    change(lines)
    write_lines(export, lines)
    refuse(tmp_path, export, expected)


@pytest.mark.parametrize("version", [1, 2])
def test_an_export_of_an_older_version_is_still_read(tmp_path: Path, export: Path, version: int) -> None:
    lines = read_lines(export)
    lines[0]["schema"] = version
    since = ("embedders", "synced", "embedder", "others", "template", "origin")
    for line in lines:
        for key in (*since, *(("consent", "groups", "zones", "schedule") if version == 1 else ())):
            line.pop(key, None)
    write_lines(export, lines)
    with opened(tmp_path / "target") as target:
        assert import_gallery(target, export) == ImportReport(added=3, embeddings=5)
        assert {(one.consent, one.groups, one.zones, one.origin) for one in target.list_identities()} == {
            ("", (), (), "")
        }


def refuse(tmp_path: Path, export: Path, expected: str) -> None:
    with opened(tmp_path / "target") as target:
        target.enrol("Here before", faces(1))
        before = contents(target)
        with pytest.raises(GalleryError, match=rf"(?s)export\.gz.*({expected})"):
            import_gallery(target, export)
        assert contents(target) == before
        assert target.revision == 1
        import_again = target.enrol("Still open", faces(1))
        assert import_again.embeddings == 1


def test_a_wrong_digest_is_told(tmp_path: Path, export: Path) -> None:
    lines = read_lines(export)
    lines[1]["note"] = "tampered"
    export.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    refuse(tmp_path, export, "SHA-256 .* expected")


def test_every_truncation_of_an_export_is_refused(tmp_path: Path, export: Path) -> None:
    whole = export.read_bytes()
    with opened(tmp_path / "target") as target:
        for length in sorted({*range(0, len(whole), 37), len(whole) - 1, len(whole) - 8}):
            export.write_bytes(whole[:length])
            with pytest.raises(GalleryError, match=r"line \d+"):
                import_gallery(target, export)
        assert target.revision == 0


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_refused(tmp_path: Path, noise: bytes, packed: bool) -> None:  # noqa: FBT001 -- hypothesis gives it
    path = tmp_path / "export.gz"
    path.write_bytes(gzip.compress(noise) if packed else noise)
    with opened(tmp_path / "target") as target, pytest.raises(GalleryError, match="line 1"):
        import_gallery(target, path)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1" * 5000, b'"' + b"\\ud800" * 10 + b'"', b"null", b"[]", b"\xff"])
def test_json_made_to_break_parsers_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "export.gz"
    path.write_bytes(gzip.compress(body + b"\n"))
    refuse(tmp_path, path, "line 1")


def bomb(lines: Lines) -> bytes:
    """Two hundred megabytes of valid lines in two hundred kilobytes."""
    lines[0]["identities"], lines[0]["embeddings"] = 1, 200
    lines[2]["face"] = base64.b64encode(PNG_SIGNATURE + bytes(999_000)).decode()
    head = b"".join(json.dumps(line).encode() + b"\n" for line in lines[:2])
    return gzip.compress(head + (json.dumps(lines[2]).encode() + b"\n") * 60, 9)


def test_a_decompression_bomb_is_refused(tmp_path: Path, export: Path) -> None:
    export.write_bytes(bomb(read_lines(export)))
    assert export.stat().st_size < 500_000
    refuse(tmp_path, export, "grows to more than")


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir])
def test_an_export_that_is_not_there(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "export.gz")
    with opened(tmp_path / "target") as target, pytest.raises(GalleryError, match="cannot be read"):
        import_gallery(target, tmp_path / "export.gz")
