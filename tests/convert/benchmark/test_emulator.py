"""What counts instructions: what it needs, what it says where that is missing, and its arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.benchmark.boards import BOARDS, CORES, write_prefix
from convert.benchmark.emulator import (
    Count,
    Emulator,
    find_emulator,
    parse_marks,
    parse_version,
    plugin_api,
    run_emulated,
)
from edge.errors import ModelError, OstiaryError, UsageError
from edge.interpreter import installed_runtimes
from tests.convert.benchmark import fake_emulator
from tests.support.data import ROOT

MODEL = ROOT / "tests" / "support" / "models" / "uint8.tflite"
INPUTS = np.zeros((1, 1, 112, 112, 3), np.uint8)


@pytest.mark.parametrize(
    ("text", "version", "api"),
    [
        (fake_emulator.VERSION, (7, 2), 1),
        ("qemu-aarch64 version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", (8, 2), 1),
        ("qemu-aarch64 version 9.0.2", (9, 0), 2),
        ("qemu-aarch64 version 9.1.0", (9, 1), 3),
        ("qemu-aarch64 version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright", (10, 0), 3),
    ],
)
def test_versions(text: str, version: tuple[int, int], api: int) -> None:
    assert parse_version(text) == version
    assert plugin_api(version) == api


def test_a_version_that_is_none() -> None:
    with pytest.raises(UsageError, match="unknown version"):
        parse_version("command not found")


def test_what_a_mark_costs_is_taken_off() -> None:
    counts = parse_marks(fake_emulator.MARKS)
    assert tuple(one.instructions for one in counts) == fake_emulator.INFERENCES
    assert [one.dot_products for one in counts] == [70, 70, 70]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 marks"),
        ("1 0\n2 0\n", "2 marks"),
        ("1 0\n2 0\n3\n", "cannot be read"),
        ("1 0\n2 0\n3 x\n", "cannot be read"),
        ("1 0 0\n2 0\n3 0\n", "cannot be read"),
    ],
)
def test_marks_that_are_none(text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parse_marks(text)


def test_counts_are_subtracted_by_their_kinds() -> None:
    assert Count(7, 3) - Count(5, 2) == Count(2, 1)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    fake_emulator.write_emulator(folder)
    fake_emulator.write_program(folder, "gcc")
    return folder


@pytest.mark.parametrize(("missing", "hint"), [("qemu-aarch64", "apt install qemu-user"), ("gcc", "apt install gcc")])
def test_a_missing_program_is_named(missing: str, hint: str, programs: Path, tmp_path: Path) -> None:
    (programs / missing).unlink()
    with pytest.raises(UsageError, match=f"{missing} is not installed") as caught:
        find_emulator(tmp_path, path=str(programs))
    assert caught.value.hint == hint


def test_a_static_emulator_is_refused(programs: Path, tmp_path: Path) -> None:
    fake_emulator.write_emulator(programs, usage="-cpu model")
    with pytest.raises(UsageError, match="loads no plugins"):
        find_emulator(tmp_path, path=str(programs))


def test_no_root(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ARM root with Python") as caught:
        find_emulator(tmp_path / "root", path=str(programs))
    assert "scripts/arm64-root" in caught.value.hint


def test_a_root_without_a_runtime(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a TFLite runtime") as caught:
        find_emulator(fake_emulator.write_root(tmp_path / "root"), path=str(programs))
    assert "opt/newest" in caught.value.expected


@pytest.fixture
def runtime() -> str:
    """One that is installed here."""
    return installed_runtimes()[0]


@pytest.fixture
def emulator(programs: Path, tmp_path: Path, runtime: str) -> Emulator:
    return find_emulator(fake_emulator.write_root(tmp_path / "root", runtime), path=str(programs))


def test_what_is_there_is_found(emulator: Emulator, runtime: str) -> None:
    assert emulator.version == (7, 2)
    assert list(emulator.runtimes) == [runtime]
    name, version = emulator.runtimes[runtime].split()
    assert (name, version.count(".")) == (runtime, 2)


def test_a_run_gives_counts_and_outputs(emulator: Emulator, runtime: str) -> None:
    run = run_emulated(emulator, BOARDS["pi4"], runtime, MODEL, np.repeat(INPUTS, 2, axis=0))
    assert tuple(one.instructions for one in run.counts) == fake_emulator.INFERENCES
    assert [(output.shape, output.dtype) for output in run.outputs] == [((2, 1, 4), np.uint8)]


@pytest.mark.parametrize("content", [b"", b"not a network", MODEL.read_bytes()[:100]], ids=["empty", "other", "cut"])
def test_a_damaged_file(content: bytes, emulator: Emulator, runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="fails on the emulated board"):
        run_emulated(emulator, BOARDS["pi4"], runtime, path, INPUTS)


def test_an_emulated_crash_is_told(programs: Path, emulator: Emulator, runtime: str) -> None:
    fake_emulator.write_emulator(programs, before="echo 'uncaught target signal 11' >&2\nexit 139\n")
    with pytest.raises(ModelError, match="uncaught target signal 11"):
        run_emulated(emulator, BOARDS["pi4"], runtime, MODEL, INPUTS)


def test_a_compiler_that_fails_is_quoted(programs: Path, emulator: Emulator, runtime: str) -> None:
    fake_emulator.write_program(programs, "gcc", "echo 'inttypes.h: No such file' >&2\nexit 1\n")
    with pytest.raises(OstiaryError, match=r"inttypes\.h: No such file") as caught:
        run_emulated(emulator, BOARDS["pi4"], runtime, MODEL, INPUTS)
    assert "libc6-dev" in caught.value.hint


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_described_as_linux_does(name: str, tmp_path: Path) -> None:
    root = fake_emulator.write_root(tmp_path / "root")
    write_prefix(tmp_path / "prefix", root, BOARDS[name])
    cpuinfo = (tmp_path / "prefix" / "proc" / "cpuinfo").read_text(encoding="ascii")
    processors = [block.splitlines() for block in cpuinfo.strip().split("\n\n")]
    assert len(processors) == CORES
    assert [dict(map(str.strip, line.split(":")) for line in one)["processor"] for one in processors] == list("0123")
    # Only the first Raspberry Pi with a Cortex-A76 multiplies four bytes at once.
    assert ("asimddp" in cpuinfo) == (name == "pi5")
    cpus = tmp_path / "prefix" / "sys" / "devices" / "system" / "cpu"
    assert (cpus / "possible").read_text(encoding="ascii") == "0-3\n"
    for core in range(CORES):
        # A runtime that is told of a cache expects its level, its size, and who shares it.
        for index in (cpus / f"cpu{core}" / "cache").iterdir():
            assert {entry.name for entry in index.iterdir()} == {"level", "size", "type", "shared_cpu_list"}
    # Everything else is the root's, and the root's own /proc stays out.
    assert (tmp_path / "prefix" / "usr" / "bin" / "python3").exists()
    assert not (root / "proc" / "cpuinfo").exists()
