from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from edge.config.settings import Detect
from edge.datatypes import Detection, Image
from edge.detect import make_detector, mtcnn
from edge.errors import ModelError
from tests.edge.detect.conftest import BundleOf, DetectorOf
from tests.support.bundles import MTCNN, detector_bundle


def central(faces: list[Detection], image: Image) -> Detection:
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(np.array(face.box.centre) - middle)))


def test_it_finds_the_faces_that_yunet_finds(
    detector_of: DetectorOf, lfw: list[Image], hopper: Image, collins: Image
) -> None:
    ours, reference = detector_of("mtcnn"), detector_of("yunet")
    errors = []
    pictures = [*lfw, hopper, collins]
    for image in pictures:
        wanted = central(reference.detect(image), image)
        found = max(ours.detect(image), key=lambda face, wanted=wanted: face.box.iou(wanted.box), default=None)
        if found is not None and found.box.iou(wanted.box) >= 0.5:
            assert found.landmarks is not None
            assert wanted.landmarks is not None
            eyes = np.linalg.norm(wanted.landmarks[0] - wanted.landmarks[1])
            errors.append(np.linalg.norm(found.landmarks - wanted.landmarks, axis=1).mean() / eyes)

    assert len(errors) >= 0.95 * len(pictures)
    assert np.median(errors) < 0.12


def test_batches_give_what_single_crops_give(bundle_of: BundleOf, both: Image) -> None:
    bundle = bundle_of("mtcnn")
    paths = {part: bundle.path(name) for part, name in bundle.manifest.detector.artifacts.items()}
    rng = np.random.default_rng(3)
    for part, size_px in (("rnet", mtcnn.REFINE_PX), ("onet", mtcnn.OUTPUT_PX)):
        shapes = {"prob": 2, "box": 4} | ({"landmarks": 10} if part == "onet" else {})
        network = mtcnn._loaded(paths[part], size_px, 0.5, **shapes).network
        batch = rng.normal(0, 0.5, (19, 3, size_px, size_px)).astype(np.float32)

        together = network.run(batch)
        alone = [network.run(batch[n : n + 1]) for n in range(len(batch))]

        for number, output in enumerate(together):
            np.testing.assert_allclose(output, np.concatenate([row[number] for row in alone]), atol=1e-5)


def test_smaller_faces_are_looked_for_when_asked(detector_of: DetectorOf, hopper: Image) -> None:
    (face,) = detector_of("yunet").detect(hopper)
    assert face.box.side < 250

    assert len(detector_of("mtcnn", min_face_px=20).detect(hopper)) == 1
    assert detector_of("mtcnn", min_face_px=300).detect(hopper) == []


@pytest.mark.parametrize(
    ("size", "smallest_px", "faces_px"),
    [
        ((100, 100), 20, [20, 28.2, 39.8, 56.1, 79.1]),
        ((100, 100), 1, [12, 16.9, 23.9, 33.7, 47.5, 67, 94.5]),
        ((30, 40), 20, [20, 28.2, 39.8]),
        ((11, 11), 20, []),
        ((4000, 8), 20, []),
        ((1, 1), 20, []),
    ],
)
def test_scales_go_from_the_smallest_face_to_the_whole_picture(
    size: tuple[int, int], smallest_px: float, faces_px: list[float]
) -> None:
    scales = list(mtcnn._scales(np.zeros((size[1], size[0], 3), np.uint8), smallest_px))

    assert [mtcnn.CELL_PX / scale for scale in scales] == pytest.approx(faces_px, abs=0.1)


GREY = np.full((10, 20, 3), 100, np.uint8)


@pytest.mark.parametrize(
    ("box", "grey_share"),
    [
        pytest.param([4, 2, 10, 8], 1.0, id="inside"),
        pytest.param([-5, 0, 5, 10], 0.5, id="over the left edge"),
        pytest.param([15, 0, 25, 10], 0.5, id="over the right edge"),
        pytest.param([0, -10, 20, 10], 0.5, id="over the upper edge"),
        pytest.param([-10, -5, 30, 15], 0.25, id="around the picture"),
        pytest.param([100, 100, 110, 110], 0.0, id="beyond it"),
        pytest.param([-50, -50, -40, -40], 0.0, id="before it"),
        pytest.param([3, 3, 3, 3], 1.0, id="empty"),
    ],
)
def test_crops_are_black_where_they_reach_over_the_edge(box: list[int], grey_share: float) -> None:
    crop = mtcnn._crop(GREY, box, 24)

    assert crop.shape == (24, 24, 3)
    assert crop.mean() / 100 == pytest.approx(grey_share, abs=0.02)


def test_squares_stay_near_the_picture_whatever_a_network_says() -> None:
    boxes = np.array([[0, 0, 4, 2], [1e30, 0, 2e30, 1], [5, 5, 5, 5], [-1e9, -1e9, 1e9, 1e9]], np.float32)

    squares = mtcnn._squares(boxes, reach=100)

    assert squares[0].tolist() == [0, -1, 4, 3]
    assert np.abs(squares).max() <= 150
    assert (squares[:, 2:] - squares[:, :2]).min() >= 1


@pytest.mark.parametrize("thresholds", [[0.6], [0.6, 0.7], [0.6, 0.7, 0.7, 0.7]])
def test_thresholds_are_three(thresholds: list[float], bundle_of: BundleOf) -> None:
    with pytest.raises(ModelError, match=f"{len(thresholds)} thresholds"):
        make_detector(bundle_of("mtcnn", thresholds=thresholds), Detect())


@pytest.mark.parametrize(("place", "found"), list(itertools.permutations(("pnet", "rnet", "onet"), 2)))
def test_networks_in_the_wrong_place_are_refused(
    place: str, found: str, mtcnn_files: dict[str, Path], tmp_path: Path
) -> None:
    bundle = detector_bundle(tmp_path, {**mtcnn_files, place: mtcnn_files[found]}, MTCNN)

    with pytest.raises(ModelError) as caught:
        make_detector(bundle, Detect())

    assert caught.value.where.endswith(f"detector-{place}.onnx")
