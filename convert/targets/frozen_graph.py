"""Network -> frozen GraphDef (.pb) as OpenCV's readNetFromTensorflow takes it: 4.8 and later, and 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Network
from convert.onnx_model import LARGEST_FILE
from convert.runners.layout import to_nchw, to_nhwc
from convert.runners.opencv import OpenCvRunner
from convert.targets.base import Options
from convert.targets.opencv_ops import OPENCV_EMITTERS, UNKNOWN_TO_OPENCV, OpenCvEmission
from convert.targets.opencv_ops.text import text_graph
from convert.targets.tensorflow_ops import Emitted, concrete, emitted
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError

_TOLERANCE = 1e-3
"""Of the largest number of an output: float32 in two runtimes. What is read wrongly is off by far more."""
_HINT = "Write it as ONNX, which OpenCV reads more of."
_OPEN_HINT = "Write it for a fixed number of pictures, or as ONNX, which OpenCV reads more of."


def write_frozen_graph(network: Network, path: Path, options: Options) -> list[Path]:
    """Write `path`; the same bytes for the same network. Nothing is left behind where that fails.

    The file holds constants and operators that TensorFlow 1 had, no functions and no variables. OpenCV needs no text graph
    beside it; `options.with_text` writes one of the same name that ends in .pbtxt, for those who want to edit it. What OpenCV makes
    of the file is compared with TensorFlow: ModelError where they differ.
    """
    made = frozen_graph(network, options.batch)
    data = made.graph_def.SerializeToString(deterministic=True)
    if len(data) > LARGEST_FILE:
        raise ModelError(f"{len(data)} bytes", expected=f"at most {LARGEST_FILE}, what a protocol buffer holds")
    files = {path: data}
    if options.with_text:
        files[path.with_suffix(".pbtxt")] = text_graph(made.graph_def, made.outputs).encode()
    drafts = {target: target.with_name(f"{target.name}.part") for target in files}
    try:
        for target, draft in drafts.items():
            draft.write_bytes(files[target])
        try:
            prove(network, made, drafts[path], drafts.get(path.with_suffix(".pbtxt")))
        except ModelError as error:
            hint = _HINT if options.batch is not None else _OPEN_HINT
            raise ModelError(f"OpenCV does not read it rightly: {error.problem}", where=str(path), hint=hint) from error
        for target, draft in drafts.items():
            draft.replace(target)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
    return list(files)


def frozen_graph(network: Network, batch: int | None = 1) -> Emitted:
    """The graph for OpenCV. ModelError names all operators at once that OpenCV's reader does not have."""
    unknown = [str(node) for node in network.nodes if node.op in UNKNOWN_TO_OPENCV]
    if unknown:
        raise ModelError(f"{len(unknown)} operator(s) that OpenCV does not read: {', '.join(unknown)}", hint=_HINT)
    made = emitted(network, OPENCV_EMITTERS, batch, OpenCvEmission)
    wide = [node.name for node in made.graph_def.node if node.op == "Reshape" and _rank(made.graph_def, node) > 4]
    if wide:
        raise ModelError(f"more than four axes at {', '.join(wide)}", expected="four at most, for OpenCV", hint=_HINT)
    return made


def _rank(graph_def: Any, reshape: Any) -> int:
    shape = next(node for node in graph_def.node if node.name == reshape.input[1])
    return int(shape.attr["value"].tensor.tensor_shape.dim[0].size)


def prove(network: Network, made: Emitted, path: Path, config: Path | None) -> None:
    """ModelError where OpenCV computes something else from the file than TensorFlow from the graph, or nothing at all."""
    feeds = _examples(network, made)
    if feeds is None:
        return
    tf = import_tensorflow()
    function = concrete(made)
    expected = [
        to_nchw(value.numpy()) for value in function(*(tf.constant(to_nhwc(value)) for value in feeds.values()))
    ]
    runner = OpenCvRunner(path, config=config)
    found = runner.run(feeds, made.outputs)
    for name, value in zip(made.outputs, expected, strict=True):
        off = _difference(found.get(name), value)
        if off > _TOLERANCE:
            raise ModelError(
                f"{runner.label} computes {name!r} otherwise than TensorFlow, {off:.1e} of its largest number off"
            )


def _examples(network: Network, made: Emitted) -> dict[str, Array] | None:
    """Random pictures as the inputs expect them, two where the batch is open; None where another size is."""
    random = np.random.default_rng(0)
    feeds = {}
    for port, name in zip(network.inputs, made.inputs, strict=True):
        if None in port.shape[1:]:
            return None
        placeholder = next(node for node in made.graph_def.node if node.name == name).attr["shape"].shape.dim
        batch = 2 if placeholder and placeholder[0].size < 0 else placeholder[0].size if placeholder else 1
        values = random.random((batch, *(size or 1 for size in port.shape[1:])) if port.shape else ())
        feeds[name] = np.asarray(
            values if network.std == 1 else (values * 255 - network.mean) / network.std, np.float32
        )
    return feeds


def _difference(found: Array | None, expected: Array) -> float:
    """Relative to the largest number. OpenCV has no vectors: to it they are columns."""
    if found is None or found.size != expected.size or (found.shape != expected.shape and expected.ndim > 1):
        return float("inf")
    largest = float(np.abs(expected).max(initial=1e-6))
    off = float(np.abs(found.reshape(expected.shape) - expected).max(initial=0)) / largest
    return off if np.isfinite(off) else float("inf")
