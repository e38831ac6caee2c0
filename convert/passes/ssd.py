"""What single-shot detectors leave to a program behind them: priors, and boxes out of offsets from them.

Sources give offsets, class scores, and sometimes priors; the device (edge.detect.ssd) wants `scores` (1, N, 2), softmax, and
`boxes` (1, N, 4), corners as parts of the input's size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convert.network import Array, Floats, Network, Node, Shape
from convert.passes.priors import centres
from convert.passes.rename import renamed
from convert.passes.tidy import tidy
from convert.shapes import infer_shapes
from convert.targets.base import DetectionHead
from edge.detect.ssd import priors as ultralight_priors
from edge.errors import ModelError
from edge.validation import setting

ULTRALIGHT = "ultralight"
SCORES, BOXES = "scores", "boxes"


@dataclass(frozen=True, slots=True)
class SsdForm:
    """Which outputs of a source are what, and where its priors are."""

    offsets: str = setting(doc="output with the offsets from the priors, N * 4 values")
    scores: str = setting(doc="output with the scores of the classes, N * classes values; the first is the background")
    priors: str = setting(
        doc="`ultralight` for those of RFB-320 and slim-320, or the output that gives them (Caffe's PriorBox)"
    )
    variances: tuple[float, float] = setting(
        (0.1, 0.2), doc="of centres and of sizes, where the priors come without them"
    )


def decoded(network: Network, form: SsdForm) -> Network:
    """A network with the outputs `scores` (1, N, classes) and `boxes` (1, N, 4), decoded (Liu et al. 2016, equation 2).

    Centres are prior + offset * variance * size, sizes prior * exp(offset * variance); then corners. ModelError where outputs
    are missing or numbers do not fit.
    """
    priors, variances = priors_of(network, form)
    network = _raw(network, form, len(priors))
    centre, half = f"{BOXES}/centre", f"{BOXES}/half"
    nodes = [_cut("offset_centre", 0, 2), _cut("offset_size", 2, 4)]
    nodes += _chain("offset_centre", [("Mul", variances[0] * priors[:, 2:]), ("Add", priors[:, :2])], centre)
    nodes += _chain("offset_size", [("Mul", np.float32(variances[1])), ("Exp", None), ("Mul", priors[:, 2:] / 2)], half)
    nodes += [_Part("Sub", (centre, half), f"{BOXES}/first"), _Part("Add", (centre, half), f"{BOXES}/last")]
    nodes.append(_Part("Concat", (f"{BOXES}/first", f"{BOXES}/last"), BOXES, {"axis": 2}))
    return _with_parts(network, nodes, (SCORES, BOXES))


def detection_head(
    network: Network, form: SsdForm, *, confidence: float = 0.5, nms_iou: float = 0.3, most: int = 100
) -> tuple[Network, DetectionHead]:
    """For TFLite_Detection_PostProcess: the network with raw outputs `scores` and `offsets`, each (1, N, ...), and what it needs."""
    priors, variances = priors_of(network, form)
    raw = _raw(network, form, len(priors))
    head = DetectionHead(
        offsets=f"{BOXES}/offsets",
        scores=SCORES,
        priors=priors,
        variances=variances,
        confidence=confidence,
        nms_iou=nms_iou,
        most=most,
    )
    return tidy(raw.with_outputs((SCORES, head.offsets))), head


def priors_of(network: Network, form: SsdForm) -> tuple[Floats, tuple[float, float]]:
    """((N, 4) centre x, centre y, width, height as parts of the input's size; variances of centres and sizes)."""
    if form.priors == ULTRALIGHT:
        _, _, height, width = network.input_shape
        return ultralight_priors(width, height), form.variances
    values = _value(network, form.priors)
    if values.ndim != 3 or values.shape[:2] != (1, 2) or values.shape[2] % 4:
        raise ModelError(
            f"priors {form.priors!r} of shape {list(values.shape)}", expected="(1, 2, N * 4), as PriorBox gives them"
        )
    corners, spread = values[0].reshape(2, -1, 4)
    if np.ptp(spread, axis=0).max() > 0 or spread[0, 0] != spread[0, 1] or spread[0, 2] != spread[0, 3]:
        raise ModelError(
            f"variances of {form.priors!r} differ from prior to prior", expected="one for centres, one for sizes"
        )
    return centres(corners.astype(np.float32)), (float(spread[0, 0]), float(spread[0, 2]))


def _value(network: Network, name: str) -> Array:
    """A tensor that is a constant, perhaps behind the Identity that makes it an output."""
    node = network.maker(name)
    while node is not None and node.op == "Identity":
        name = node.inputs[0]
        node = network.maker(name)
    if name not in network.constants:
        expected = f"{ULTRALIGHT!r}, or one of {', '.join(network.outputs)} that is constant"
        raise ModelError(f"{name!r} holds no constant priors", expected=expected)
    return network.constants[name]


def _raw(network: Network, form: SsdForm, count: int) -> Network:
    """Outputs `scores` and `boxes/offsets` as (1, N, ...), whatever shape the source gives them."""
    missing = [name for name in (form.offsets, form.scores) if name not in network.outputs]
    if missing:
        raise ModelError(f"no output {', '.join(missing)}", expected=", ".join(network.outputs))
    # Their names may be those that the decoded ones are to have.
    network = renamed(network, {form.offsets: "raw/offsets", form.scores: "raw/scores"})
    shapes = infer_shapes(_for_one_picture(network))
    offsets, scores = (_values(shapes, name) for name in ("raw/offsets", "raw/scores"))
    if offsets != 4 * count or scores % count or scores // count < 2:
        raise ModelError(
            f"{offsets} offsets and {scores} scores for {count} priors", expected=f"{4 * count}, and a multiple"
        )
    parts = [
        _Part("Reshape", ("raw/offsets", np.array([1, count, 4], np.int64)), f"{BOXES}/offsets"),
        _Part("Reshape", ("raw/scores", np.array([1, count, scores // count], np.int64)), SCORES),
    ]
    return _with_parts(network, parts, (SCORES, f"{BOXES}/offsets"))


def _for_one_picture(network: Network) -> Network:
    """A detector's priors are those of one picture of one size: its batch is 1."""
    return replace(network, inputs=tuple(replace(port, shape=(1, *port.shape[1:])) for port in network.inputs))


def _values(shapes: dict[str, Shape], name: str) -> int:
    shape = shapes.get(name, (None,))
    if None in shape:
        raise ModelError(f"output {name.removeprefix('raw/')!r} of shape {list(shape)}", expected="fixed sizes")
    return int(np.prod([size or 0 for size in shape], dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A node to be; arrays among its inputs become constants."""

    op: str
    inputs: tuple[Any, ...]
    output: str
    attributes: dict[str, Any] | None = None


def _cut(name: str, start: int, end: int) -> _Part:
    bounds = [np.array([value], np.int64) for value in (start, end, 2)]
    return _Part("Slice", (f"{BOXES}/offsets", *bounds), f"{BOXES}/{name}")


def _chain(source: str, steps: list[tuple[str, Any]], output: str) -> list[_Part]:
    parts, name = [], f"{BOXES}/{source}"
    for index, (op, value) in enumerate(steps):
        made = output if index == len(steps) - 1 else f"{BOXES}/{source}{index}"
        inputs = (name,) if value is None else (name, np.asarray(value, np.float32))
        parts.append(_Part(op, inputs, made))
        name = made
    return parts


def _with_parts(network: Network, parts: list[_Part], outputs: tuple[str, ...]) -> Network:
    nodes, constants = list(network.nodes), dict(network.constants)
    for part in parts:
        names = []
        for place, value in enumerate(part.inputs):
            names.append(value if isinstance(value, str) else f"{part.output}/c{place}")
            if not isinstance(value, str):
                constants[names[-1]] = value
        nodes.append(Node(part.op, f"ssd/{part.output}", tuple(names), (part.output,), part.attributes or {}))
    return tidy(replace(_for_one_picture(network), nodes=tuple(nodes), constants=constants, outputs=outputs))
