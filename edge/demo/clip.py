"""A clip in which visitors come to a door: portraits that walk up, look into the camera, and leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.annotate import VideoWriter
from edge.datatypes import Image

WIDTH, HEIGHT, FPS = 1280, 720, 15
NEAR = 0.86
"""Height of a visitor at the door, as a share of the frame's."""
FAR = 0.30


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody's way to the door, of `frames` frames."""

    portrait: Image
    frames: int = 4 * FPS


def write_clip(path: Path, visits: Sequence[Visit], *, seed: int = 0) -> None:
    """Write the visits one after another, with an empty door between them, to a video file."""
    writer = VideoWriter(path, fps=FPS)
    for frame in door_frames(visits, np.random.default_rng(seed)):
        writer.write(frame)
    writer.close()


def door_frames(visits: Sequence[Visit], random: np.random.Generator) -> Iterator[Image]:
    """The clip's frames, BGR uint8 720x1280."""
    empty = _porch()
    for visit in visits:
        yield from (_seen(empty, random) for _ in range(FPS))
        yield from (_seen(_with_visitor(empty, visit, step), random) for step in range(visit.frames))
    yield from (_seen(empty, random) for _ in range(FPS))


def _porch() -> Image:
    """A wall, a path and a door frame; nothing in it looks like a face."""
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    wall = np.array([150, 160, 165], np.float32) * (0.75 + 0.35 * rows) * np.ones((1, WIDTH, 1), np.float32)
    scene = np.asarray(np.clip(wall, 0, 255), np.uint8)
    cv2.rectangle(scene, (0, 560), (WIDTH, HEIGHT), (92, 104, 110), cv2.FILLED)
    cv2.fillPoly(scene, [np.array([[420, 560], [860, 560], [1100, HEIGHT], [180, HEIGHT]])], (120, 130, 134))
    cv2.rectangle(scene, (1010, 90), (1210, 600), (60, 74, 96), cv2.FILLED)
    cv2.rectangle(scene, (1010, 90), (1210, 600), (40, 48, 60), 8)
    cv2.circle(scene, (1035, 370), 9, (60, 190, 210), cv2.FILLED, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 2.0), np.uint8)


def _with_visitor(empty: Image, visit: Visit, step: int) -> Image:
    """Half the way the visitor comes, then stands and sways, then goes."""
    way = step / max(1, visit.frames - 1)
    near = min(1.0, way / 0.45, (1 - way) / 0.12)
    scale = (FAR + (NEAR - FAR) * near) * HEIGHT / visit.portrait.shape[0]
    angle = 2.5 * np.sin(step / 6)
    centre = (WIDTH * (0.42 + 0.05 * np.sin(step / 9)), HEIGHT * (0.62 - 0.04 * near) + 4 * np.sin(step / 2))
    height, width = visit.portrait.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += np.array(centre) - np.array([width / 2, height / 2])
    size = (WIDTH, HEIGHT)
    figure = cv2.warpAffine(visit.portrait, matrix, size, flags=cv2.INTER_AREA)
    cover = cv2.warpAffine(_outline(height, width), matrix, size)[..., None]
    return np.asarray(figure * cover + empty * (1 - cover), np.uint8)


def _outline(height: int, width: int) -> NDArray[np.float32]:
    """Soft-edged head and shoulders within a portrait, 0 to 1."""
    shape = np.zeros((height, width), np.float32)
    cv2.ellipse(
        shape, (width // 2, int(height * 0.40)), (int(width * 0.34), int(height * 0.38)), 0, 0, 360, 1.0, cv2.FILLED
    )
    cv2.ellipse(shape, (width // 2, height), (int(width * 0.48), int(height * 0.36)), 0, 0, 360, 1.0, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(shape, (0, 0), width / 60), np.float32)


def _seen(scene: Image, random: np.random.Generator) -> Image:
    """Through a cheap camera: a little unsteady light and noise."""
    light = 1 + 0.03 * random.standard_normal()
    noise = random.standard_normal((HEIGHT // 2, WIDTH // 2, 1), np.float32) * 5
    grain = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)[..., None]
    return np.asarray(np.clip(scene * light + grain, 0, 255), np.uint8)
