from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.config.settings import Detect
from edge.datatypes import Image
from edge.detect import make_detector
from edge.detect.ssd import corners, fitted, priors
from edge.errors import ModelError
from tests.edge.detect.conftest import BundleOf, DetectorOf


def test_our_prior_decoder_gives_what_the_network_with_post_processing_gives(
    detector_of: DetectorOf, both: Image, lfw: list[Image]
) -> None:
    decoded, raw = detector_of("rfb"), detector_of("rfb-offsets")
    for image in (both, *lfw[:10]):
        theirs, ours = decoded.detect(image), raw.detect(image)
        assert len(theirs) == len(ours) > 0
        for one, other in zip(theirs, ours, strict=True):
            assert one.box.iou(other.box) > 0.995
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


def test_priors_of_the_published_input_size() -> None:
    rows = priors(320, 240)

    assert rows.shape == (4420, 4)
    assert rows[0] == pytest.approx([0.5 / 40, 0.5 / 30, 10 / 320, 10 / 240])
    # 240 / 64 is no whole number: the four rows of the last map share the height evenly.
    assert rows[-1] == pytest.approx([4.5 / 5, 3.5 / 4, 256 / 320, 1.0])


def test_offsets_move_and_stretch_a_prior() -> None:
    prior = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    offsets = np.array([[1.0, -2.0, np.log(2) / 0.2, 0.0]], np.float32)

    # Centre (0.5 + 0.1 * 0.2, 0.4 - 0.2 * 0.1), width doubled.
    assert corners(offsets, prior)[0] == pytest.approx([0.32, 0.33, 0.72, 0.43], abs=1e-6)


@pytest.mark.parametrize(
    ("size", "used"),
    [
        pytest.param((640, 480), (320, 240), id="same shape"),
        pytest.param((1920, 1080), (320, 240), id="16:9 fills it"),
        pytest.param((1080, 1920), (180, 240), id="portrait: padded on the right"),
        pytest.param((4000, 20), (320, 2), id="very wide"),
        pytest.param((20, 4000), (2, 240), id="very high"),
        pytest.param((1, 1), (320, 240), id="one pixel"),
    ],
)
def test_pictures_are_stretched_by_a_third_at_most(size: tuple[int, int], used: tuple[int, int]) -> None:
    assert fitted(*size, 320, 240) == used


@pytest.mark.parametrize("kind", ["rfb", "slim"])
def test_a_portrait_picture_maps_back_to_its_own_pixels(kind: str, detector_of: DetectorOf, hopper: Image) -> None:
    tall = np.vstack([hopper, np.zeros((600, 512, 3), np.uint8)])

    (face,) = detector_of(kind).detect(tall)
    (known,) = detector_of("yunet").detect(hopper)

    assert face.box.iou(known.box) > 0.75


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("rfb", {"box_form": "offsets"}, "boxes are corners"),
        ("rfb-offsets", {"box_form": "corners"}, "boxes are offsets"),
        ("rfb", {"input_width_px": None}, "without an input size"),
        ("rfb", {"input_height_px": None}, "without an input size"),
        ("rfb", {"input_width_px": 640, "input_height_px": 480}, "output (scores|boxes) of shape|cannot be run"),
    ],
)
def test_a_network_that_is_not_as_declared_is_refused(
    kind: str, changes: dict[str, Any], words: str, bundle_of: BundleOf
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        make_detector(bundle_of(kind, **changes), Detect())

    assert caught.value.where.endswith("detector-model.onnx")
    assert caught.value.expected
    assert "manifest" in caught.value.hint
