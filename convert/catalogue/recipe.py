"""The schema of a recipe: all that has to be known of a model to turn it into artifacts and a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convert.passes.mtcnn import MtcnnForm
from convert.passes.ssd import SsdForm
from edge.align import TEMPLATES
from edge.bundle.manifest import DIGEST, Normalisation, OperatingPoint
from edge.validation import setting

ROLES = ("embedder", "detector", "spoof", "other")
FORMATS = (
    "onnx", "frozen-graph", "tf1-checkpoint", "saved-model", "keras", "pytorch", "mxnet", "caffe", "tflite", "numpy",
)  # fmt: skip
TARGETS = (
    "onnx", "opencv-pb", "saved-model", "tflite-float32", "tflite-float16", "tflite-dynamic", "tflite-int8",
    "tflite-uint8", "tflite-uint8-legacy",
)  # fmt: skip
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file as its author published it."""

    name: str = setting(doc="file name in the model's folder", pattern=r"[A-Za-z0-9_.][A-Za-z0-9_. -]{0,127}")
    sha256: str = setting("", doc="digest of its bytes; empty where it is not known", pattern=rf"({DIGEST})?")
    bytes: int = setting(0, doc="its size, 0 where it is not known", minimum=0)
    url: str = setting("", doc="where `fetch` gets it; empty where its author offers no direct address")


@dataclass(frozen=True, slots=True)
class Part:
    """One network of the model: which files hold it, and what an importer has to be told."""

    files: tuple[str, ...] = setting(doc="names of its files")
    format: str = setting(doc="format of the files", choices=FORMATS)
    inputs: tuple[str, ...] = setting((), doc="names of the inputs; found when empty")
    outputs: tuple[str, ...] = setting((), doc="names of the outputs; found when empty")
    names: dict[str, str] = setting({}, doc="output of the source -> name in the artifacts")
    shapes: dict[str, tuple[int, ...]] = setting(
        {}, doc="input -> shape in the source's own layout; '' for the only one"
    )
    architecture: str = setting("", doc="of files that hold weights alone")
    signature: str = setting("", doc="of a SavedModel")
    constants: dict[str, Any] = setting({}, doc="placeholders bound to a value")


@dataclass(frozen=True, slots=True)
class EmbedderUse:
    """How its embedder is fed, and what belongs to it in a manifest."""

    embedder_id: str = setting(doc="galleries belong to this", pattern=r"[A-Za-z0-9._-]{1,48}")
    alignment_template: str = setting(doc="where a face lies in its input", choices=tuple(TEMPLATES))
    colour_order: str = setting(doc="order of the channels it expects", choices=("BGR", "RGB"))
    normalisation: Normalisation = setting(
        Normalisation(), doc="of its input; mean 0 and std 1 when it normalises inside"
    )
    add_mirrored: bool = setting(default=False, doc="embed the mirrored face too and add both")


@dataclass(frozen=True, slots=True)
class DetectorUse:
    """How its detector is run; the fields are those of the manifest's detector."""

    kind: str = setting(doc="what decodes its outputs", choices=("yunet", "mtcnn", "ssd"))
    confidence: float = setting(0.6, doc="least confidence of a face", minimum=0, maximum=1)
    nms_iou: float = setting(0.3, doc="overlap above which two boxes are one face", minimum=0, maximum=1)
    smallest_px: float = setting(10.0, doc="smallest face that it finds", minimum=1)
    largest_px: float = setting(300.0, doc="largest face that it finds", minimum=8)
    input_width_px: int | None = setting(None, doc="fixed width of the network's input", minimum=8)
    input_height_px: int | None = setting(None, doc="fixed height", minimum=8)
    colour_order: str = setting("BGR", doc="order of the channels it expects", choices=("BGR", "RGB"))
    normalisation: Normalisation = setting(Normalisation(), doc="of its input")
    thresholds: tuple[float, ...] = setting((), doc="mtcnn: confidence after each of the three stages")
    box_form: str = setting("corners", doc="ssd: what the boxes are", choices=("corners", "offsets"))
    mtcnn: MtcnnForm | None = setting(None, doc="mtcnn: how the source differs from the form that the device runs")
    ssd: SsdForm | None = setting(None, doc="ssd: priors, where the source does not decode its boxes itself")


@dataclass(frozen=True, slots=True)
class Picture:
    """How a picture becomes the input of a network that is neither embedder nor detector."""

    colour_order: str = setting("BGR", doc="order of the channels", choices=("BGR", "RGB", "GREY"))
    normalisation: Normalisation = setting(Normalisation(), doc="of the input")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model."""

    title: str = setting(doc="one line for a person")
    role: str = setting(doc="what it is for", choices=ROLES)
    source: str = setting(doc="where it comes from")
    licence: str = setting(doc="licence of the weights, as stated there")
    files: tuple[SourceFile, ...] = setting(doc="every file")
    parts: dict[str, Part] = setting(
        doc="its networks: model, or pnet, rnet and onet of an MTCNN, or names of your own"
    )
    folder: str = setting("", doc="folder of the files; the recipe's own name when empty", pattern=rf"({NAME})?")
    obtain: str = setting("", doc="what a person has to do to get the files, where `fetch` cannot")
    embedder: EmbedderUse | None = setting(None, doc="role embedder")
    detector: DetectorUse | None = setting(None, doc="role detector")
    picture: Picture | None = setting(None, doc="other roles")
    targets: tuple[str, ...] = setting(TARGETS, doc="what it can be written as", choices=TARGETS)
    operating_points: dict[str, dict[str, OperatingPoint]] = setting(
        {},
        doc="embedder: target (or 'float32' for all that compute in floating point, 'tflite-uint8-faithful' for integers that"
        " were searched) -> name -> threshold",
    )
    published: dict[str, Any] = setting({}, doc="figures that its authors give")

    @property
    def provenance(self) -> str:
        """What it is and where it comes from."""
        return self.title if self.title == self.source else f"{self.title}, {self.source}"

    def __post_init__(self) -> None:
        needed = {"embedder": self.embedder, "detector": self.detector}.get(self.role, True)
        if needed is None:
            raise ValueError(f"role {self.role} without the section {self.role}; expected how it is used")
        known = {file.name for file in self.files}
        named = {name for part in self.parts.values() for name in part.files}
        if named - known:
            raise ValueError(f"parts name {', '.join(sorted(named - known))}; expected files listed in files")
        if not self.parts:
            raise ValueError("parts is empty; expected at least one network")
