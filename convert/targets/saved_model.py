"""Network -> SavedModel in the layout of TensorFlow Serving: `PATH/1/saved_model.pb`, one signature `serving_default`.

The file is written from the graph itself and not by tf.saved_model.save, which puts counters and random identifiers in it:
the same network gives the same bytes. All weights are constants of the graph, so there are no variables beside it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from convert.network import Network
from convert.onnx_model import LARGEST_FILE
from convert.targets.base import Options
from convert.targets.tensorflow_ops import EMITTERS, Emitted, emitted
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError

VERSION = "1"
SIGNATURE = "serving_default"
NOTES = "assets.extra/preprocessing.json"


def write_saved_model(network: Network, path: Path, options: Options) -> list[Path]:
    """Write the folder `path`, which must not hold a version 1 yet; nothing is left behind where that fails.

    A batch of 1 is left open, as is None, unless the network mixes the pictures of a batch; any other is fixed.
    `options.colour_order` is the order of an input's channels, RGB, BGR or GREY, for the notes in `assets.extra`.
    """
    if (path / VERSION).exists():
        raise UsageError(f"version {VERSION} is there already", where=str(path), expected="a new folder")
    made = _with_open_batch(network) if options.batch in {None, 1} else emitted(network, EMITTERS, options.batch)
    files = {"saved_model.pb": saved_model_bytes(made), NOTES: _notes(network, made, options.colour_order)}
    is_new = not path.exists()
    draft = path / f"{VERSION}.part"
    try:
        for name, data in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(data)
        draft.replace(path / VERSION)
    except OSError:
        shutil.rmtree(path if is_new else draft, ignore_errors=True)
        raise
    return [path / VERSION / name for name in files]


def _with_open_batch(network: Network) -> Emitted:
    try:
        return emitted(network, EMITTERS, None)
    except ModelError:
        return emitted(network, EMITTERS, 1)


def saved_model_bytes(made: Emitted) -> bytes:
    """`saved_model.pb` for a graph: tag `serve`, signature with the graph's names. ModelError where it is too large."""
    tf = import_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = tf.__version__
    meta.graph_def.CopyFrom(made.graph_def)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = "tensorflow/serving/predict"
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(made.graph_def, name="")
    for names, entries in ((made.inputs, signature.inputs), (made.outputs, signature.outputs)):
        for name in names:
            tensor, entry = graph.get_tensor_by_name(f"{name}:0"), entries[name]
            entry.name, entry.dtype = tensor.name, tensor.dtype.as_datatype_enum
            entry.tensor_shape.CopyFrom(tensor.shape.as_proto())
    if model.ByteSize() > LARGEST_FILE:
        raise ModelError(f"{model.ByteSize()} bytes", expected=f"at most {LARGEST_FILE}, what a protocol buffer holds")
    return bytes(model.SerializeToString(deterministic=True))


def _notes(network: Network, made: Emitted, colour: str) -> bytes:
    """What a signature does not say: order of the outputs, layout, and what a pixel becomes."""
    notes: dict[str, Any] = {
        "inputs": list(made.inputs),
        "outputs": list(made.outputs),
        "layout": "NHWC for four axes",
        "normalisation": {"formula": "(pixel - mean) / std", "mean": network.mean, "std": network.std},
    }
    if colour:
        notes["colour"] = colour
    return (json.dumps(notes, indent=2) + "\n").encode()
