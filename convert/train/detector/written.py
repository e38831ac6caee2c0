"""The student as a Network: batch norms folded, pixels as they are, YuNet's twelve outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convert.network import Array, Floats, Network, Node, Port
from convert.train.detector.network import (
    EPSILON,
    HEAD_CHANNELS,
    INPUT_SCALE,
    NECK,
    STAGES,
    STRIDES,
    TOWER,
    Unit,
)
from edge.detect.yunet import OUTPUTS, VALUES

INPUT = "input"
_CONFIDENCES = ("cls", "obj")


def network_of(weights: Mapping[str, Floats], statistics: Mapping[str, Floats], side: int = 320) -> Network:
    """`weights` and `statistics` of a Student -> what runs. cv2.FaceDetectorYN sets another size than `side` as it needs."""
    writing = _Writing(weights, statistics)
    values = writing.stem()
    read: dict[int, str] = {}
    for index, (stage, units) in enumerate(STAGES.items()):
        if index:
            values = writing.add("MaxPool", f"{stage}.maximum", [values], kernel_shape=[2, 2], strides=[2, 2])
        for unit in units:
            values = writing.unit(unit, values)
        if stage.startswith("stride"):
            read[int(stage.removeprefix("stride"))] = values
    above = ""
    for stride in reversed(STRIDES):
        values = read[stride]
        if above:
            values = writing.add("Add", f"joined{stride}", [values, writing.enlarged(above, stride)])
        above = writing.unit(NECK[stride], values)
        writing.outputs(stride, writing.unit(TOWER[stride], above))
    return Network((Port(INPUT, (1, 3, side, side)),), OUTPUTS, tuple(writing.nodes), writing.constants)


class _Writing:
    """Nodes and constants so far."""

    def __init__(self, weights: Mapping[str, Floats], statistics: Mapping[str, Floats]) -> None:
        self._weights, self._statistics = weights, statistics
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}

    def add(self, op: str, name: str, inputs: list[str], **attributes: object) -> str:
        self.nodes.append(Node(op, name, tuple(inputs), (name,), attributes))
        return name

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name

    def stem(self) -> str:
        factor, shift = self._norm("stem.0")
        weight = self._weights["stem.0.weight"] * (factor * INPUT_SCALE)[:, None, None, None]
        return self._relu(self._conv("stem.0", INPUT, weight, shift, stride=2))

    def unit(self, unit: Unit, values: str) -> str:
        factor, shift = self._norm(unit.name)
        point = self._point(unit.name, values)
        depth = self._weights[f"{unit.name}.depth"] * factor[:, None, None, None]
        return self._relu(self._conv(f"{unit.name}.depth", point, depth, shift, group=unit.outputs))

    def enlarged(self, values: str, stride: int) -> str:
        scales = self.constant("enlarging", np.array([1, 1, 2, 2], np.float32))
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", f"enlarged{stride}", [values, "", scales], **modes)

    def outputs(self, stride: int, values: str) -> None:
        """One map of 16 channels -> four outputs, a row for each place."""
        name = f"head{stride}"
        point = self._point(name, values)
        depth, shift = (self._weights[f"{name}.{part}"] for part in ("depth", "shift"))
        values = self._conv(f"{name}.depth", point, depth, shift, group=HEAD_CHANNELS)
        values = self.add("Transpose", f"{name}.last", [values], perm=[0, 2, 3, 1])
        rows = self.constant("rows", np.array([1, -1, HEAD_CHANNELS], np.int64))
        values = self.add("Reshape", f"{name}.rows", [values, rows])
        begin = 0
        for kind, count in VALUES.items():
            output = f"{kind}_{stride}"
            places = [self.constant(f"at{place}", np.array([place], np.int64)) for place in (begin, begin + count, 2)]
            part = self.add("Slice", f"{output}.logit" if kind in _CONFIDENCES else output, [values, *places])
            if kind in _CONFIDENCES:
                self.add("Sigmoid", output, [part])
            begin += count

    def _point(self, name: str, values: str) -> str:
        return self._conv(f"{name}.point", values, self._weights[f"{name}.point"], self._weights[f"{name}.bias"])

    def _norm(self, name: str) -> tuple[Floats, Floats]:
        """Factor and shift of each channel that the batch norm comes to."""
        mean, variance = (self._statistics[f"{name}.{part}"] for part in ("mean", "variance"))
        factor: Floats = self._weights[f"{name}.scale"] / np.sqrt(variance + EPSILON)
        return factor, self._weights[f"{name}.shift"] - mean * factor

    def _relu(self, values: str) -> str:
        return self.add("Relu", f"{values}.above", [values])

    def _conv(self, name: str, values: str, weight: Floats, bias: Floats, *, stride: int = 1, group: int = 1) -> str:
        size = weight.shape[2]
        inputs = [values, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.add(
            "Conv",
            name,
            inputs,
            kernel_shape=[size, size],
            pads=[size // 2] * 4,
            strides=[stride] * 2,
            group=group,
        )
