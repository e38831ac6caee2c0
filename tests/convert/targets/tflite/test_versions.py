"""The table of versions against the oldest runtime itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

from convert.targets.tflite.flatbuffer import added_operator, added_tensor, packed, schema
from convert.targets.tflite.versions import NEWEST_VERSIONS, oldest_runtime_faults
from edge.errors import ModelError
from tests.convert.other_runtimes import OLDEST
from tests.convert.targets.tflite.files import one_code, passing

_LOADS = """
import pathlib, sys
from tflite_runtime.interpreter import Interpreter
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        Interpreter(model_path=str(path))
    except ValueError:
        continue
    print(path.name)
"""


@pytest.mark.skipif(not OLDEST.is_file(), reason=f"no interpreter with tflite-runtime 2.14 at {OLDEST}")
def test_the_table_is_what_the_oldest_runtime_registers(tmp_path: Path) -> None:
    builtin = schema().BuiltinOperator
    for name, newest in NEWEST_VERSIONS.items():
        for version in (newest, newest + 1):
            (tmp_path / f"{name}.{version}").write_bytes(one_code(getattr(builtin, name), version))
    done = subprocess.run(
        [str(OLDEST), "-c", _LOADS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert set(done.stdout.split()) == {f"{name}.{newest}" for name, newest in NEWEST_VERSIONS.items()}


def with_operator(name: str, version: int, times: int = 1) -> bytes:
    model = passing({"x": (1,)})
    for _ in range(times):
        made = added_tensor(model, "y", (1,), "float32")
        added_operator(model, getattr(schema().BuiltinOperator, name), [0], [made], version=version)
    return packed(model)


def test_each_fault_names_operator_version_and_count() -> None:
    assert oldest_runtime_faults(with_operator("FULLY_CONNECTED", 10)) == []
    found = oldest_runtime_faults(with_operator("FULLY_CONNECTED", 12, times=2))
    assert found == ["FULLY_CONNECTED version 12 (2 of them) is newer than tflite-runtime 2.14 knows (10)"]
    assert oldest_runtime_faults(with_operator("STABLEHLO_ADD", 1)) == [
        "tflite-runtime 2.14 does not know STABLEHLO_ADD (1 of them)"
    ]


def test_new_dtypes_are_faults() -> None:
    assert oldest_runtime_faults(packed(passing({"x": (1,)}, "bfloat16"))) == [
        "bfloat16 tensors are newer than tflite-runtime 2.14"
    ]


def test_another_file_is_refused() -> None:
    with pytest.raises(ModelError, match="not a TFLite model"):
        oldest_runtime_faults(b"PK\x03\x04 something else")
