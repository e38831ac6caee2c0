"""`manifest.json`: what a bundle declares so that nobody has to guess it.

The dataclasses here are the schema, version 1; `docs/schemas/manifest.schema.json` is generated from them. Unknown keys
are faults: a manifest from a newer version says so by its `schema` number, and is refused by that number first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.align import TEMPLATES
from edge.validation import setting

SCHEMA_VERSION = 1
ROLES = ("detector", "embedder", "spoof", "document")
ZERO_POINTS = {"float32": (0, 0), "uint8": (0, 255), "int8": (-128, 127)}
DIGEST = r"[0-9a-f]{64}"
FILE_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
"""Artifacts lie beside the manifest: no folders, so no way out of the bundle."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the bundle."""

    path: str = setting(doc="name of a file beside the manifest", pattern=FILE_NAME, example="embedder.tflite")
    role: str = setting(doc="what it is for", choices=ROLES)
    sha256: str = setting(doc="digest of its bytes", pattern=DIGEST)
    bytes: int = setting(doc="its size", minimum=0)
    source: str = setting("", doc="which model it was made from")
    licence: str = setting("", doc="licence of the weights")


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Pixels to what the network was trained on.

    `fixed`: (pixel - mean) / std. `prewhiten`: mean and standard deviation of this very picture, the latter at least
    1/sqrt(number of values), as FaceNet (Schroff et al. 2015; davidsandberg/facenet) does it.
    """

    kind: str = setting("fixed", doc="fixed or prewhiten", choices=("fixed", "prewhiten"))
    mean: float = setting(0.0, doc="subtracted from every pixel, 0 to 255")
    std: float = setting(1.0, doc="then divided by", minimum=1e-6)


@dataclass(frozen=True, slots=True)
class Detector:
    """How to run the detector. Sizes in pixels of the picture that the detector sees."""

    kind: str = setting(doc="yunet, mtcnn or ssd", choices=("yunet", "mtcnn", "ssd"))
    artifacts: dict[str, str] = setting(
        doc="part -> file: {model: ...}, or {pnet: ..., rnet: ..., onet: ...} for mtcnn"
    )
    confidence: float = setting(0.6, doc="least confidence of a face", minimum=0, maximum=1)
    nms_iou: float = setting(0.3, doc="overlap above which two boxes are one face", minimum=0, maximum=1)
    smallest_px: float = setting(10.0, doc="smallest face that it finds", minimum=1)
    largest_px: float = setting(
        300.0, doc="largest face that it finds; larger ones are looked for in a smaller picture", minimum=8
    )
    input_width_px: int | None = setting(
        None, doc="fixed width of the network's input; None where it takes any", minimum=8
    )
    input_height_px: int | None = setting(None, doc="fixed height", minimum=8)
    colour_order: str = setting("BGR", doc="order of the channels it expects", choices=("BGR", "RGB"))
    normalisation: Normalisation = setting(Normalisation(), doc="of its input; yunet takes raw pixels")
    thresholds: tuple[float, ...] = setting((), doc="mtcnn: confidence after each of the three stages")
    box_form: str = setting(
        "corners",
        doc="ssd: boxes are corners as parts of the input's size, or offsets from priors (RFB-320 without post-processing)",
        choices=("corners", "offsets"),
    )


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = (value - zero_point) * scale, as the TFLite quantisation specification defines it."""

    dtype: str = setting(doc="dtype of the tensor", choices=("float32", "uint8", "int8"))
    scale: float = setting(0.0, doc="0 for float32", minimum=0)
    zero_point: int = setting(0, doc="value that means 0.0", minimum=-128, maximum=255)

    def __post_init__(self) -> None:
        if (self.scale > 0) == (self.dtype == "float32"):
            raise ValueError(f"scale {self.scale:g} for {self.dtype}; expected 0 for float32, more for integers")
        low, high = ZERO_POINTS[self.dtype]
        if not low <= self.zero_point <= high:
            raise ValueError(f"zero_point {self.zero_point} for {self.dtype}; expected {low} to {high}")


@dataclass(frozen=True, slots=True)
class Embedder:
    """How to run the embedder."""

    artifact: str = setting(doc="file of the network", pattern=FILE_NAME)
    runtime: str = setting(doc="what runs it", choices=("tflite", "opencv"))
    embedder_id: str = setting(
        doc="galleries belong to this; changes with anything that changes embeddings",
        pattern=r"[A-Za-z0-9._-]{1,64}",
        example="ostiary-student-1",
    )
    alignment_template: str = setting(
        doc="where a face lies in its input", choices=tuple(TEMPLATES), example="arcface-112x112"
    )
    embedding_length: int = setting(doc="values in an embedding", minimum=2, maximum=4096)
    colour_order: str = setting(doc="order of the channels it expects", choices=("BGR", "RGB"))
    normalisation: Normalisation = setting(
        Normalisation(), doc="of its input; mean 0 and std 1 when it normalises inside"
    )
    input: Quantisation = setting(Quantisation("float32"), doc="of the input tensor")
    output: Quantisation = setting(Quantisation("float32"), doc="of the output tensor")
    output_name: str = setting("", doc="name of the output; the only one when empty")
    add_mirrored: bool = setting(default=False, doc="embed the mirrored face too and add both, at twice the time")

    def __post_init__(self) -> None:
        if self.runtime == "opencv" and not self.input.dtype == self.output.dtype == "float32":
            raise ValueError("an integer tensor with runtime opencv; expected float32, or runtime tflite")


@dataclass(frozen=True, slots=True)
class Confidence:
    """95 % intervals, found by drawing people again (convert/accuracy/person_bootstrap.py), each from its lower to its upper end."""

    threshold: tuple[float, float] = setting(
        doc="where the threshold for this false match rate would lie with other people", minimum=-1, maximum=1
    )
    fmr: tuple[float, float] = setting(doc="FMR at the threshold given", minimum=0, maximum=1)
    fnmr: tuple[float, float] = setting(doc="FNMR at the threshold given", minimum=0, maximum=1)
    people: int = setting(doc="how many people were drawn from", minimum=2)

    def __post_init__(self) -> None:
        for name in ("threshold", "fmr", "fnmr"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} from {low:g} to {high:g}; expected the lower end first")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and where it comes from."""

    threshold: float = setting(
        doc="similarity at and above which two faces are taken for one person", minimum=-1, maximum=1
    )
    fmr: float = setting(doc="share of impostor comparisons that reach it", minimum=0, maximum=1)
    fnmr: float = setting(doc="share of genuine comparisons that do not", minimum=0, maximum=1)
    impostor_pairs: int = setting(doc="how many impostor comparisons were made", minimum=0)
    genuine_pairs: int = setting(doc="how many genuine ones", minimum=0)
    measured_on: str = setting(doc="the data")
    confidence_95: Confidence | None = setting(
        None, doc="how sure these figures are; None where nobody worked it out, or where there are too few people"
    )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of manifest.json."""

    schema: int = setting(doc="version of this format", choices=(SCHEMA_VERSION,))
    bundle_id: str = setting(
        doc="name and version of the bundle", pattern=r"[A-Za-z0-9._-]{1,64}", example="ostiary-default-1"
    )
    description: str = setting(doc="one or two sentences for a person")
    files: tuple[File, ...] = setting(doc="every file but the manifest")
    detector: Detector = setting(doc="how to run the detector")
    embedder: Embedder = setting(doc="how to run the embedder")
    operating_points: dict[str, OperatingPoint] = setting(doc="name -> threshold")
    tools: dict[str, str] = setting({}, doc="what made it: tool -> version")
    recipe: dict[str, Any] = setting({}, doc="how it was made; for people and convert, not for the device")
    measured: dict[str, Any] = setting({}, doc="figures of the whole bundle, with the data they were measured on")

    def __post_init__(self) -> None:
        known = {file.path for file in self.files}
        if len(known) != len(self.files):
            raise ValueError("a file is listed twice in files; expected each once")
        named = [*self.detector.artifacts.values(), self.embedder.artifact]
        missing = sorted(set(named) - known)
        if missing:
            raise ValueError(
                f"artifacts not listed in files: {', '.join(missing)}; expected every artifact with its digest"
            )
        parts = {"mtcnn": {"pnet", "rnet", "onet"}}.get(self.detector.kind, {"model"})
        if set(self.detector.artifacts) != parts:
            raise ValueError(
                f"detector.artifacts has {sorted(self.detector.artifacts)}; expected {sorted(parts)} for {self.detector.kind}"
            )
        if not self.operating_points:
            raise ValueError("operating_points is empty; expected at least one")
