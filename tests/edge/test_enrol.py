from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import enrol
from edge.config.settings import Enrol
from edge.datatypes import AlignedFace, Box, Detection, Embedding, Image, Quality, ReadFace
from edge.enrol import Picture, choose_face, enrol_pictures
from edge.errors import EnrolmentRefusedError, GalleryError, PictureError, UsageError
from edge.gallery.store import Gallery
from tests.edge.gallery.support import EMBEDDER, opened, vectors

SETTINGS = Enrol(min_face_px=60, min_sharpness=0.15, min_frontality=0.25)
THRESHOLD = 0.5
IMAGE = np.zeros((4, 4, 3), np.uint8)


def face(side: float = 100.0, *, seed: int = 0, sharpness: float = 0.9, frontality: float = 0.9, score: float = 0.8,
         vector: Any = None) -> ReadFace:  # fmt: skip
    made = vectors(1, seed)[0] if vector is None else vector
    aligned = np.full((112, 112, 3), seed % 256, np.uint8)
    return ReadFace(
        Detection(Box(0.0, 0.0, side * 0.8, side), 0.9),
        AlignedFace(aligned, "arcface-112x112"),
        Quality(score, side, sharpness, frontality, 0.9),
        Embedding(made, EMBEDDER),
    )


class Album:
    """A reader that knows what is in each picture, by the value of its first pixel."""

    def __init__(self, *pages: list[ReadFace]) -> None:
        self.pages = pages

    def faces(self, image: Image) -> list[ReadFace]:
        return self.pages[int(image[0, 0, 0])]

    def pictures(self) -> list[Picture]:
        return [
            Picture(f"{number}.jpg", lambda number=number: np.full((4, 4, 3), number, np.uint8))  # type: ignore[misc]
            for number in range(len(self.pages))
        ]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return opened(tmp_path / "gallery.sqlite")


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        ([], "no_face", "a.jpg: no face found; expected one face\n  Use a picture"),
        ([face(), face(99)], "several_faces", "2 faces of 100 px and 99 px; expected one face, others under 0.4"),
        ([face(39), face(100), face(40)], "several_faces", "2 faces of 100 px and 40 px"),
        ([face(59.9)], "too_small", "a.jpg: face of 60 px; expected at least 60\n  Come closer. enrol.min_face_px"),
        ([face(sharpness=0.14)], "too_blurred", "sharpness 0.14; expected at least 0.15"),
        ([face(frontality=0.24)], "turned_away", "frontality 0.24; expected at least 0.25"),
        ([face(59, sharpness=0, frontality=0)], "too_small", "face of 59 px"),
        ([face(sharpness=0, frontality=0)], "too_blurred", "sharpness 0.00"),
        ([face(sharpness=float("nan"))], "too_blurred", "sharpness nan"),
    ],
)
def test_a_picture_that_would_make_a_bad_enrolment_is_refused(found: list[ReadFace], reason: str, message: str) -> None:
    with pytest.raises(EnrolmentRefusedError) as caught:
        choose_face(found, SETTINGS, "a.jpg")
    assert caught.value.reason == reason
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([face(60)], 0),
        ([face(100, sharpness=0.15, frontality=0.25)], 0),
        ([face(39), face(100)], 1),
        ([face(100), face(20), face(39.9)], 0),
    ],
)
def test_the_face_that_a_picture_is_about(found: list[ReadFace], chosen: int) -> None:
    assert choose_face(found, SETTINGS) is found[chosen]


def test_limits_of_nought_take_everything() -> None:
    poor = face(8, sharpness=0, frontality=0)
    assert choose_face([poor], Enrol(min_face_px=8, min_sharpness=0, min_frontality=0)) is poor


def test_good_pictures_are_enrolled_and_the_others_told(gallery: Gallery) -> None:
    near = vectors(1)[0] + 0.25 * vectors(1, 1)[0]
    album = Album(
        [face()], [], [face(), face()], [face(10)], [face()],
        [face(vector=(near / np.linalg.norm(near)).astype(np.float32), score=0.3)],
    )  # fmt: skip
    result = enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD, note="asked")
    assert [accepted.path for accepted in result.accepted] == ["0.jpg", "5.jpg"]
    assert [(refused.path, refused.reason) for refused in result.refused] == [
        ("1.jpg", "no_face"), ("2.jpg", "several_faces"), ("3.jpg", "too_small"), ("4.jpg", "duplicate"),
    ]  # fmt: skip
    assert all(refused.message.startswith(refused.path) for refused in result.refused)
    assert result.identity == gallery.get("Ada")
    assert (gallery.get("Ada").embeddings, gallery.get("Ada").note, gallery.revision) == (2, "asked", 1)
    stored = gallery.faces("Ada")
    assert [(one.source, one.quality, one.face_png) for one in stored] == [("0.jpg", 0.8, None), ("5.jpg", 0.3, None)]


def test_when_every_picture_is_refused_nobody_is_enrolled(gallery: Gallery) -> None:
    album = Album([], [])
    result = enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    assert (result.identity, result.accepted, len(result.refused)) == (None, [], 2)
    assert (gallery.list_identities(), gallery.revision) == ([], 0)


def test_the_same_picture_again_teaches_nothing(gallery: Gallery) -> None:
    album = Album([face()])
    enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    again = enrol_pictures(gallery, "ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    assert [refused.reason for refused in again.refused] == ["duplicate"]
    assert gallery.revision == 1


@pytest.mark.parametrize("hide", [lambda _: None, lambda gallery: gallery.set_enabled("Ada", enabled=False)])
def test_a_look_alike_is_enrolled_with_a_warning(gallery: Gallery, hide: Callable[[Gallery], None]) -> None:
    album = Album([face()])
    enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    hide(gallery)
    result = enrol_pictures(gallery, "Eve", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    (warned,) = result.warnings
    assert warned.path == "0.jpg"
    assert warned.likeness.kind == "look_alike"
    assert warned.likeness.message.startswith("looks like Ada (similarity 1.000 >= 0.500)")
    assert gallery.get("Eve").embeddings == 1


def test_a_picture_of_somebody_else_among_ones_own_is_told(gallery: Gallery) -> None:
    album = Album([face(vector=np.eye(16, dtype=np.float32)[0])], [face(vector=np.eye(16, dtype=np.float32)[1])])
    result = enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    assert [(warned.path, warned.likeness.kind) for warned in result.warnings] == [("1.jpg", "unlike")]


def test_a_picture_that_cannot_be_read_is_refused_and_the_next_one_taken(gallery: Gallery) -> None:
    def broken() -> Image:
        raise PictureError("cut off", where="cut.jpg")

    album = Album([face()])
    pictures = [Picture("cut.jpg", broken), *album.pictures()]
    result = enrol_pictures(gallery, "Ada", pictures, album, SETTINGS, threshold=THRESHOLD)
    assert [(refused.reason, refused.message) for refused in result.refused] == [("unreadable", "cut.jpg: cut off")]
    assert gallery.get("Ada").embeddings == 1


@pytest.mark.parametrize("kept", [True, False])
def test_the_aligned_face_is_kept_only_when_configured(gallery: Gallery, *, kept: bool) -> None:
    album = Album([face(seed=7)])
    enrol_pictures(gallery, "Ada", album.pictures(), album, Enrol(keep_aligned=kept), threshold=THRESHOLD)
    (stored,) = gallery.faces("Ada")
    if not kept:
        assert stored.face_png is None
        return
    assert stored.face_png is not None
    image = cv2.imdecode(np.frombuffer(stored.face_png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert np.array_equal(image, album.pages[0][0].aligned.image)


@pytest.mark.parametrize(
    ("path", "source"), [("x\udcff.jpg", "x\\udcff.jpg"), ("d/" * 900 + "a.jpg", ("d/" * 900 + "a.jpg")[-1000:])]
)
def test_odd_file_names_are_stored_in_a_way_that_can_be_read(gallery: Gallery, path: str, source: str) -> None:
    album = Album([face()])
    enrol_pictures(gallery, "Ada", [Picture(path, lambda: IMAGE)], album, SETTINGS, threshold=THRESHOLD)
    assert gallery.faces("Ada")[0].source == source


def test_a_bad_or_ambiguous_name_is_told_before_any_picture_is_read(gallery: Gallery) -> None:
    def unexpected() -> Image:
        raise AssertionError

    for name in ("a\nb", "Ada"):
        gallery.add_identity("Ada")
        gallery.add_identity("Ada")
        with pytest.raises(UsageError):
            enrol_pictures(gallery, name, [Picture("x", unexpected)], Album(), SETTINGS, threshold=THRESHOLD)


def test_a_gallery_that_cannot_be_written_enrols_nobody(tmp_path: Path, gallery: Gallery) -> None:
    album = Album([face()])
    with opened(gallery.path, read_only=True) as closed, pytest.raises(GalleryError, match="may not be written"):
        enrol_pictures(closed, "Ada", album.pictures(), album, SETTINGS, threshold=THRESHOLD)
    assert gallery.list_identities() == []


def test_nothing_that_is_no_picture_becomes_png() -> None:
    assert enrol.encode_png(IMAGE).startswith(b"\x89PNG")


def test_limits_are_set_before_anyone_can_be_let_in_and_consent_is_asked_for_first(gallery: Gallery) -> None:
    def limit(record: Any) -> None:
        gallery.set_access(record.id, groups=["staff"])

    def fail(record: Any) -> None:
        gallery.set_access(record.id, groups=["night shift"])

    album = Album([face()], [face(seed=1)])
    options = {"threshold": THRESHOLD, "consent": "in writing"}
    with pytest.raises(UsageError, match="night shift"):
        enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, and_then=fail, **options)  # type: ignore[arg-type]
    assert (gallery.list_identities(), gallery.audit(), gallery.revision) == ([], [], 0)
    result = enrol_pictures(gallery, "Ada", album.pictures(), album, SETTINGS, and_then=limit, **options)  # type: ignore[arg-type]
    assert result.identity == gallery.get("Ada")
    assert (gallery.get("Ada").groups, gallery.get("Ada").consent, gallery.revision) == (("staff",), "in writing", 1)
    gallery.require_consent = True
    untouched = iter(album.pictures())
    with pytest.raises(UsageError, match="no note of consent"):
        enrol_pictures(gallery, "Bob", untouched, album, SETTINGS, threshold=THRESHOLD)
    assert len(list(untouched)) == 2
