"""One gallery, two embedders: the switch, the way back, and what becomes of whom."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.align import TEMPLATES
from edge.datatypes import Image
from edge.errors import EXIT_REJECTED, GalleryError
from edge.gallery.archive import ImportReport, export_gallery, import_gallery
from edge.gallery.encryption.rekey import rekey_gallery
from edge.gallery.encryption.sealing import sealer_of
from edge.gallery.kept_faces import face_from, place_in, size_of, template_of
from edge.gallery.live import LiveIndex
from edge.gallery.opening import gallery_of, open_gallery
from edge.gallery.privacy.erasure import erase
from edge.gallery.privacy.person import export_person
from edge.gallery.pruning import prune
from edge.gallery.reembedding import Plan, apply, plan
from edge.gallery.store import Gallery
from tests.edge.gallery.networks import (
    ARCFACE,
    FACENET,
    FIRST,
    SECOND,
    SPHEREFACE,
    Network,
    enrolled,
    images,
    models_of,
    settings_of,
)  # fmt: skip
from tests.edge.gallery.support import everything, raw

PEOPLE = {"Ada": 1, "Grace": 2, "Mary": 3}
"""Name -> seed of two pictures."""


class Door:
    """A gallery that two bundles take turns with."""

    def __init__(self, folder: Path, *, is_sealed: bool = False, template: str = ARCFACE) -> None:
        self.path = folder / "gallery.sqlite"
        key_file = folder / "key"
        if is_sealed:
            key_file.write_text(base64.b64encode(bytes(range(32))).decode())
            key_file.chmod(0o600)
        self.settings = settings_of(self.path, key_file=key_file if is_sealed else None)
        self.first, self.second = Network(FIRST), Network(SECOND, length=24, template=template)
        self.models = {one.embedder_id: models_of(folder / "bundles", one) for one in (self.first, self.second)}

    def open(self, network: Network) -> Gallery:
        return gallery_of(self.settings, self.models[network.embedder_id].bundle.manifest)

    def enrol(self, name: str, network: Network, seed: int, *, keep: bool = True, told: bool = True) -> None:
        pictures = images(2, seed, network.template)
        with self.open(network) as gallery:
            gallery.enrol(name, enrolled(network, pictures, keep=keep, told=told))

    def plan(self, network: Network) -> Plan:
        return plan(self.settings, self.models[network.embedder_id].bundle.manifest)

    def apply(self, network: Network, *, leave_out: bool = False) -> Any:
        return apply(self.settings, self.models[network.embedder_id], leave_out=leave_out)

    def recognized(self, network: Network, template: str = ARCFACE) -> dict[str, str | None]:
        """Who is taken for whom, of those in PEOPLE."""
        found = {}
        with self.open(network) as gallery:
            index = gallery.load_index()
            for name, seed in PEOPLE.items():
                match = index.search(network.vector(as_seen(images(2, seed, template)[1], network.template)))
                found[name] = match.identity.name if match.identity and match.similarity > 0.999 else None
        return found


def as_seen(image: Image, template: str) -> Image:
    """A face of arcface-112x112 as sphereface-112x96 has it."""
    return image[:, 8:104] if template == SPHEREFACE and image.shape[1] == 112 else image


@pytest.fixture(params=[False, True], ids=["plain", "sealed"])
def door(tmp_path: Path, request: pytest.FixtureRequest) -> Door:
    made = Door(tmp_path, is_sealed=request.param)
    for name, seed in PEOPLE.items():
        made.enrol(name, made.first, seed)
    return made


ALL = {name: name for name in PEOPLE}


def test_everybody_is_recognized_after_the_switch_and_after_the_way_back(door: Door) -> None:
    with pytest.raises(GalleryError, match=r"(?s)gallery of embedder 'test-1'.*re-embed"):
        door.open(door.second)
    found = door.plan(door.second)
    assert (found.is_required, found.is_allowed, found.faces, len(found.again), found.lost) == (True, True, 6, 3, ())
    done = door.apply(door.second)
    assert (done.embeddings, done.identities, done.left_out) == (6, 3, ())
    assert door.recognized(door.second) == ALL
    assert door.recognized(door.first) == ALL
    with door.open(door.second) as gallery:
        assert [(one.embedder_id, one.embedding_length, one.embeddings) for one in gallery.embedders()] == [
            (FIRST, 16, 6), (SECOND, 24, 6),
        ]  # fmt: skip
        assert len(gallery.load_index()) == 6
        [newest, *_] = gallery.audit(limit=1)
        assert (newest.action, newest.identity_id, newest.embeddings) == ("re_embedded", "", 6)
        assert not gallery.verify_audit().fault


def test_the_new_embeddings_are_those_that_enrolling_again_would_make(door: Door) -> None:
    door.apply(door.second)
    with door.open(door.second) as gallery:
        faces = gallery.faces("Grace")
    expected = [door.second.vector(image).tobytes() for image in images(2, PEOPLE["Grace"])]
    assert [face.embedding.vector.tobytes() for face in faces] == expected
    assert [[one.embedder_id for one in face.embeddings] for face in faces] == [[SECOND, FIRST]] * 2
    assert [(face.quality, face.source, face.template) for face in faces] == [
        (0.5, "0.jpg", ARCFACE),
        (0.5, "1.jpg", ARCFACE),
    ]


def test_done_again_it_does_nothing(door: Door) -> None:
    door.apply(door.second)
    before, count = everything(door.path), door.second.embedded
    found = door.plan(door.second)
    assert (found.is_done, found.is_required, found.people) == (True, False, ())
    assert door.apply(door.second).embeddings == 0
    assert (door.second.embedded, everything(door.path)) == (count, before)


def test_erasing_somebody_erases_the_embeddings_of_both_and_the_face(door: Door) -> None:
    door.apply(door.second)
    with door.open(door.second) as gallery:
        assert (gallery.get("Ada").embeddings, gallery.get("Ada").stored, gallery.get("Ada").faces) == (2, 4, 2)
        faces = gallery.faces("Ada")
        receipt = erase(gallery, "Ada")
    assert (receipt.erased.embeddings, receipt.erased.faces, receipt.is_verified) == (4, 2, True)
    left = everything(door.path)
    for face in faces:
        assert face.face_png is not None
        assert not any(one.vector.astype("<f4").tobytes() in left for one in face.embeddings)
        assert face.face_png not in left
    asked = "SELECT (SELECT count(*) FROM enrolments), (SELECT count(*) FROM embeddings), (SELECT count(*) FROM faces)"
    assert raw(door.path).execute(asked).fetchone() == (4, 8, 4)


def test_who_was_enrolled_after_the_switch_is_told_and_embedded_on_the_way_back(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.apply(door.second)
    door.enrol("New", door.second, 9)
    with door.open(door.first) as gallery:
        record = gallery.get("New")
        assert (record.embeddings, record.enrolments, record.is_lacking) == (0, 2, True)
        index = gallery.load_index()
        assert (index.lacking, len(index)) == (1, 6)
    door.enrol("Ada", door.second, 10)
    with door.open(door.first) as gallery:
        # Ada is matched with what there is of her.
        assert (gallery.load_index().lacking, gallery.get("Ada").embeddings, gallery.get("Ada").enrolments) == (1, 2, 4)
    found = door.plan(door.first)
    assert (found.is_required, [one.name for one in found.again], found.faces) == (False, ["Ada", "New"], 4)
    assert door.apply(door.first).embeddings == 4
    with door.open(door.first) as gallery:
        assert (gallery.load_index().lacking, len(gallery.load_index())) == (0, 10)


def test_without_leave_nothing_is_embedded(door: Door) -> None:
    door.settings = dataclasses.replace(
        door.settings, updates=dataclasses.replace(door.settings.updates, re_embed=False)
    )
    before = everything(door.path)
    assert door.plan(door.second).is_allowed is False
    for leave_out in (False, True):
        with pytest.raises(GalleryError, match=r"(?s)3 of 3 people have no embedding of 'test-2'.*re_embed") as caught:
            door.apply(door.second, leave_out=leave_out)
        assert caught.value.exit_code == EXIT_REJECTED
    assert (everything(door.path), door.second.embedded) == (before, 0)


def test_whoever_would_be_lost_is_named_and_left_out_only_when_told_so(door: Door) -> None:
    door.enrol("Nameless", door.first, 20, keep=False)
    door.enrol("Mary", door.first, 21, keep=False)
    found = door.plan(door.second)
    assert [(one.name, one.possible, one.enrolments, one.reason) for one in found.people] == [
        ("Ada", 2, 2, None), ("Grace", 2, 2, None), ("Mary", 2, 4, "no_face"), ("Nameless", 0, 2, "no_face"),
    ]  # fmt: skip
    before = everything(door.path)
    with pytest.raises(
        GalleryError, match=r"1 of 4 people would not be recognized any more \(Nameless\): no aligned face"
    ):
        door.apply(door.second)
    assert everything(door.path) == before
    done = door.apply(door.second, leave_out=True)
    assert (done.embeddings, [one.name for one in done.left_out]) == (6, ["Nameless"])
    assert door.recognized(door.second) == ALL
    with door.open(door.second) as gallery:
        assert [one.name for one in gallery.list_identities() if one.is_lacking] == ["Nameless"]


@pytest.mark.parametrize(
    ("kept", "wanted", "place"),
    [
        (ARCFACE, ARCFACE, (0, 0)), (SPHEREFACE, SPHEREFACE, (0, 0)), (FACENET, FACENET, (0, 0)),
        (ARCFACE, SPHEREFACE, (8, 0)),
        (SPHEREFACE, ARCFACE, None), (ARCFACE, FACENET, None), (FACENET, ARCFACE, None), (FACENET, SPHEREFACE, None),
    ],
)  # fmt: skip
def test_which_kept_face_serves_which_alignment(kept: str, wanted: str, place: tuple[int, int] | None) -> None:
    assert place_in(TEMPLATES[kept], TEMPLATES[wanted]) == place


def test_a_face_for_sphereface_is_cut_out_of_one_for_arcface(tmp_path: Path) -> None:
    door = Door(tmp_path, template=SPHEREFACE)
    for name, seed in PEOPLE.items():
        door.enrol(name, door.first, seed)
    assert door.apply(door.second).embeddings == 6
    assert door.recognized(door.second) == ALL
    assert door.recognized(door.first) == ALL


def test_a_face_that_serves_no_other_alignment_is_refused(tmp_path: Path) -> None:
    door = Door(tmp_path, template=FACENET)
    door.enrol("Ada", door.first, 1)
    assert door.plan(door.second).people[0].reason == "other_template"
    with pytest.raises(GalleryError, match=r"1 of 1 people .*\(Ada\): the kept face is aligned otherwise"):
        door.apply(door.second)
    # Left out, nobody is recognized, but the bundle may run: people are enrolled with it from then on.
    assert [one.name for one in door.apply(door.second, leave_out=True).left_out] == ["Ada"]
    with door.open(door.second) as gallery:
        assert (len(gallery.load_index()), gallery.load_index().lacking) == (0, 1)


@pytest.mark.parametrize("template", [ARCFACE, SPHEREFACE, FACENET])
def test_of_a_face_that_an_older_version_kept_the_size_tells_the_alignment(template: str) -> None:
    [face] = enrolled(Network(FIRST, template=template), images(1, 1, template), told=False)
    assert face.face_png is not None
    assert size_of(face.face_png) == (TEMPLATES[template].width, TEMPLATES[template].height)
    assert template_of(face.face_png, face.template) == TEMPLATES[template]
    assert template_of(b"\x89PNG\r\n\x1a\n" + b"a kept face", "") is None
    assert template_of(face.face_png, "arcface-96x96") is None
    aligned = face_from(face.face_png, TEMPLATES[template], TEMPLATES[template], "here")
    assert np.array_equal(aligned.image, images(1, 1, template)[0])


def test_faces_that_an_older_version_kept_serve(tmp_path: Path) -> None:
    door = Door(tmp_path)
    for name, seed in PEOPLE.items():
        door.enrol(name, door.first, seed, told=False)
    assert door.apply(door.second).embeddings == 6
    assert door.recognized(door.second) == ALL


def test_a_damaged_face_counts_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    door = Door(tmp_path)
    for name, seed in PEOPLE.items():
        door.enrol(name, door.first, seed)
    damage = "UPDATE faces SET png = CAST(substr(png, 1, length(png) - 40) || zeroblob(40) AS BLOB) WHERE enrolment_id"
    raw(door.path).execute(f"{damage} = 2")
    done = door.apply(door.second)
    assert (done.embeddings, done.identities, done.left_out) == (5, 3, ())
    assert "a kept face of" in caplog.text
    with door.open(door.second) as gallery:
        gallery.remove("Ada")
    door.enrol("Ada", door.first, 1)
    raw(door.path).execute(f"{damage} > 6")
    with pytest.raises(GalleryError, match=r"\(Ada\): the kept face is damaged"):
        door.apply(door.second)
    assert [one.reason for one in door.apply(door.second, leave_out=True).left_out] == ["damaged"]


def test_who_comes_and_goes_meanwhile(door: Door) -> None:
    def meanwhile(_: object) -> None:
        door.second.watch = lambda _: None
        with door.open(door.first) as gallery:
            gallery.remove("Grace")
        door.enrol("New", door.first, 30)

    door.second.watch = meanwhile
    done = door.apply(door.second)
    assert (done.embeddings, done.identities, done.left_out) == (6, 3, ())
    assert door.recognized(door.second) == {**ALL, "Grace": None}
    with door.open(door.second) as gallery:
        assert (len(gallery.load_index()), gallery.load_index().lacking) == (6, 0)
    assert raw(door.path).execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_gallery_of_nobody_serves_any_bundle_and_there_may_be_none_at_all(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert door.plan(door.second).is_done
    assert door.apply(door.second).embeddings == 0
    assert not door.path.exists()
    door.open(door.first).close()
    assert (door.plan(door.second).is_required, door.plan(door.second).identities) == (False, 0)
    door.enrol("Ada", door.second, 1)
    with door.open(door.second) as gallery:
        assert len(gallery.load_index()) == 1 + 1
    with door.open(door.first) as gallery:
        assert gallery.load_index().lacking == 1


def test_an_embedder_of_that_name_with_another_length_is_refused(door: Door, tmp_path: Path) -> None:
    other = Network(FIRST, length=32)
    door.models["other"] = models_of(tmp_path / "others", other)
    with pytest.raises(
        GalleryError, match=r"gallery of embedder 'test-1' \(16 values\).*expected one of 'test-1' \(32"
    ):
        apply(door.settings, door.models["other"])
    with pytest.raises(GalleryError, match="16 values"):
        gallery_of(door.settings, door.models["other"].bundle.manifest)


RENAME = [
    "UPDATE embedders SET embedder_id = 'x' || embedder_id",
    "UPDATE embedders SET embedder_id = 'test-' || (3 - number)",
]
COPY = "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE embedder = 1 LIMIT 1) WHERE id = 3"


@pytest.mark.parametrize(
    ("asked", "used", "refused"),
    [
        (["DELETE FROM embeddings WHERE id = 3", "UPDATE embeddings SET embedder = 2 WHERE id = 1"], 1, 1),
        (RENAME, 0, 2),
        ([COPY], 1, 1),
        (["UPDATE faces SET template = 'sphereface-112x96' WHERE enrolment_id = 1"], 2, 0),
    ],
    ids=["relabelled", "renamed", "copied", "aligned otherwise"],
)
def test_sealed_values_are_bound_to_their_embedder_and_alignment(
    tmp_path: Path, asked: list[str], used: int, refused: int
) -> None:
    door = Door(tmp_path, is_sealed=True)
    door.second = Network(SECOND)
    door.models[SECOND] = models_of(tmp_path / "others", door.second)
    door.enrol("Ada", door.first, 1)
    door.apply(door.second)
    connection = raw(door.path)
    for statement in asked:
        connection.execute(statement)
    for row_id, vector in connection.execute("SELECT id, vector FROM embeddings").fetchall():
        connection.execute("UPDATE embeddings SET checksum = ? WHERE id = ?", (zlib.crc32(vector), row_id))
    with door.open(door.second) as gallery:
        index = []
        with contextlib.suppress(GalleryError):
            index = [(len(one), one.refused_rows) for one in [gallery.load_index()]]
        # Where all are of no use the gallery says so.
        assert index == ([] if not used else [(used, refused)])
        with pytest.raises(GalleryError, match="damaged"):
            gallery.faces("Ada")


def test_pruning_takes_what_serves_nobody(door: Door) -> None:
    door.apply(door.second)
    door.enrol("Old", door.first, 40, keep=False)
    door.enrol("New", door.second, 41)
    assert prune(door.settings, {FIRST, SECOND}).removed == {}
    tried = prune(door.settings, {SECOND}, dry_run=True)
    assert (tried.removed, tried.left) == ({FIRST: 6}, {FIRST: 2})
    with door.open(door.first) as gallery:
        gone = [face.embedding.vector.astype("<f4").tobytes() for face in gallery.faces("Ada")]
        assert (len(gallery.load_index()), gallery.revision) == (8, 6)
    assert prune(door.settings, {SECOND}) == tried
    assert not any(vector in everything(door.path) for vector in gone)
    assert door.recognized(door.second) == ALL
    with door.open(door.first) as gallery:
        assert [gallery.get(name).embeddings for name in ("Ada", "New", "Old")] == [0, 0, 2]
        assert [row.action for row in gallery.audit(limit=1)] == ["embedder_pruned"]
        gallery.remove("Old")
    prune(door.settings, {SECOND})
    with pytest.raises(GalleryError, match="gallery of embedder 'test-2'"):
        door.open(door.first)
    # The faces are there still: the way back is to embed everybody again.
    assert door.apply(door.first).embeddings == 8
    assert door.recognized(door.first) == ALL


def test_pruning_for_no_embedder_is_a_mistake(door: Door) -> None:
    with pytest.raises(ValueError, match="at least one embedder"):
        prune(door.settings, set())
    assert prune(door.settings, {"unknown"}).removed == {}
    assert door.recognized(door.first) == ALL


def test_exports_have_the_embeddings_of_both(door: Door, tmp_path: Path) -> None:
    early, late = tmp_path / "early.gz", tmp_path / "late.gz"
    with door.open(door.first) as gallery:
        export_gallery(gallery, early)
    door.apply(door.second)
    with door.open(door.second) as gallery:
        assert export_gallery(gallery, late, include_faces=True) == 3
        person = tmp_path / "ada.zip"
        assert export_person(gallery, "Ada", person).embeddings == 4
    with zipfile.ZipFile(person) as archive:
        rows = json.loads(archive.read("ostiary-person/embeddings.json"))
    assert [(row["number"], row["embedder"], len(row["vector"])) for row in rows] == [
        (number, *one) for number in (1, 2) for one in ((SECOND, 24), (FIRST, 16))
    ]
    for network in (door.first, door.second):
        other = tmp_path / network.embedder_id / "gallery.sqlite"
        options = {"embedder_id": network.embedder_id, "embedding_length": network.length}
        with open_gallery(other, **options) as gallery:
            assert import_gallery(gallery, late) == ImportReport(added=3, embeddings=12)
            assert import_gallery(gallery, late) == ImportReport(unchanged=3)
            faces = gallery.faces("Ada")
            assert [face.template for face in faces] == [ARCFACE] * 2
            assert {one.embedder_id for face in faces for one in face.embeddings} == {FIRST, SECOND}
            assert len(gallery.load_index()) == 6


def test_an_import_adds_the_embeddings_of_an_embedder_that_were_missing(door: Door, tmp_path: Path) -> None:
    with door.open(door.first) as gallery:
        export_gallery(gallery, tmp_path / "early.gz", include_faces=True)
    door.apply(door.second)
    with door.open(door.second) as gallery:
        export_gallery(gallery, tmp_path / "late.gz")
    with open_gallery(tmp_path / "other", embedder_id=FIRST, embedding_length=16) as other:
        assert import_gallery(other, tmp_path / "early.gz").embeddings == 6
        assert import_gallery(other, tmp_path / "late.gz") == ImportReport(changed=3, embeddings=6)
        assert {(one.enrolments, one.stored, one.faces) for one in other.list_identities()} == {(2, 4, 2)}
        # Embedded again on another runtime an embedding may differ in its last bits; it is not another picture.
        assert import_gallery(other, tmp_path / "late.gz") == ImportReport(unchanged=3)


def test_a_live_index_says_whom_it_cannot_recognize(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.apply(door.second)
    live = LiveIndex(lambda: door.open(door.first))
    assert "not recognized" not in caplog.text
    door.enrol("New", door.second, 9)
    for _ in range(2):
        live.refresh(at_once=True)
    assert caplog.text.count("1 of those enrolled have no embedding of test-1 and are not recognized") == 1
    assert live.index.lacking == 1
    live.close()


def test_a_rotation_of_keys_seals_the_embeddings_of_both_again(tmp_path: Path) -> None:
    door = Door(tmp_path, is_sealed=True)
    for name, seed in PEOPLE.items():
        door.enrol(name, door.first, seed)
    door.apply(door.second)
    old = base64.b64encode(bytes(range(32))).decode()
    (tmp_path / "key").write_text(f"{base64.b64encode(bytes(range(40, 72))).decode()}\n{old}\n")
    done = rekey_gallery(door.path, sealer_of(door.settings))
    assert (done.identities, done.embeddings) == (3, 12)
    (tmp_path / "key").write_text(base64.b64encode(bytes(range(40, 72))).decode())
    assert door.recognized(door.first) == ALL
    assert door.recognized(door.second) == ALL
    with door.open(door.first) as gallery:
        assert [face.face_png is not None for face in gallery.faces("Ada")] == [True, True]
    rekey_gallery(door.path, sealer_of(door.settings), to_plain=True)
    door.settings = settings_of(door.path)
    assert door.recognized(door.second) == ALL
