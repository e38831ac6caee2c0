"""A TFLite network in an emulated AArch64 machine, its instructions counted by a plugin of QEMU.

QEMU's user-mode emulation (qemu-aarch64) runs the ARM builds of Python, NumPy and the TFLite runtimes on this machine's kernel.
A count is exact and the same in every run: the plugin adds up each executed block of instructions, and the guest marks where an
inference begins and ends. It says nothing of caches, memory and how many instructions a core does at once: a ratio of counts is
not a ratio of times, but it does not depend on this machine either.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.benchmark.boards import Board, write_prefix
from convert.network import Array
from edge.errors import ModelError, OstiaryError, UsageError
from edge.interpreter import RUNTIMES

PACKAGES = {"ai-edge-litert": Path("opt/newest"), "tflite-runtime": Path("opt/oldest")}
"""Where scripts/arm64-root puts what each runtime needs."""

_HERE = Path(__file__).parent
_PYTHON = Path("usr/bin/python3")
_LIMIT_S = 3600
_PURPOSE = "counting emulated instructions"


@dataclass(frozen=True, slots=True)
class Count:
    """Executed between two places."""

    instructions: int
    dot_products: int
    """Of these, products of four bytes a lane that are added up at once; a Raspberry Pi 5 has them, a 4 has not."""

    def __sub__(self, other: Count) -> Count:
        return Count(self.instructions - other.instructions, self.dot_products - other.dot_products)


@dataclass(frozen=True, slots=True)
class Emulator:
    """What is needed, found."""

    program: str
    """qemu-aarch64."""
    version: tuple[int, int]
    compiler: str
    root: Path
    runtimes: Mapping[str, str]
    """Name of each runtime in the root -> name with version, `ai-edge-litert 2.3.0`."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one start of the emulated machine."""

    counts: tuple[Count, ...]
    """Of each inference."""
    outputs: tuple[Array, ...]
    """Of every input, as the network gives them: (inputs, *shape of the output)."""


def find_emulator(root: Path, *, path: str | None = None) -> Emulator:
    """What stands on the search path (or `path`) and in `root`; UsageError names what is missing and how to get it."""
    program = _program("qemu-aarch64", "qemu-user", path)
    compiler = _program("gcc", "gcc", path)
    version = parse_version(_said([program, "--version"]))
    if "-plugin " not in _said([program, "--help"]):
        hint = "qemu-user of Debian 12 does; a static build (qemu-user-static, and qemu-user of Debian 13) cannot."
        raise UsageError(f"{program} loads no plugins, and {_PURPOSE} needs them", hint=hint)
    if not (root / _PYTHON).exists():
        hint = f"./scripts/arm64-root {root} makes one (as root, with debootstrap); --root names another."
        raise UsageError("no ARM root with Python", where=str(root), hint=hint)
    runtimes = _runtimes(root)
    if not runtimes:
        raise UsageError(
            "an ARM root without a TFLite runtime",
            where=str(root),
            expected=" or ".join(f"{name} in {folder}" for name, folder in PACKAGES.items()),
            hint=f"./scripts/arm64-root {root} installs both.",
        )
    return Emulator(program, version, compiler, root.resolve(), runtimes)


def _runtimes(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, folder in PACKAGES.items():
        for info in sorted((root / folder).glob(f"{name.replace('-', '_')}-*.dist-info")):
            found[name] = f"{name} {info.name.removesuffix('.dist-info').rpartition('-')[2]}"
    return found


def parse_version(text: str) -> tuple[int, int]:
    """Of `qemu-aarch64 version 7.2.22 (Debian ...)`."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found is None:
        raise UsageError(
            f"a qemu-aarch64 of unknown version ({text[:80].strip()!r})", expected="'version 7.2' or the like"
        )
    return int(found[1]), int(found[2])


def plugin_api(version: tuple[int, int]) -> int:
    """Which of the interfaces that count_instructions.c knows a QEMU has."""
    return 1 + (version >= (9, 0)) + (version >= (9, 1))


def parse_marks(text: str) -> tuple[Count, ...]:
    """Lines `instructions dot-products`, one a mark -> what each inference took.

    The first two marks have nothing between them; what they cost is taken off each of the others. ModelError for anything else.
    """
    try:
        marks = [Count(*map(int, line.split())) for line in text.splitlines()]
    except (ValueError, TypeError) as error:
        raise ModelError(f"counts that cannot be read ({error})", expected="two numbers a line") from error
    if len(marks) < 3:
        raise ModelError(f"{len(marks)} marks", expected="at least 3: the emulated program ended too soon")
    nothing, *rest = [late - early for early, late in itertools.pairwise(marks)]
    return tuple(one - nothing for one in rest)


def run_emulated(emulator: Emulator, board: Board, runtime: str, model: Path, inputs: Array, *, runs: int = 3) -> Run:
    """Infer `inputs` (n, *shape of the network's input; its dtype), and count `runs` inferences of the last.

    ModelError where the runtime refuses the network or dies of it.
    """
    with tempfile.TemporaryDirectory(prefix="ostiary-emulated-") as name:
        folder = Path(name)
        write_prefix(folder / "prefix", emulator.root, board)
        _compile(emulator, folder / "count.so")
        np.save(folder / "given.npy", inputs)
        packages = emulator.root / PACKAGES[runtime]
        script = [str(_HERE / "count_inference.py"), str(packages), RUNTIMES[runtime], str(model.resolve())]
        files = [str(folder / "given.npy"), str(folder / "taken.npz")]
        _emulate([*_machine(emulator, board, folder), *script, *files, str(runs)], folder, model, runtime)
        with np.load(folder / "taken.npz") as taken:
            outputs = tuple(taken[f"arr_{place}"] for place in range(len(taken.files)))
        return Run(parse_marks((folder / "marks").read_text(encoding="ascii")), outputs)


def _machine(emulator: Emulator, board: Board, folder: Path) -> list[str]:
    """What starts a Python of the root that knows nothing of this machine's packages."""
    # A comma within a name is doubled in QEMU's options.
    plugin, marks = (str(folder / name).replace(",", ",,") for name in ("count.so", "marks"))
    options = ["-cpu", board.cpu, "-L", str(folder / "prefix"), "-plugin", f"{plugin},out={marks}"]
    return [emulator.program, *options, str(emulator.root / _PYTHON), "-I", "-S", "-B"]


def _emulate(command: Sequence[str], folder: Path, model: Path, runtime: str) -> None:
    # Threads of a BLAS that nobody asked for would be counted with the rest.
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    try:
        subprocess.run(  # noqa: S603  a program found on the path, a script of this package
            command, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        problem = f"{runtime} came to no end in {_LIMIT_S} s of emulation"
        raise ModelError(problem, where=str(model), hint="Is it a far larger network than a face embedder?") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[-400:]
        raise ModelError(f"{runtime} fails on the emulated board: {said}", where=str(model)) from error


def _compile(emulator: Emulator, plugin: Path) -> None:
    options = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-DQEMU_API={plugin_api(emulator.version)}"]
    source = _HERE / "count_instructions.c"
    try:
        subprocess.run(  # noqa: S603  the compiler found on the path, a source of this package
            [emulator.compiler, *options, "-o", str(plugin), str(source)], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:400]
        hint = "apt install gcc libc6-dev"
        raise OstiaryError(f"{emulator.compiler} cannot compile it: {said}", where=str(source), hint=hint) from error


def _program(name: str, package: str, path: str | None) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        raise UsageError(f"{name} is not installed, and {_PURPOSE} needs it", hint=f"apt install {package}")
    return found


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  a program found on the path
    return done.stdout + done.stderr
