"""The float weights behind the package's embedder as a TFLite file; run by the converter's Python, which has TensorFlow.

python -m tests.arm.float_embedder OUT.tflite
"""

from __future__ import annotations

import sys
from pathlib import Path

from convert.default_bundle.recipe import FLOAT_EMBEDDER
from convert.importers.onnx import read_onnx
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from convert.targets.tflite import import_tensorflow, to_float

if __name__ == "__main__":
    import_tensorflow()
    network = centre_on_a_byte(take_out_normalisation(fold_batch_norms(read_onnx(FLOAT_EMBEDDER))))
    Path(sys.argv[1]).write_bytes(to_float(network))
