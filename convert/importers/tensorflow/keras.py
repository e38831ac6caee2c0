"""Keras model (.h5, .keras) -> Network, by the Keras 3 of the installed TensorFlow."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.base import Imported, Request
from convert.importers.tensorflow.graph import node_of, operators_of
from convert.importers.tensorflow.graph_def import import_graph_def
from convert.importers.tensorflow.inference import cut_of, inference_graph
from convert.importers.tensorflow.keras_files import KerasFile, read_keras_file
from convert.importers.tensorflow.keras_repairs import repaired_config
from convert.importers.tensorflow.keras_settings import settings_of
from convert.importers.tensorflow.session import OriginalRunner
from convert.network import Array, Port
from convert.runners.base import Feeds, Outputs
from convert.runners.tensorflow import TensorFlowRunner, frozen_function
from convert.tensorflow import import_tensorflow, plain_name
from edge.errors import MissingDependencyError, ModelError, UsageError

_FAULTS = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, OSError, ImportError, AssertionError,
    MemoryError, ArithmeticError,
)  # fmt: skip
"""What Keras raises of a configuration that does not fit together."""


def import_keras(request: Request) -> Imported:
    """The network of a whole model; outputs have the names of the layers that make them.

    The reference is the Keras model. UsageError or ModelError where it is damaged, or would run code.
    """
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one Keras model (.h5 or .keras)")
    path = request.files[0]
    where = str(path)
    file = read_keras_file(path)
    tf, keras = import_tensorflow("reading a Keras file"), _import_keras()
    config, notes = repaired_config(file.config, where, settings_of(keras))
    with _keras_errors(tf, where):
        layers = _output_layers(config)
        model = _model(keras, config, file, where)
        graph_def, inputs, outputs = _graph(tf, _with_resizing(tf, keras, model), layers)
    told = [f"Written by Keras {file.version}." if file.version else "", *notes]
    asked = _asked(request, inputs, outputs, graph_def)
    imported = import_graph_def(graph_def, asked, format="keras", notes=[note for note in told if note])
    read = imported.reference
    if isinstance(read, TensorFlowRunner) and set(asked.inputs) == set(inputs) and set(asked.outputs) <= set(outputs):
        whole = KerasRunner(Model(keras, model, inputs, outputs), read, where)
        return replace(imported, reference=OriginalRunner(whole, read))
    return imported


def _import_keras() -> Any:
    try:
        import keras
    except ImportError as error:
        raise MissingDependencyError("keras", extra="convert", purpose="reading a Keras file") from error
    if int(keras.__version__.split(".")[0]) < 3 or keras.backend.backend() != "tensorflow":
        found = f"Keras {keras.__version__} on {keras.backend.backend()}"
        raise UsageError(found, expected="Keras 3 on TensorFlow", hint="Unset KERAS_BACKEND and TF_USE_LEGACY_KERAS.")
    return keras


@contextlib.contextmanager
def _keras_errors(tf: Any, where: str) -> Iterator[None]:
    """What Keras and TensorFlow raise of a model becomes a ModelError."""
    try:
        yield
    except (*_FAULTS, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        hint = "Save the model again with the Keras that made it, or export it as a SavedModel (model.export)."
        raise ModelError(f"Keras cannot read it ({reason})", where=where, hint=hint) from error


def _model(keras: Any, config: Mapping[str, Any], file: KerasFile, where: str) -> Any:
    keras.config.set_floatx("float32")
    # Keras takes the dict apart.
    model = keras.saving.deserialize_keras_object(dict(config), safe_mode=True)
    if not model.built:
        raise ModelError(
            "a model whose input has no shape", where=where, hint="Save it after it was used, or with an Input layer."
        )
    if file.weights:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            path.write_bytes(file.weights)
            model.load_weights(str(path))
    else:
        _give_weights(model, file.by_layer, where)
    return model


def _give_weights(model: Any, by_layer: Mapping[str, Sequence[Array]], where: str) -> None:
    """By the layer's name; the order within a layer, trainable first, is that of every version."""
    given = {name.replace("/", "_"): values for name, values in by_layer.items()}
    for layer in model.layers:
        wanted = [*layer.trainable_weights, *layer.non_trainable_weights]
        values = given.get(layer.name, ())
        if [tuple(each.shape) for each in wanted] != [value.shape for value in values]:
            expected = ", ".join(str(list(each.shape)) for each in wanted) or "none"
            found = ", ".join(str(list(value.shape)) for value in values) or "none"
            raise ModelError(f"weights of layer {layer.name!r} of shapes {found}", where=where, expected=expected)
        for variable, value in zip(wanted, values, strict=True):
            variable.assign(value)


def _with_resizing(tf: Any, keras: Any, model: Any) -> Any:
    """The same model, whose nearest UpSampling2D is a Resize and not the many operators by which Keras 3 repeats pixels."""

    class Resized(keras.layers.UpSampling2D):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            rows, columns = tf.shape(inputs)[1], tf.shape(inputs)[2]
            size = tf.stack([rows * self.size[0], columns * self.size[1]])
            known = [None if one is None else one * by for one, by in zip(inputs.shape[1:3], self.size, strict=True)]
            size = size if None in known else known
            return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size, half_pixel_centers=True)

    def is_repeated(layer: Any) -> bool:
        is_nearest = type(layer) is keras.layers.UpSampling2D and layer.interpolation == "nearest"
        return is_nearest and layer.data_format == "channels_last"

    def clone(layer: Any) -> Any:
        return Resized.from_config(layer.get_config()) if is_repeated(layer) else layer

    if not any(is_repeated(layer) for layer in _all_layers(model)):
        return model
    return keras.models.clone_model(model, clone_function=clone, recursive=True)


def _output_layers(config: Mapping[str, Any]) -> list[str]:
    """Names of the layers that make the outputs."""
    inner = config["config"]
    if config["class_name"] == "Sequential":
        return [str(layer["config"]["name"]) for layer in inner["layers"][-1:]]
    return [str(place[0]) for place in inner["output_layers"]]


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)


def _graph(tf: Any, model: Any, layers: Sequence[str]) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """The model without its variables, its inputs and outputs called as their layers are."""
    names = [plain_name(name) for name in _unique([tensor.name for tensor in model.inputs])]
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=f"in{index}") for index, tensor in enumerate(model.inputs)]

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def run(*tensors: Any) -> list[Any]:
        made = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        return [tf.identity(each) for each in tf.nest.flatten(made)]

    graph_def, inputs, tensors = frozen_function(tf.function(run).get_concrete_function(*specs))
    outputs = [plain_name(name) for name in _unique(layers)]
    outputs = [f"{name}_output" if name in names else name for name in outputs]
    ops = operators_of(graph_def.node, "keras")
    cuts = [cut_of(graph_def, ops, tensor, name) for tensor, name in zip(inputs, names, strict=True)]
    part = inference_graph(graph_def, cuts, dict(zip(outputs, tensors, strict=True)), "keras")
    return part, tuple(names), tuple(outputs)


def _unique(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        made.append(name if name not in made else f"{name}_{len(made)}")
    return made


def _asked(request: Request, inputs: tuple[str, ...], outputs: tuple[str, ...], graph_def: Any) -> Request:
    kept = {node.name for node in graph_def.node}
    constants = {name: value for name, value in request.constants.items() if node_of(name) in kept}
    return replace(request, inputs=request.inputs or inputs, outputs=request.outputs or outputs, constants=constants)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A Keras model, and what its inputs and outputs are called, in its order."""

    keras: Any
    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class KerasRunner:
    """A model, called as Keras calls it."""

    def __init__(self, model: Model, read: TensorFlowRunner, where: str) -> None:
        """`read` has the same inputs and outputs, and knows the layout of each."""
        self._model, self._read, self._where = model, read, where
        self._tf = import_tensorflow("running a Keras model")

    @property
    def label(self) -> str:
        """`Keras 3.15.1`."""
        return f"Keras {self._model.keras.__version__}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes, pictures NCHW."""
        return self._read.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._read.outputs

    @property
    def tensors(self) -> tuple[str, ...]:
        """The outputs."""
        return self.outputs

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name, pictures NCHW."""
        if set(feeds) != set(self._model.inputs):
            found = f"fed with {', '.join(sorted(feeds)) or 'nothing'}"
            raise ModelError(found, where=self._where, expected=", ".join(self._model.inputs))
        with _keras_errors(self._tf, self._where):
            given = [
                self._tf.cast(self._read.to_source(name, np.asarray(feeds[name])), tensor.dtype)
                for name, tensor in zip(self._model.inputs, self._model.model.inputs, strict=True)
            ]
            made = self._model.model(given[0] if len(given) == 1 else given, training=False)
            values = dict(zip(self._model.outputs, self._tf.nest.flatten(made), strict=True))
        return {name: self._read.to_network(name, np.asarray(values[name])) for name in wanted or self.outputs}

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """One run of the same model as a graph, ready to be timed."""
        return self._read.prepared(feeds)
