"""Real pictures for calibration and proof, in the form in which a network is fed on a device."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from convert.accuracy.faces import central_face
from convert.network import Floats
from convert.pictures import PictureStore, person_of
from edge.align import TEMPLATES, align
from edge.bundle import load_bundle
from edge.bundle.manifest import Normalisation
from edge.cli.common import plural, progress
from edge.config.settings import Detect
from edge.datatypes import Detection, Image
from edge.detect import make_detector
from edge.errors import PictureError, UsageError
from edge.interfaces import Detector
from edge.pictures import read_picture

CALIBRATION = 10
"""Pictures. TFLite's calibration keeps the least and the greatest value, and each further picture stretches that range: on
MobileFaceNet 10 faces give a mean cosine of 0.936 to the float network, 100 give 0.848."""
FAITHFUL_CALIBRATION = 128
"""Where ranges are searched (convert.quantise), more faces are better: two in three calibrate, the others judge."""
CROP_MARGIN = 0.2
"""Beyond a detector's box on each side, where a network wants faces that are not aligned."""
_MOST_STAND_INS = 120
"""More variations of one portrait teach nothing, and each takes its time."""
_STAND_IN = "matplotlib's grace_hopper.jpg (public domain), varied"


@dataclass(frozen=True, slots=True)
class View:
    """What part of a picture a network is fed: `aligned` faces, `face` crops, or the `whole` picture."""

    kind: str
    width: int
    height: int
    template: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """uint8 BGR pictures (N, height, width, 3) of one view; those for calibration are not those for proof."""

    calibration: Image
    held_out: Image
    label: str
    """Where they come from, for the manifest."""
    is_stand_in: bool = False
    """No pictures were given: variations of one portrait, which calibrate worse."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which pictures, and how many."""

    store: PictureStore | None
    people: frozenset[str] | None = None
    """With labelled pictures: use these people only, at most one picture each."""
    calibration: int = CALIBRATION
    held_out: int = 32
    seed: int = 0


def take_sample(wish: Wish, view: View) -> Sample:
    """Find the faces and cut them out. UsageError when no picture can be used."""
    wanted = wish.calibration + wish.held_out
    store = wish.store
    if store is None:
        found = _stand_ins(view, min(wanted, _MOST_STAND_INS), wish.seed)
        cut = len(found) * wish.calibration // wanted
        return Sample(found[:cut], found[cut:], _STAND_IN, is_stand_in=True)
    names = _names(store, wish)
    found = np.stack(_some(store, names, view, wanted))
    # Of fewer pictures than wanted, each purpose gets its share.
    cut = min(max(1, len(found) * wish.calibration // wanted), wish.calibration)
    held_out = found[cut:] if len(found) > cut else found
    return Sample(found[:cut], held_out, f"{plural(cut, 'picture')} of {store.label}, seed {wish.seed}")


def feed(pictures: Image, colour_order: str, normalisation: Normalisation) -> Floats:
    """uint8 BGR (N, H, W, 3) -> float32 NCHW as the network takes it; GREY gives one channel (ITU-R BT.601 weights)."""
    if colour_order == "GREY":
        coloured = np.stack([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures])[..., np.newaxis]
    else:
        coloured = pictures if colour_order == "BGR" else pictures[..., ::-1]
    values = coloured.astype(np.float64)
    if normalisation.kind == "prewhiten":
        axes = (1, 2, 3)
        spread = np.maximum(values.std(axes, keepdims=True), 1.0 / np.sqrt(values[0].size))
        made = (values - values.mean(axes, keepdims=True)) / spread
    else:
        made = (values - normalisation.mean) / normalisation.std
    return np.ascontiguousarray(made.transpose(0, 3, 1, 2), np.float32)


def _names(store: PictureStore, wish: Wish) -> list[str]:
    order = np.random.default_rng(wish.seed).permutation(len(store.names))
    names = [store.names[index] for index in order]
    if wish.people is None:
        return names
    first_of = {person_of(name): name for name in reversed(names) if person_of(name) in wish.people}
    if not first_of:
        raise UsageError("no picture of the people listed", where=store.label, expected="names like NAME/NAME_0001.jpg")
    chosen = set(first_of.values())
    return [name for name in names if name in chosen]


def _some(store: PictureStore, names: Sequence[str], view: View, wanted: int) -> list[Image]:
    """At most `wanted` pictures; the search ends where most pictures show no face."""
    detector = default_detector()
    most = min(len(names), wanted * 3 + 20)
    found: list[Image] = []
    unreadable = 0
    for name in progress(names[:most], f"calibration pictures, {view.kind}"):
        try:
            image = store.read(name)
        except PictureError:
            unreadable += 1
            continue
        cut = _cut(image, detector, view)
        if cut is not None:
            found.append(cut)
        if len(found) == wanted:
            break
    if not found:
        hint = "Name pictures with one clear face each."
        problem = f"no usable face in {plural(most, 'picture')}"
        if unreadable:
            problem = f"{problem}, {unreadable} of which cannot be read"
        raise UsageError(problem, where=store.label, expected="faces", hint=hint)
    return found


def default_detector() -> Detector:
    """The package's own, as a fresh install runs it."""
    return make_detector(load_bundle(), Detect())


def _cut(image: Image, detector: Detector, view: View) -> Image | None:
    if view.kind == "whole":
        return _resized(image, view)
    face = central_face(image, detector.detect(image))
    if face is None:
        return None
    if view.kind == "aligned":
        return align(image, face, TEMPLATES[view.template]).image
    return _crop(image, face, view)


def _crop(image: Image, face: Detection, view: View) -> Image | None:
    """A square around the face, squeezed onto the view; None where it lies outside."""
    box = face.box
    side = max(box.width, box.height) * (1 + 2 * CROP_MARGIN)
    x, y = (box.x1 + box.x2 - side) / 2, (box.y1 + box.y2 - side) / 2
    height, width = image.shape[:2]
    left, top, right, bottom = max(0, int(x)), max(0, int(y)), min(width, int(x + side)), min(height, int(y + side))
    if right - left < 8 or bottom - top < 8:
        return None
    return _resized(image[top:bottom, left:right], view)


def _stand_ins(view: View, count: int, seed: int) -> Image:
    """Variations of one public-domain portrait: mirrored, moved, turned, darkened, brightened, blurred."""
    picture = portrait()
    generator = np.random.default_rng(seed)
    detector = default_detector()
    made = []
    for varied in _varied(picture, generator, count * 2):
        cut = _cut(varied, detector, view)
        if cut is not None:
            made.append(cut)
        if len(made) == count:
            break
    return np.stack(made)


def portrait() -> Image:
    """A public-domain portrait with one clear face, BGR uint8; UsageError where matplotlib, which carries it, is missing."""
    try:
        data = importlib.resources.files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    except ModuleNotFoundError as error:
        raise UsageError("no pictures for calibration", expected="--calibration DIR, TAR or LIST") from error
    return read_picture(Path(str(data)))


def _varied(picture: Image, generator: np.random.Generator, count: int) -> Iterator[Image]:
    height, width = picture.shape[:2]
    for index in range(count):
        turn, zoom = generator.uniform(-15, 15), generator.uniform(0.7, 1.1)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        varied = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        gain, offset = generator.uniform(0.5, 1.4), generator.uniform(-40, 40)
        varied = np.clip(varied * gain + offset + generator.normal(0, 6, varied.shape), 0, 255).astype(np.uint8)
        varied = cv2.GaussianBlur(varied, (0, 0), generator.uniform(0.3, 2.0))
        yield varied[:, ::-1].copy() if index % 2 else varied


def _resized(image: Image, view: View) -> Image:
    return np.asarray(cv2.resize(image, (view.width, view.height), interpolation=cv2.INTER_AREA), np.uint8)
