"""Pictures made worse, as a door makes them: small, blurred, dark, squeezed by a codec, tilted.

Each change is made to the picture of the camera, before anything is found in it. The same picture, face and key give the
same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from edge.datatypes import Box, Floats, Image

FULL_WELL = 4000.0
"""Electrons of a white pixel: about what a pixel of 1.4 um holds."""
READ_NOISE = 3.0
"""Electrons, standard deviation."""
_LINEAR_STEPS = 4096

Random = np.random.Generator
Change = Callable[[Image, Box, Random], Image]


@dataclass(frozen=True, slots=True)
class Degradation:
    """One way to make a picture worse."""

    name: str
    title: str
    """For people."""
    change: Change

    def apply(self, image: Image, face: Box, key: str) -> Image:
        """`image` is BGR uint8, `face` the box of its face in pixels, `key` whatever tells pictures apart: the noise depends on it."""
        return self.change(image, face, np.random.default_rng(zlib.crc32(f"{self.name}:{key}".encode())))


def shrunk(image: Image, face: Box, _: Random, *, width_px: float) -> Image:
    """The whole picture scaled so that the face is `width_px` wide; one with a smaller face stays as it is."""
    scale = width_px / face.width
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(image: Image, face: Box, _: Random, *, share: float) -> Image:
    """Gaussian blur with a standard deviation of `share` of the face's width."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), share * face.width), np.uint8)


def darkened(image: Image, _: Box, random: Random, *, light: float) -> Image:
    """As if `light` of the light had been there, at the same exposure and gain: darker, and noisier for what is left.

    sRGB (IEC 61966-2-1) to linear, then the camera model of EMVA 1288: the electrons of a pixel are Poisson-distributed, and
    reading adds Gaussian noise.
    """
    electrons = _to_linear()[image] * (light * FULL_WELL)
    seen = random.poisson(electrons) + random.normal(0.0, READ_NOISE, image.shape)
    steps = np.clip(np.rint(seen * (_LINEAR_STEPS / FULL_WELL)), 0, _LINEAR_STEPS).astype(np.int32)
    return _from_linear()[steps]


def compressed(image: Image, _: Box, __: Random, *, quality: int) -> Image:
    """Through JPEG at `quality` (1 to 100)."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def tilted(image: Image, face: Box, random: Random, *, degrees: float) -> Image:
    """Turned in the plane of the picture about the middle of the face, to either side; edges are repeated."""
    side = 1.0 if random.random() < 0.5 else -1.0
    turn = cv2.getRotationMatrix2D(face.centre, side * degrees, 1.0)
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, turn, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@cache
def _to_linear() -> Floats:
    """Value 0 to 255 -> light 0 to 1."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _from_linear() -> Image:
    """Light in steps of 1/_LINEAR_STEPS -> value."""
    light = np.arange(_LINEAR_STEPS + 1) / _LINEAR_STEPS
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), np.uint8)


DEGRADATIONS = (
    Degradation("small-48px", "face 48 px wide", partial(shrunk, width_px=48)),
    Degradation("small-32px", "face 32 px wide", partial(shrunk, width_px=32)),
    Degradation("small-24px", "face 24 px wide", partial(shrunk, width_px=24)),
    Degradation("blurred-2", "blur of 2 % of the face's width", partial(blurred, share=0.02)),
    Degradation("blurred-4", "blur of 4 %", partial(blurred, share=0.04)),
    Degradation("blurred-6", "blur of 6 %", partial(blurred, share=0.06)),
    Degradation("dark-8th", "an 8th of the light", partial(darkened, light=1 / 8)),
    Degradation("dark-32nd", "a 32nd of the light", partial(darkened, light=1 / 32)),
    Degradation("jpeg-20", "JPEG quality 20", partial(compressed, quality=20)),
    Degradation("jpeg-10", "JPEG quality 10", partial(compressed, quality=10)),
    Degradation("tilted-20", "tilted by 20 degrees", partial(tilted, degrees=20)),
    Degradation("tilted-45", "tilted by 45 degrees", partial(tilted, degrees=45)),
)
