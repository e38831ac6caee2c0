"""What the emulated machine runs: some inferences with a mark behind each, for the plugin that counts instructions.

Started by its path, with no other module of this package: the emulated machine has Python, NumPy and one TFLite runtime.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def main(packages: str, module: str, model: str, *numbers: str) -> None:
    """Infer every input, write the outputs, then count inferences of the last input.

    `packages` is the folder of NumPy and the runtime, `module` the runtime's; `numbers` are the .npy file with the inputs, the
    .npz file for the outputs, and how many inferences to count.
    """
    given, taken, runs = numbers
    sys.path.insert(0, packages)
    import numpy as np

    interpreter = importlib.import_module(module).Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    results = [detail["index"] for detail in interpreter.get_output_details()]
    outputs: list[list[Any]] = [[] for _ in results]
    for values in np.load(given):
        interpreter.set_tensor(source["index"], values)
        interpreter.invoke()
        for kept, index in zip(outputs, results, strict=True):
            kept.append(interpreter.get_tensor(index))
    np.savez(taken, *[np.stack(kept) for kept in outputs])
    # Nothing lies between these two but what a mark itself costs.
    mark()
    mark()
    for _ in range(int(runs)):
        interpreter.invoke()
        mark()


def mark() -> None:
    """A system call that the plugin knows, and nothing else makes."""
    os.sched_get_priority_max(os.SCHED_BATCH)


if __name__ == "__main__":
    main(*sys.argv[1:])
