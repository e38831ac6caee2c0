from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.align import TEMPLATES, AlignmentTemplate, align, alignment_matrix, similarity_transform, template_named
from edge.datatypes import Box, Detection, Image
from tests.support.fakes import face

ARCFACE = TEMPLATES["arcface-112x112"]
FACENET = TEMPLATES["facenet-160x160"]


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama 1991, equations 38 to 43, by the singular value decomposition; 2x3."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    variance = ((source - source_mean) ** 2).sum() / len(source)
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(singular) @ sign) / variance
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


POINTS = st.lists(st.tuples(st.integers(-4000, 4000), st.integers(-4000, 4000)), min_size=5, max_size=5, unique=True)


@given(POINTS)
def test_the_transform_is_umeyamas(points: list[tuple[int, int]]) -> None:
    source = np.array(points, np.float64)
    target = np.array(ARCFACE.points)
    expected = umeyama(source, target)
    # Under that they are refused, as nothing like a face.
    assume(np.linalg.norm(expected[0, :2]) > 1e-5)
    found = similarity_transform(source, target)
    assert np.abs(found[:, :2] - expected[:, :2]).max() < 1e-9
    assert np.abs(found[:, 2] - expected[:, 2]).max() < 1e-5


@given(
    angle=st.floats(-3.1, 3.1), scale=st.floats(0.02, 20), x=st.floats(-9000, 9000), y=st.floats(-9000, 9000),
    name=st.sampled_from(["arcface-112x112", "sphereface-112x96"]),
)  # fmt: skip
def test_landmarks_land_on_the_template(angle: float, scale: float, x: float, y: float, name: str) -> None:
    template = TEMPLATES[name]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (np.array(template.points) @ turn.T + [x, y]).astype(np.float32)
    matrix = alignment_matrix(Detection(Box(0, 0, 1, 1), 1.0, source), template)
    landed = source @ matrix[:, :2].T + matrix[:, 2]
    # A float32 coordinate of 10,000 px is known to 0.001 px.
    assert np.abs(landed - np.array(template.points)).max() < 0.002 * max(1.0, 1 / scale)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([[7, 7]] * 5, "landmarks coincide"),
        ([[7, 7]] * 4 + [[7, float("nan")]], "landmarks are not finite"),
        ([[7, 7]] * 4 + [[float("inf"), 7]], "landmarks are not finite"),
        ([[0, 0], [1e9, 0], [0, 1e9], [2e9, 0], [0, 2e9]], "landmarks are nothing like a face"),
    ],
)
def test_landmarks_that_are_no_face(points: list[list[float]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        align(np.zeros((9, 9, 3), np.uint8), Detection(Box(0, 0, 9, 9), 1.0, np.array(points, np.float32)), ARCFACE)


def test_landmarks_are_needed_for_points() -> None:
    with pytest.raises(ValueError, match="arcface-112x112 aligns by landmarks"):
        align(np.zeros((9, 9, 3), np.uint8), Detection(Box(0, 0, 9, 9), 1.0), ARCFACE)


def test_an_unknown_template_lists_the_known() -> None:
    with pytest.raises(ValueError, match="one of arcface-112x112, sphereface-112x96, facenet-160x160"):
        template_named("other")


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda template: template.name)
def test_an_aligned_face_has_the_templates_size(template: AlignmentTemplate) -> None:
    made = align(np.zeros((300, 300, 3), np.uint8), face(100, 100), template)
    assert made.image.shape == (template.height, template.width, 3)
    assert made.template == template.name


def test_the_narrow_template_is_the_middle_of_the_wide_one() -> None:
    image = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    wide, narrow = (
        align(image, face(90, 80, 120), TEMPLATES[name]).image for name in ("arcface-112x112", "sphereface-112x96")
    )
    assert np.abs(wide[:, 8:104].astype(int) - narrow).max() <= 2


@pytest.mark.parametrize("box", [Box(100, 60, 228, 188), Box(10, 20, 74, 148), Box(0, 0, 640, 480)])
def test_the_facenet_box_fills_four_fifths(box: Box) -> None:
    """davidsandberg/facenet: 160 pixels show the box and a margin of 32 in all."""
    matrix = alignment_matrix(Detection(box, 1.0), FACENET)
    corners = np.array([[box.x1, box.y1], [box.x2, box.y2]]) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(corners - [[16, 16], [144, 144]]).max() < 1e-9


def smooth_picture(width: int, height: int, detail_px: float) -> Image:
    """Colours that change from anything to anything within `detail_px`, but not suddenly."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (int(height / detail_px) + 2, int(width / detail_px) + 2, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("side", [200.0, 330.0, 450.0, 700.0, 1500.0])
def test_a_large_face_is_as_if_resampled_well(side: float) -> None:
    """The reference: the mean of 8 x 8 samples in every template pixel."""
    image = smooth_picture(1800, 1700, detail_px=side / 14)
    detection = face(150, 120, side)
    fine = AlignmentTemplate(
        "fine", 112 * 8, 112 * 8, tuple((8 * x + 3.5, 8 * y + 3.5) for x, y in ARCFACE.points or ())
    )
    matrix = alignment_matrix(detection, fine)
    dense = cv2.warpAffine(image, matrix, (fine.width, fine.height), flags=cv2.INTER_LINEAR)
    expected = dense.reshape(112, 8, 112, 8, 3).mean(axis=(1, 3))
    found = align(image, detection, ARCFACE).image
    # Half a pixel of the frame aside would make it 7 to 11, and 0.8 to 2.6.
    assert np.abs(found - expected).max() < 5.5
    assert np.abs(found - expected).mean() < 0.75


def test_a_large_face_does_not_alias() -> None:
    # Stripes of one pixel: every tenth of them would be any grey from black to white.
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[:, ::2] = 255
    made = align(image, face(20, 20, 1120), ARCFACE).image
    assert np.abs(made[2:-2, 2:-2].astype(int) - 127).max() <= 14


@pytest.mark.parametrize(("x", "y"), [(-50, -50), (250, 250), (-50, 250), (-250, 100), (900, 900)])
@pytest.mark.parametrize("side", [100.0, 400.0])
def test_what_lies_outside_the_frame_is_black(x: float, y: float, side: float) -> None:
    image = np.full((300, 300, 3), 200, np.uint8)
    detection = face(x, y, side)
    made = align(image, detection, ARCFACE).image
    inverse = cv2.invertAffineTransform(alignment_matrix(detection, ARCFACE))
    rows, columns = np.mgrid[:112, :112]
    places = np.stack([columns, rows], -1) @ inverse[:, :2].T + inverse[:, 2]
    step = side / 112 + 1
    inside = ((places > step) & (places < 299 - step)).all(-1)
    outside = ((places < -step) | (places > 299 + step)).any(-1)
    assert (made[inside] == 200).all()
    assert (made[outside] == 0).all()


@pytest.mark.parametrize("shape", [(200, 40_000, 3), (40_000, 200, 3)])
@pytest.mark.parametrize("side", [120.0, 150.0])
def test_pictures_wider_than_opencv_counts(shape: tuple[int, int, int], side: float) -> None:
    image = np.zeros(shape, np.uint8)
    x, y = (39_500, 20) if shape[1] > shape[0] else (20, 39_500)
    small = smooth_picture(180, 180, detail_px=15)
    image[y : y + 180, x : x + 180] = small[: shape[0] - y, : shape[1] - x]
    far = align(image, face(x + 10, y + 10, side), ARCFACE).image
    padded = np.zeros((360, 360, 3), np.uint8)
    padded[90:270, 90:270] = small
    near = align(padded, face(100, 100, side), ARCFACE).image
    assert np.abs(far.astype(int) - near).max() <= 2
