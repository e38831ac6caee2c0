"""Instruction counts of networks: ratios, differences of outputs, and one count on a real emulator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convert.benchmark.boards import BOARDS
from convert.benchmark.emulated import count_all, difference_of, stored_pictures
from convert.benchmark.emulator import Emulator, find_emulator
from edge.bundle.manifest import Quantisation
from edge.errors import ModelError, UsageError
from edge.interpreter import Tensor, installed_runtimes
from tests.convert.benchmark import fake_emulator
from tests.support.data import ROOT

MODELS = ROOT / "tests" / "support" / "models"
FILES = (MODELS / "float32.tflite", MODELS / "uint8.tflite")
BYTES = Tensor("embedding", 0, (1, 4), Quantisation("uint8", 0.5, 100))
REALS = Tensor("embedding", 0, (1, 4), Quantisation("float32"))


def rows(*values: Sequence[float], dtype: type = np.uint8) -> list[np.ndarray]:
    """One output of so many inputs."""
    return [np.array(values, dtype)[:, None]]


def test_differences_of_integers_are_steps() -> None:
    here, there = rows((100, 110, 100, 90), (100, 100, 100, 120)), rows((100, 112, 100, 90), (100, 100, 101, 120))
    found = difference_of(here, there, [BYTES])
    assert (found.greatest, found.is_steps, str(found)) == (2, True, "2 steps")
    # With the zero point taken off, (10, -10) and (12, -10): the worse of the two rows.
    assert found.cosine == pytest.approx(220 / np.sqrt(200 * 244), abs=1e-12)


def test_a_difference_of_bytes_does_not_wrap_around() -> None:
    assert difference_of(rows((0, 0, 0, 0)), rows((255, 0, 0, 0)), [BYTES]).greatest == 255


def test_differences_of_floats() -> None:
    found = difference_of(rows((1, 0, 0, 0), dtype=np.float32), rows((1, 0.25, 0, 0), dtype=np.float32), [REALS])
    assert (found.greatest, found.is_steps, str(found)) == (0.25, False, "2.5e-01")
    assert found.cosine == pytest.approx(1 / np.sqrt(1.0625), abs=1e-12)


@pytest.mark.parametrize(("there", "cosine"), [((100, 100, 100, 100), 1.0), ((101, 100, 100, 100), 0.0)])
def test_a_row_of_zeros_is_like_itself_alone(there: tuple[int, ...], cosine: float) -> None:
    assert difference_of(rows((100, 100, 100, 100)), rows(there), [BYTES]).cosine == cosine


def test_outputs_of_another_form_are_refused() -> None:
    with pytest.raises(ModelError, match="output embedding is uint8"):
        difference_of(rows((1, 2, 3, 4), dtype=np.float32), rows((1, 2, 3, 4)), [REALS])


@pytest.mark.parametrize(("dtype", "lowest", "highest"), [("uint8", 0, 255), ("int8", -128, 127), ("float32", 0, 255)])
def test_pictures_as_an_input_takes_them(dtype: str, lowest: int, highest: int) -> None:
    source = Tensor("face", 0, (1, 1, 2, 1), Quantisation(dtype, 0.0 if dtype == "float32" else 1.0, 0))
    stored = stored_pictures(source, np.array([[[[0], [255]]]], np.uint8))
    assert (stored.dtype, stored.shape) == (dtype, (1, 1, 1, 2, 1))
    assert [stored.min(), stored.max()] == [lowest, highest]


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match=r"pictures of \[3, 3, 1\]"):
        stored_pictures(Tensor("face", 0, (1, 2, 2, 1), Quantisation("float32")), np.zeros((1, 3, 3, 1), np.uint8))


@pytest.fixture
def fake(tmp_path: Path) -> Emulator:
    """Runs this machine's runtime; every file takes the same."""
    fake_emulator.write_emulator(tmp_path / "bin")
    fake_emulator.write_program(tmp_path / "bin", "gcc")
    root = fake_emulator.write_root(tmp_path / "root", installed_runtimes()[0])
    return find_emulator(root, path=str(tmp_path / "bin"))


def test_every_file_in_every_runtime(fake: Emulator) -> None:
    said: list[str] = []
    results, faults = count_all(FILES, fake, BOARDS["pi4"], say=said.append)
    assert not faults
    assert [(one.file, one.precision, one.ratio) for one in results] == [
        ("float32.tflite", "float32", 1.0),
        ("uint8.tflite", "uint8", 1.0),
    ]
    assert {one.runtime for one in results} == set(fake.runtimes.values())
    # The median of the inferences, and how far they lie apart.
    assert {(one.count.instructions, one.count.dot_products, one.spread) for one in results} == {(4700, 70, 500)}
    # The same runtime on the same machine: nothing differs.
    assert [one.difference.greatest for one in results] == [0.0, 0.0]
    assert [one.difference.cosine for one in results] == pytest.approx([1.0, 1.0], abs=1e-12)
    assert [text.split()[0] for text in said] == [path.name for path in FILES]


def test_a_file_that_fails_is_passed_over(fake: Emulator, tmp_path: Path) -> None:
    dies_of = f'case "$*" in *{FILES[0].name}*) echo died >&2; exit 139;; esac\n'
    fake_emulator.write_emulator(tmp_path / "bin", before=dies_of)
    results, faults = count_all(FILES, fake, BOARDS["pi4"])
    # Nothing is left to measure against.
    assert [(one.file, one.ratio, one.as_dict()["ratio"]) for one in results] == [("uint8.tflite", None, None)]
    assert len(faults) == 1
    assert "float32.tflite" in faults[0]
    assert "died" in faults[0]
    with pytest.raises(ModelError, match="died"):
        count_all(FILES[:1], fake, BOARDS["pi4"])


@pytest.mark.parametrize(
    ("files", "baseline", "said"),
    [
        (FILES, "other.tflite", "no file other.tflite"),
        ((FILES[0], FILES[0]), "", "two files called float32.tflite"),
        ((ROOT / "pyproject.toml",), "", "only TFLite files"),
        ((MODELS / "absent.tflite",), "", "no such file"),
    ],
)
def test_mistakes(files: tuple[Path, ...], baseline: str, said: str, fake: Emulator) -> None:
    with pytest.raises(UsageError, match=said):
        count_all(files, fake, BOARDS["pi4"], baseline=baseline)


@pytest.mark.slow
def test_a_network_is_counted_on_an_emulated_board() -> None:
    root = Path(os.environ.get("OSTIARY_ARM64_ROOT") or ROOT / ".arm64-root")
    try:
        emulator = find_emulator(root)
    except UsageError as error:
        pytest.skip(str(error))
    # Not uint8.tflite: tflite-runtime 2.14 dies of an integer FULLY_CONNECTED with three inputs, on ARM alone.
    results, faults = count_all(FILES[:1], emulator, BOARDS["pi4"], runs=2)
    assert not faults
    assert {one.runtime for one in results} == set(emulator.runtimes.values())
    for one in results:
        # A mean of 112x112x3 values: no less than four at once, no more than 20 instructions each.
        assert 112 * 112 * 3 / 4 < one.count.instructions < 112 * 112 * 3 * 20
        assert one.count.dot_products == 0
        # The first inference warms up Python; the emulator counts the rest to the instruction.
        assert one.spread < 20_000
        assert one.difference.greatest < 1e-3
        assert one.difference.cosine > 0.999999
