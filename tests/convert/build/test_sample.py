from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.build.sample import View, Wish, feed, take_sample
from convert.pictures import open_any_pictures
from edge.bundle.manifest import Normalisation
from edge.errors import UsageError
from tests.support.data import grace_hopper

ALIGNED = View("aligned", 112, 112, "arcface-112x112")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Four pictures with a face and two without, at two depths."""
    image = cv2.imread(str(grace_hopper()))
    for index in range(4):
        path = tmp_path / ("deep/er" if index % 2 else ".") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[:, :: -1 if index % 2 else 1])
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"empty{index}.png"), np.full((64, 64, 3), 127, np.uint8))
    return tmp_path


@pytest.mark.parametrize("view", [ALIGNED, View("face", 80, 80), View("whole", 320, 240)], ids=lambda view: view.kind)
def test_pictures_have_the_views_size(faces: Path, view: View) -> None:
    sample = take_sample(Wish(open_any_pictures(faces), calibration=3, held_out=1), view)
    count = 4
    assert len(sample.calibration) + len(sample.held_out) == count
    assert sample.calibration.shape == (3, view.height, view.width, 3)
    assert sample.calibration.dtype == np.uint8
    assert not sample.is_stand_in


def test_a_seed_gives_the_same_pictures(faces: Path) -> None:
    wish = Wish(open_any_pictures(faces), calibration=2, held_out=2, seed=3)
    first, second = take_sample(wish, ALIGNED), take_sample(wish, ALIGNED)
    assert np.array_equal(first.calibration, second.calibration)
    assert np.array_equal(first.held_out, second.held_out)


def test_no_face_in_any_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    with pytest.raises(UsageError, match="no usable face in 1 picture; expected faces"):
        take_sample(Wish(open_any_pictures(tmp_path)), ALIGNED)


def test_a_damaged_picture_is_passed_over(faces: Path) -> None:
    (faces / "0.png").write_bytes(b"not a picture")
    sample = take_sample(Wish(open_any_pictures(faces), calibration=2, held_out=1), ALIGNED)
    assert len(sample.calibration) + len(sample.held_out) == 3


def test_only_people_listed(faces: Path) -> None:
    wish = Wish(open_any_pictures(faces), frozenset({"deep"}), calibration=2, held_out=2)
    assert len(take_sample(wish, ALIGNED).calibration) == 1
    with pytest.raises(UsageError, match="people listed"):
        take_sample(Wish(open_any_pictures(faces), frozenset({"nobody"})), ALIGNED)


def test_without_pictures_one_portrait_stands_in() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ostiary[convert]')")
    sample = take_sample(Wish(None, calibration=6, held_out=2), ALIGNED)
    assert sample.is_stand_in
    assert (len(sample.calibration), len(sample.held_out)) == (6, 2)
    assert len({picture.tobytes() for picture in sample.calibration}) == 6


PICTURES = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("BGR", PICTURES.transpose(0, 3, 1, 2)),
        ("RGB", PICTURES[..., ::-1].transpose(0, 3, 1, 2)),
        ("GREY", np.round(PICTURES @ np.array([0.114, 0.587, 0.299]))[:, np.newaxis]),
    ],
)
def test_feed_turns_colours_and_axes(order: str, expected: np.ndarray) -> None:  # type: ignore[type-arg]
    made = feed(PICTURES, order, Normalisation("fixed", 127.5, 128.0))
    assert made.dtype == np.float32
    np.testing.assert_allclose(made * 128 + 127.5, expected, atol=1.01 if order == "GREY" else 1e-4)


def test_prewhitened_pictures_have_mean_0_and_deviation_1_each() -> None:
    made = feed(PICTURES, "RGB", Normalisation("prewhiten"))
    np.testing.assert_allclose(made.mean((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(made.std((1, 2, 3)), 1, atol=1e-6)
    flat = feed(np.full((1, 4, 5, 3), 9, np.uint8), "RGB", Normalisation("prewhiten"))
    assert not flat.any()
