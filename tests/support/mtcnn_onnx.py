"""MTCNN's three networks as ONNX, built from the numpy weights of davidsandberg/facenet (det1.npy, det2.npy, det3.npy).

Those weights come from MATLAB by way of Caffe and expect a picture whose x and y are swapped: the first spatial axis of
every kernel runs along x. Here the kernels, and the rows of the first dense layer, are turned instead, so that the
networks take upright RGB pictures, NCHW, (pixel - 127.5) / 128. This is the form that a bundle must have.

Output names are those that edge.detect.mtcnn asks for: `prob` (softmax; 1 is a face), `box` (offsets of x1, y1, x2, y2
in parts of the box) and, of the third network, `landmarks` (five x, then five y, in parts of the box).
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 11
"""The newest that every supported OpenCV reads."""
IR_VERSION = 6

Weights = dict[str, dict[str, NDArray[np.float32]]]


class _ArraysOnly(pickle.Unpickler):
    """Pickles run code when they are read; these may only make arrays."""

    def find_class(self, module: str, name: str) -> Any:
        made_by_numpy = {"_reconstruct": np.zeros(1).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module.split(".", maxsplit=1)[0] != "numpy" or name not in made_by_numpy:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return made_by_numpy[name]


def read_weights(path: Path) -> Weights:
    """Layer -> kind -> array, from a .npy file that holds one pickled dictionary."""
    with path.open("rb") as handle:
        if np.lib.format.read_magic(handle) != (1, 0):
            raise ValueError(f"{path}: expected .npy version 1.0")
        np.lib.format.read_array_header_1_0(handle)
        loaded = _ArraysOnly(handle, encoding="latin1").load()
    weights = loaded.item()
    assert isinstance(weights, dict), path
    return weights


class _Graph:
    """Layers in order; each call adds one and remembers its output as the next one's input."""

    def __init__(self, weights: Weights, size: int) -> None:
        self._weights, self._size = weights, size
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[str] = []
        self.here = "input"

    def _constant(self, name: str, value: NDArray[np.float32]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def conv(self, layer: str, *, of: str = "") -> str:
        """Kernels (x, y, in, out) become (out, in, y, x)."""
        part = self._weights[layer]
        kernel = self._constant(f"{layer}_w", part["weights"].transpose(3, 2, 1, 0))
        bias = self._constant(f"{layer}_b", part["biases"])
        size = list(part["weights"].shape[1::-1])
        self.here = self._add("Conv", [of or self.here, kernel, bias], layer, kernel_shape=size)
        return self.here

    def prelu(self, layer: str, *, spatial: bool = True) -> None:
        alpha = self._weights[layer]["alpha"]
        slope = self._constant(f"{layer}_a", alpha.reshape(-1, 1, 1) if spatial else alpha)
        self.here = self._add("PRelu", [self.here, slope], layer)

    def pool(self, name: str, kernel: int) -> None:
        """Caffe rounds up: a window may reach over the edge."""
        attributes = {"kernel_shape": [kernel, kernel], "strides": [2, 2], "ceil_mode": 1}
        self.here = self._add("MaxPool", [self.here], name, **attributes)

    def flatten(self) -> None:
        self.here = self._add("Flatten", [self.here], "flat", axis=1)

    def dense(self, layer: str, *, of: str = "", turned: int = 0) -> str:
        """`turned` is the side of the map that was flattened as (x, y, channel); it is (channel, y, x) here."""
        rows = self._weights[layer]["weights"]
        if turned:
            maps = rows.reshape(turned, turned, -1, rows.shape[1])
            rows = maps.transpose(2, 1, 0, 3).reshape(rows.shape)
        inputs = [of or self.here, self._constant(f"{layer}_w", rows.T)]
        bias = self._constant(f"{layer}_b", self._weights[layer]["biases"])
        self.here = self._add("Gemm", [*inputs, bias], layer, transB=1)
        return self.here

    def output(self, name: str, source: str, *, softmax: bool = False) -> None:
        attributes = {"axis": 1} if softmax else {}
        self._outputs.append(self._add("Softmax" if softmax else "Identity", [source], name, **attributes))

    def write(self, path: Path, name: str) -> Path:
        picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, self._size, self._size])
        anything = [None] * (4 if name == "pnet" else 2)
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, anything) for end in self._outputs]
        graph = helper.make_graph(self._nodes, name, [picture], ends, initializer=self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def write_pnet(weights: Weights, path: Path) -> Path:
    """12x12 is the cell; a larger picture gives a map of cells, two pixels apart."""
    graph = _Graph(weights, 12)
    graph.conv("conv1")
    graph.prelu("PReLU1")
    graph.pool("pool1", 2)
    for number in (2, 3):
        graph.conv(f"conv{number}")
        graph.prelu(f"PReLU{number}")
    trunk = graph.here
    graph.output("prob", graph.conv("conv4-1", of=trunk), softmax=True)
    graph.output("box", graph.conv("conv4-2", of=trunk))
    return graph.write(path, "pnet")


def write_rnet(weights: Weights, path: Path) -> Path:
    """24x24 crops."""
    graph = _Graph(weights, 24)
    for number in (1, 2):
        graph.conv(f"conv{number}")
        graph.prelu(f"prelu{number}")
        graph.pool(f"pool{number}", 3)
    graph.conv("conv3")
    graph.prelu("prelu3")
    graph.flatten()
    graph.dense("conv4", turned=3)
    graph.prelu("prelu4", spatial=False)
    trunk = graph.here
    graph.output("prob", graph.dense("conv5-1", of=trunk), softmax=True)
    graph.output("box", graph.dense("conv5-2", of=trunk))
    return graph.write(path, "rnet")


def write_onet(weights: Weights, path: Path) -> Path:
    """48x48 crops."""
    graph = _Graph(weights, 48)
    for number, kernel in ((1, 3), (2, 3), (3, 2)):
        graph.conv(f"conv{number}")
        graph.prelu(f"prelu{number}")
        graph.pool(f"pool{number}", kernel)
    graph.conv("conv4")
    graph.prelu("prelu4")
    graph.flatten()
    graph.dense("conv5", turned=3)
    graph.prelu("prelu5", spatial=False)
    trunk = graph.here
    graph.output("prob", graph.dense("conv6-1", of=trunk), softmax=True)
    graph.output("box", graph.dense("conv6-2", of=trunk))
    graph.output("landmarks", graph.dense("conv6-3", of=trunk))
    return graph.write(path, "onet")


def write_all(source: Path, folder: Path) -> dict[str, Path]:
    """`source` holds det1.npy to det3.npy; returns part -> file, as a manifest's `artifacts` name them."""
    writers = {"pnet": write_pnet, "rnet": write_rnet, "onet": write_onet}
    folder.mkdir(parents=True, exist_ok=True)
    return {
        part: write(read_weights(source / f"det{number}.npy"), folder / f"{part}.onnx")
        for number, (part, write) in enumerate(writers.items(), start=1)
    }
