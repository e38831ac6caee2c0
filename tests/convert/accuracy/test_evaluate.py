from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.accuracy.evaluate import best_threshold, check_pairs, tar_at, verification
from convert.accuracy.faces import align_pictures, central_face, embed_faces
from convert.accuracy.pairs import Pair
from edge.align import TEMPLATES
from edge.datatypes import AlignedFace, Box, Detection, Embedding, Image
from edge.errors import PictureError, UsageError

scored = st.lists(st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.1, 0.2, 0.7, 1.0]), st.booleans()), min_size=1)


@given(rows=scored)
def test_best_threshold_is_as_good_as_any(rows: list[tuple[float, bool]]) -> None:
    values = np.array([value for value, _ in rows], np.float32)
    same = np.array([flag for _, flag in rows])
    naive = max(int(np.sum((values >= cut) == same)) for cut in [*np.unique(values), 2.0])
    assert int(np.sum((values >= best_threshold(values, same)) == same)) == naive


def test_best_threshold_lies_half_way() -> None:
    values, same = np.array([0.1, 0.2, 0.6, 0.8], np.float32), np.array([False, False, True, True])
    assert best_threshold(values, same) == pytest.approx(0.4, abs=1e-6)


def test_tar_by_hand() -> None:
    impostor = np.linspace(-0.5, 0.5, 1000).astype(np.float32)
    genuine = np.array([0.6, 0.495, 0.48, 0.1], np.float32)
    same = np.array([True] * 4 + [False] * 1000)
    # Ten of 1000 impostors lie at 0.491 and above, one at 0.5.
    assert tar_at(np.concatenate([genuine, impostor]), same) == {"1e-2": 0.5, "1e-3": 0.25}


def vector(angle: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def pair(first: str, second: str, *, same: bool, fold: int) -> Pair:
    return Pair(first, second, same, fold)


PAIRS = [
    pair("a1", "a2", same=True, fold=0),
    pair("a1", "b1", same=False, fold=0),
    pair("c1", "c2", same=True, fold=1),
    pair("c1", "d1", same=False, fold=1),
]
VECTORS = {"a1": vector(0), "a2": vector(0.2), "b1": vector(1.5), "c1": vector(0), "c2": vector(0.3), "d1": vector(1.4)}


def test_all_right() -> None:
    result = verification(PAIRS, VECTORS)
    assert result.folds == (1.0, 1.0)
    assert result.as_dict()["accuracy_mean"] == 1.0
    assert (result.pairs, result.pictures, result.failures_to_acquire) == (4, 6, 0)


def test_a_picture_without_a_face_counts_as_refused() -> None:
    without = {name: value for name, value in VECTORS.items() if name != "c2"}
    result = verification([*PAIRS, pair("c1", "b1", same=False, fold=1)], without)
    # Refused too: right for two people, wrong for one.
    assert result.folds == (1.0, 2 / 3)
    assert result.failures_to_acquire == 1
    assert result.as_dict()["accuracy_mean"] == 0.8333


def test_a_threshold_never_sees_its_own_fold() -> None:
    # Alone, fold 1 would be right with any threshold under 0.95; fold 0 demands one near 1.
    vectors = {**VECTORS, "a2": vector(0.0), "b1": vector(0.1)}
    assert verification(PAIRS, vectors).folds[0] == 0.5


class FakeStore:
    """Pictures by name, all alike."""

    label = "fake"

    def __init__(self) -> None:
        self.names = ["a1", "a2"]

    def read(self, name: str) -> Image:
        if name not in self.names:
            raise PictureError("no such picture", where=name)
        return np.full((100, 100, 3), 7, np.uint8)


def test_pictures_that_are_missing_are_named_before_any_work() -> None:
    with pytest.raises(UsageError, match=r"4 pictures of the pairs are missing: b1, c1, c2, \.\.\."):
        check_pairs(PAIRS, FakeStore())


def test_one_fold_is_not_enough() -> None:
    with pytest.raises(UsageError, match="one fold"):
        check_pairs(PAIRS[:2], FakeStore())


def face(x1: float, y1: float, x2: float, y2: float, confidence: float = 0.9) -> Detection:
    points = np.array([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]], np.float32)
    return Detection(Box(x1, y1, x2, y2), confidence, points)


@pytest.mark.parametrize(
    ("faces", "chosen"),
    [
        ([], None),
        ([face(0, 0, 10, 10)], 0),
        ([face(0, 0, 40, 40), face(30, 30, 70, 70, 0.5)], 1),
        # A face that covers everything holds the middle too, and a tiny one lies in it, but neither fills it.
        ([face(0, 0, 100, 100), face(26, 26, 74, 74, 0.5), face(48, 48, 52, 52)], 1),
    ],
)
def test_central_face(faces: list[Detection], chosen: int | None) -> None:
    found = central_face(np.zeros((100, 100, 3), np.uint8), faces)
    assert found is (None if chosen is None else faces[chosen])


class FakeDetector:
    """Finds a face in every second picture."""

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, image: Image) -> list[Detection]:
        self.seen += 1
        return [face(30, 30, 70, 70)] if self.seen % 2 else []


class FakeEmbedder:
    """The mean of a face as an angle; counts its calls."""

    embedder_id = "fake"
    template = "arcface-112x112"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        self.batches.append(len(faces))
        return [Embedding(vector(float(one.image.mean()) / 100), self.embedder_id) for one in faces]


def test_pictures_without_a_face_are_left_out() -> None:
    found = align_pictures(FakeStore(), ["a1", "a2"], FakeDetector(), TEMPLATES["arcface-112x112"])
    assert list(found) == ["a1"]
    assert found["a1"].image.shape == (112, 112, 3)


def test_embeddings_keep_their_names() -> None:
    faces = {f"p{n}": AlignedFace(np.full((112, 112, 3), n, np.uint8), "arcface-112x112") for n in range(130)}
    embedder = FakeEmbedder()
    found = embed_faces(faces, embedder)
    assert sum(embedder.batches) == 130
    assert all(np.allclose(found[f"p{n}"], vector(n / 100)) for n in range(130))
