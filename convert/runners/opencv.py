"""ONNX files, and TensorFlow's frozen graphs, in `cv2.dnn` as a device runs them: OpenCV 4.8 to 5, on the CPU.

Inner tensors: OpenCV 5 shows no inner layer, and OpenCV 4 shows a fused one under the name of its first part. So an ONNX
file is loaded again with the tensors asked for as outputs of the graph; of a frozen graph in OpenCV 4 the layers are read
with fusion switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.network import Array, Port, Shape
from convert.onnx_model import LARGEST_FILE, import_onnx_package
from convert.runners.base import Feeds, Outputs
from convert.runners.opencv_layers import layers_by_node
from convert.shapes import port_of
from edge.detect.network import opencv_silenced
from edge.errors import ModelError
from edge.interpreter import rehearse

_CHUNK = 64
"""Inner tensors in one run: all at once, a large network would keep every one of them in memory."""
_HINT = "The file may be damaged, or hold operators that this OpenCV does not know: build it again."


class OpenCvRunner:
    """Runs an ONNX file, or a .pb with an optional .pbtxt. Not for several threads at once.

    `cv2.dnn` ends the process on some damaged files, so loading, and the first run on each shape of input, are rehearsed
    in a child.
    """

    def __init__(self, path: Path, *, threads: int = 1, config: Path | None = None) -> None:
        """`config`: the .pbtxt of a .pb. ModelError where OpenCV cannot load the file."""
        self.path = path
        self._threads = threads
        self._data = _content(path)
        # A GraphDef begins with a node (field 1, a message), an ONNX model with its version (field 1, a number).
        self._is_onnx = self._data[:1].tobytes() != b"\x0a"
        self._config = _content(config) if config is not None else np.zeros(0, np.uint8)
        self._model = _onnx_model(path, self._data) if self._is_onnx else None
        self._inputs = _onnx_inputs(self._model) if self._is_onnx else _frozen_inputs(path)
        self._net = self._loaded(self._data)
        self._outputs = self._output_names()
        self._layers = self._inner_names()
        self._rehearsed: set[tuple[tuple[int, ...], ...]] = set()

    @property
    def label(self) -> str:
        """`cv2.dnn 5.0.0`."""
        return f"cv2.dnn {cv2.__version__}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes, NCHW."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._outputs

    @property
    def tensors(self) -> tuple[str, ...]:
        """Of an ONNX file the float tensors that the nodes make; of a frozen graph the nodes that OpenCV's layers stand for."""
        return tuple(self._layers)

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name: the outputs, or the tensors `wanted`. An inner tensor that OpenCV cannot give is left out."""
        names = tuple(wanted) or self._outputs
        unknown = [name for name in names if name not in self._layers and name not in self._outputs]
        if unknown:
            raise ModelError(f"no tensor {', '.join(unknown)}", where=str(self.path))
        given = self._checked(feeds)
        if set(names) <= set(self._outputs):
            found = self._forward(self._net, given, self._outputs)
            return {name: found[name] for name in names}
        computed: Outputs = {}
        for start in range(0, len(names), _CHUNK):
            computed.update(self._inner(given, names[start : start + _CHUNK]))
        return computed

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """Hand over the blob, forward, take the outputs."""
        given = self._checked(feeds)
        self._forward(self._net, given, self._outputs)
        net, names = self._net, list(self._outputs)

        def act() -> None:
            for name, value in given.items():
                net.setInput(value, name)
            net.forward(names)

        return act

    def _checked(self, feeds: Feeds) -> dict[str, Array]:
        names = [port.name for port in self._inputs]
        if set(feeds) != set(names):
            found = f"fed with {', '.join(sorted(feeds)) or 'nothing'}"
            raise ModelError(found, where=str(self.path), expected=", ".join(names))
        for port in self._inputs:
            # OpenCV 5 runs what does not fit, too, on whatever lies in memory.
            if not _fits(feeds[port.name].shape, port.shape):
                found = f"{port.name} of shape {list(feeds[port.name].shape)}"
                raise ModelError(found, where=str(self.path), expected=f"{list(port.shape)}")
        return {name: np.ascontiguousarray(feeds[name], np.float32) for name in names}

    def _inner(self, given: dict[str, Array], names: Sequence[str]) -> Outputs:
        """Halved until OpenCV takes it: one tensor that it cannot give must not hide all others."""
        try:
            if self._is_onnx:
                net = self._loaded(np.frombuffer(with_outputs(self._model, names), np.uint8))
            else:
                net = self._loaded(self._data)
                net.enableFusion(False)  # noqa: FBT003  OpenCV's own argument
            found = self._forward(net, given, [self._layers.get(name, name) for name in names], is_inner=True)
            return {name: found[layer] for name in names if (layer := self._layers.get(name, name)) in found}
        except ModelError:
            if len(names) == 1:
                return {}
        half = len(names) // 2
        return self._inner(given, names[:half]) | self._inner(given, names[half:])

    def _forward(self, net: Any, given: dict[str, Array], names: Sequence[str], *, is_inner: bool = False) -> Outputs:
        # OpenCV 5 gives all outputs or none.
        asked = [str(name) for name in net.getUnconnectedOutLayersNames()] if self._is_onnx else list(names)

        def act() -> Sequence[Any]:
            cv2.setNumThreads(self._threads)
            for name, value in given.items():
                net.setInput(value, name)
            return list(net.forward(asked))

        key = tuple(value.shape for value in given.values())
        if is_inner or key not in self._rehearsed:
            self._survive(act, f"on an input of shape {', '.join(map(str, key))}")
            if not is_inner:
                self._rehearsed.add(key)
        try:
            with opencv_silenced():
                values = act()
        except cv2.error as error:
            problem = f"{self.label} cannot run it on an input of shape {', '.join(map(str, key))} ({_cause(error)})"
            raise ModelError(problem, where=str(self.path), hint=_HINT) from error
        found = dict(zip(asked, values, strict=True))
        return {name: np.array(found[name], np.float32) for name in names if name in found}

    def _loaded(self, data: Array) -> Any:
        def act() -> Any:
            cv2.setNumThreads(self._threads)
            if self._is_onnx:
                return cv2.dnn.readNetFromONNX(data)
            return cv2.dnn.readNetFromTensorflow(data, self._config)

        self._survive(act, "when it reads it")
        try:
            with opencv_silenced():
                return act()
        except (cv2.error, AttributeError) as error:
            problem = f"{self.label} cannot load it ({_cause(error)})"
            raise ModelError(problem, where=str(self.path), hint=_HINT) from error

    def _survive(self, act: Callable[[], Any], when: str) -> None:
        # A fork leaves OpenCV's threads behind, and the child would wait for them for ever: end them before.
        cv2.setNumThreads(1)
        died = rehearse(act)
        if died:
            raise ModelError(f"{self.label} refuses it: {died} {when}", where=str(self.path), hint=_HINT)

    def _output_names(self) -> tuple[str, ...]:
        found = [str(name) for name in self._net.getUnconnectedOutLayersNames()]
        # OpenCV 4 sorts them by name.
        order = [value.name for value in self._model.graph.output] if self._model is not None else found
        return (*(name for name in order if name in found), *(name for name in found if name not in order))

    def _inner_names(self) -> dict[str, str]:
        """Tensor -> what OpenCV calls it."""
        if self._model is not None:
            kinds = _float_tensors(self._model)
            return {name: name for node in self._model.graph.node for name in node.output if name in kinds}
        from convert.importers.tensorflow.graph import load_graph_def

        layers = [str(name) for name in self._net.getLayerNames()]
        return layers_by_node(load_graph_def(self.path), layers)


def with_outputs(model: Any, names: Sequence[str]) -> bytes:
    """The ONNX model with these tensors as further outputs; their types are inferred."""
    onnx = import_onnx_package("layers of an ONNX file")
    known = _float_tensors(model)
    have = {value.name for value in model.graph.output}
    extra = onnx.ModelProto()
    for name in names:
        if name in have:
            continue
        value = extra.graph.output.add()
        value.CopyFrom(known[name])
        # OpenCV asks for a shape to be there, and then does not look at it.
        value.type.tensor_type.shape.SetInParent()
    # Protocol buffers join messages that stand one behind the other, and repeated fields are appended to.
    return bytes(model.SerializeToString() + extra.SerializeToString())


def _content(path: Path) -> Array:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected=f"at most {LARGEST_FILE}")
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="an ONNX file, or a frozen graph"
        ) from error


def _onnx_model(path: Path, data: Array) -> Any:
    from google.protobuf.message import DecodeError

    onnx = import_onnx_package("reading an ONNX file")
    try:
        model = onnx.load_model_from_string(data.tobytes())
    except (DecodeError, ValueError) as error:
        raise ModelError(f"not a sound ONNX file ({_cause(error)})", where=str(path)) from error
    if not model.graph.node:
        raise ModelError("not a sound ONNX file (no nodes)", where=str(path))
    return model


def _onnx_inputs(model: Any) -> tuple[Port, ...]:
    onnx = import_onnx_package("reading an ONNX file")
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in constants]
    return tuple(port_of(onnx, value) or Port(value.name, ()) for value in given)


def _frozen_inputs(path: Path) -> tuple[Port, ...]:
    """OpenCV does not tell them."""
    from convert.runners.tensorflow import open_tensorflow

    return open_tensorflow(path).inputs


def _float_tensors(model: Any) -> dict[str, Any]:
    """What is known of the float32 tensors; OpenCV gives no others."""
    onnx = import_onnx_package("reading an ONNX file")
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (RuntimeError, ValueError, TypeError):
        inferred = model
    values = [*inferred.graph.value_info, *inferred.graph.output]
    return {value.name: value for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def _fits(found: tuple[int, ...], wanted: Shape) -> bool:
    """An open size takes any; of a file that does not tell a shape nothing is known."""
    if not wanted:
        return True
    return len(found) == len(wanted) and all(two in (one, None) for one, two in zip(found, wanted, strict=True))


def _cause(error: Exception) -> str:
    """The sentence of OpenCV without its build path."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split("error: ", 1)[-1][:200]
