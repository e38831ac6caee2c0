"""Runs one network in another interpreter: `python runtime_process.py onnx|frozen-graph|tflite MODEL IN.npz OUT.npz`.

It stands alone: what it proves must not lean on the code under test. Arrays go by number, their names in `names`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def read(path: str) -> dict[str, Any]:
    with np.load(path) as held:
        return {str(name): held[str(index)] for index, name in enumerate(held["names"])}


def write(path: str, arrays: dict[str, Any]) -> None:
    numbered = {str(index): value for index, value in enumerate(arrays.values())}
    np.savez(path, names=np.array(list(arrays), np.str_), **numbered)


def run_onnx(model: str, feeds: dict[str, Any]) -> dict[str, Any]:
    import cv2

    return run_opencv(cv2.dnn.readNetFromONNX(model), feeds)


def run_frozen_graph(model: str, feeds: dict[str, Any]) -> dict[str, Any]:
    import cv2

    return run_opencv(cv2.dnn.readNetFromTensorflow(model), feeds)


def run_opencv(net: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    import cv2

    cv2.setNumThreads(1)
    for name, value in feeds.items():
        net.setInput(value, name)
    names = list(net.getUnconnectedOutLayersNames())
    return dict(zip(names, (np.asarray(value) for value in net.forward(names)), strict=True))


def run_tflite(model: str, feeds: dict[str, Any]) -> dict[str, Any]:
    interpreter = interpreter_module().Interpreter(model_path=model, num_threads=1)
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    if set(feeds) == {""} and len(details) == 1:
        feeds = dict(zip(details, feeds.values(), strict=True))
    if set(feeds) != set(details):
        sys.exit(f"feeds {sorted(feeds)}; expected {sorted(details)}")
    for name, value in feeds.items():
        interpreter.resize_tensor_input(details[name]["index"], value.shape, strict=True)
    interpreter.allocate_tensors()
    for name, value in feeds.items():
        interpreter.set_tensor(details[name]["index"], quantised(value, details[name]))
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return {detail["name"]: dequantised(interpreter.get_tensor(detail["index"]), detail) for detail in outputs}


def interpreter_module() -> Any:
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        from tflite_runtime import interpreter
    return interpreter


def quantised(value: Any, detail: dict[str, Any]) -> Any:
    """Real numbers for an integer input; integers go in as they are."""
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if value.dtype == dtype or not scale:
        return value.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(value / scale + zero_point), limits.min, limits.max).astype(dtype)


def dequantised(value: Any, detail: dict[str, Any]) -> Any:
    scale, zero_point = detail["quantization"]
    return ((value.astype(np.float64) - zero_point) * scale).astype(np.float32) if scale else value


if __name__ == "__main__":
    kind, network, source, target = sys.argv[1:]
    kinds = {"onnx": run_onnx, "frozen-graph": run_frozen_graph, "tflite": run_tflite}
    write(target, kinds[kind](network, read(source)))
