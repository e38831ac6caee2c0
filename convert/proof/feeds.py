"""What two networks are fed so that they can be compared: the same pictures, each in the form that it expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from convert.accuracy.faces import align_pictures
from convert.build.sample import default_detector, feed
from convert.network import Array, Port, shown_shape
from convert.pictures import PictureStore, open_any_pictures
from convert.runners.base import Feeds, Runner
from edge.align import template_named
from edge.bundle.manifest import Normalisation
from edge.cli.common import plural
from edge.datatypes import Image
from edge.errors import UsageError

PICTURE_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a network wants the pixels of a picture."""

    colour: str = "RGB"
    normalisation: Normalisation = Normalisation()


@dataclass(frozen=True, slots=True)
class Wish:
    """Where the inputs come from."""

    images: Path | None = None
    """A folder, a tar file or a list; random pixels where there is none."""
    count: int = 32
    template: str = ""
    """Faces are found, and aligned onto it."""
    size: tuple[int, int] | None = None
    """Height and width of pictures where the networks leave them open."""
    values: Mapping[str, Array] = field(default_factory=dict)
    """Inputs that are no picture, by name."""
    seed: int = 0


def picture_port(runner: Runner, values: Mapping[str, Array]) -> Port:
    """The input that takes the picture: the only one that is not among `values`. UsageError lists what there is."""
    left = [port for port in runner.inputs if port.name not in values]
    if len(left) == 1 and len(left[0].shape) in (0, 4):
        return left[0]
    listed = ", ".join(f"{port.name} {shown_shape(port.shape) or 'of any shape'}" for port in runner.inputs)
    hint = "Give the others values: --set NAME=NUMBER,NUMBER"
    raise UsageError(f"inputs of {runner.label}: {listed}", expected="one picture (N, C, H, W) to feed", hint=hint)


def size_of(ports: Sequence[Port], wish: Wish) -> tuple[int, int]:
    """Height and width of the pictures: of the first network that has a fixed one, else as wished. UsageError without any."""
    for port in ports:
        height, width = port.shape[2:] if len(port.shape) == 4 else (None, None)
        if height and width:
            return height, width
    if wish.size is not None:
        return wish.size
    if wish.template:
        template = template_named(wish.template)
        return template.height, template.width
    raise UsageError(f"{ports[0].name} takes pictures of any size", expected="one: --size HEIGHTxWIDTH")


def take_pictures(wish: Wish, size: tuple[int, int]) -> tuple[Image, str]:
    """uint8 BGR (N, height, width, 3), and where they come from. UsageError when none can be used."""
    height, width = size
    if wish.images is None:
        pixels = np.random.default_rng(wish.seed).integers(0, 256, (wish.count, height, width, 3), np.uint8)
        return pixels, f"{plural(wish.count, 'picture')} of random pixels, seed {wish.seed}"
    store = open_any_pictures(wish.images)
    order = np.random.default_rng(wish.seed).permutation(len(store.names))
    names = [store.names[index] for index in order]
    if wish.template:
        found = _aligned(store, names, wish)
        what = f"{plural(len(found), 'face')} aligned onto {wish.template}"
    else:
        found = [store.read(name) for name in names[: wish.count]]
        what = plural(len(found), "picture")
    resized = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in found]
    return np.stack(resized).astype(np.uint8), f"{what} from {store.label}"


def _aligned(store: PictureStore, names: Sequence[str], wish: Wish) -> list[Image]:
    detector = default_detector()
    faces: list[Image] = []
    tried = 0
    # A third as many again for pictures without a face; not the whole archive where there is none at all.
    most = wish.count * 3 + 20
    while len(faces) < wish.count and tried < min(len(names), most):
        some = names[tried : tried + wish.count - len(faces)]
        tried += len(some)
        faces += [face.image for face in align_pictures(store, some, detector, template_named(wish.template)).values()]
    if not faces:
        hint = "Name pictures with one clear face each, or leave --align out."
        raise UsageError(f"no face in {plural(tried, 'picture')}", where=store.label, expected="faces", hint=hint)
    return faces


def feeds_of(runner: Runner, pictures: Image, pixels: Pixels, wish: Wish) -> list[Feeds]:
    """For each picture what the runner is fed: the picture as a batch of one, and the values given."""
    port = picture_port(runner, wish.values)
    channels = port.shape[1] if len(port.shape) == 4 else 3
    if channels not in PICTURE_CHANNELS and channels is not None:
        raise UsageError(f"{port.name} {shown_shape(port.shape)}", where=runner.label, expected="1 or 3 channels")
    colour = "GREY" if channels == 1 else pixels.colour
    values = feed(pictures, colour, pixels.normalisation)
    others = {one.name: wish.values[one.name] for one in runner.inputs if one.name in wish.values}
    return [{port.name: values[index : index + 1], **others} for index in range(len(values))]
