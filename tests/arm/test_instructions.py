"""Instructions of one embedding in uint8 beside float32, counted on emulated boards."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from convert.benchmark.boards import BOARDS
from convert.benchmark.emulated import count_all
from convert.benchmark.emulator import find_emulator
from edge.bundle import default_bundle_folder
from edge.errors import UsageError
from tests.arm.conftest import Given
from tests.support.data import ROOT

CONVERTER = ROOT / ".venv-convert/bin/python"


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The embedder of the default bundle: the float weights behind it, and as it is shipped."""
    if not CONVERTER.exists():
        pytest.skip("no .venv-convert, whose TensorFlow writes TFLite files (./scripts/test makes it)")
    path = tmp_path_factory.mktemp("networks") / "float32.tflite"
    subprocess.run([CONVERTER, "-m", "tests.arm.float_embedder", path], check=True, cwd=ROOT, capture_output=True)
    return path, default_bundle_folder() / "embedder.tflite"


@pytest.mark.parametrize("board", ["pi4", "pi5"])
def test_uint8_takes_fewer(
    given: Given, networks: tuple[Path, Path], board: str, measured: Callable[[str], None]
) -> None:
    if given.kind.name != "arm64":
        pytest.skip("instructions are counted on 64-bit boards")
    try:
        emulator = find_emulator(given.base)
    except UsageError as error:
        pytest.skip(str(error))
    results, faults = count_all(networks, emulator, BOARDS[board], runs=1)
    assert not faults
    assert {one.runtime for one in results} == set(emulator.runtimes.values())
    for one in results:
        assert one.ratio is not None
        measured(
            f"{BOARDS[board].title}, {one.runtime}, {one.precision}: {one.count.instructions / 1e6:.1f} M instructions, "
            f"{one.ratio:.3f} of float32"
        )
    # By how much, and whether at all in tflite-runtime 2.14, is a matter of the kernels that a runtime has: a measurement, no test.
    quick = [one for one in results if one.runtime.startswith("ai-edge-litert") and one.file == networks[1].name]
    assert all(one.ratio is not None and one.ratio < 1 for one in quick)
    assert len(quick) == 1
