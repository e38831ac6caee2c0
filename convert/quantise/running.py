"""An integer network run as it will be: its TFLite file in the runtime that is installed here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.network import Floats
from convert.quantise.form import IntegerNetwork
from convert.targets.tflite.integer import integer_bytes
from edge.datatypes import Image
from edge.interpreter import open_interpreter


def run_integer(integer: IntegerNetwork, pictures: Image, wanted: Sequence[str] = ()) -> dict[str, Floats]:
    """float32 (N, H, W, C) or (N, C) of the outputs, or of the tensors `wanted`, for uint8 pictures (N, H, W, 3).

    Tensors are taken as outputs of the file, so that accelerated kernels compute them as they do on a device.
    """
    names = tuple(wanted) or integer.network.outputs
    shown = replace(integer, network=integer.network.with_outputs(names))
    data = integer_bytes(shown, description="looked into", outputs="float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "integer.tflite"
        path.write_bytes(data)
        _, interpreter = open_interpreter(path)
        source = interpreter.get_input_details()[0]["index"]
        places = [detail["index"] for detail in interpreter.get_output_details()]
        made: list[list[Floats]] = [[] for _ in names]
        for picture in pictures:
            interpreter.set_tensor(source, picture[np.newaxis])
            interpreter.invoke()
            for values, place in zip(made, places, strict=True):
                values.append(np.asarray(interpreter.get_tensor(place), np.float32))
    return {name: np.concatenate(values) for name, values in zip(names, made, strict=True)}
