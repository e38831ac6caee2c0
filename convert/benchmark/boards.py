"""Boards whose processor is emulated, and how Linux describes that processor.

Runtimes choose their kernels by the processor: by what it can do, which the emulator tells, and by its name and caches, which
they read from /proc/cpuinfo and /sys. There a program would find those of the machine that emulates (and ai-edge-litert 2.3
crashes over the contradiction); so these files are written as the board has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORES = 4
_ALL = f"0-{CORES - 1}"
_HIDDEN = frozenset({"proc", "sys", "dev"})


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache as a core sees it."""

    level: int
    size_kib: int
    kind: str
    """Data, Instruction or Unified."""
    is_shared: bool
    """By all cores."""


@dataclass(frozen=True, slots=True)
class Board:
    """Four equal cores. Variant, part and revision are those of Arm's Main ID Register, implementer 0x41."""

    title: str
    cpu: str
    """QEMU's name of the core."""
    variant: int
    part: int
    revision: int
    features: str
    """As the kernel lists them."""
    max_khz: int
    caches: tuple[Cache, ...]
    architecture: int = 8
    """7 for a core of 32 bits."""


BOARDS = {
    "pi4": Board(
        title="Raspberry Pi 4",
        cpu="cortex-a72",
        variant=0,
        part=0xD08,
        revision=3,
        features="fp asimd evtstrm crc32 cpuid",
        max_khz=1_800_000,
        caches=(
            Cache(1, 32, "Data", is_shared=False),
            Cache(1, 48, "Instruction", is_shared=False),
            Cache(2, 1024, "Unified", is_shared=True),
        ),
    ),
    "pi5": Board(
        title="Raspberry Pi 5",
        cpu="cortex-a76",
        variant=4,
        part=0xD0B,
        revision=1,
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        max_khz=2_400_000,
        caches=(
            Cache(1, 64, "Data", is_shared=False),
            Cache(1, 64, "Instruction", is_shared=False),
            Cache(2, 512, "Unified", is_shared=False),
            Cache(3, 2048, "Unified", is_shared=True),
        ),
    ),
}
"""By the name on the command line."""


def write_prefix(folder: Path, root: Path, board: Board) -> None:
    """Make `folder` what the emulator takes for /: the board's description, and links into `root` for everything else."""
    folder.mkdir()
    for entry in sorted(root.iterdir()):
        if entry.name not in _HIDDEN:
            (folder / entry.name).symlink_to(entry.resolve())
    write_description(folder, board)


def write_description(folder: Path, board: Board) -> None:
    """Files below `folder`/proc and `folder`/sys that say what kind of processor the board has."""
    for name, text in _files(board):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")


def _files(board: Board) -> Iterator[tuple[str, str]]:
    """Path and text of each file, by the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu."""
    yield "proc/cpuinfo", "\n".join(_processor(board, number) for number in range(CORES))
    cpus = "sys/devices/system/cpu"
    for name in ("possible", "present", "online"):
        yield f"{cpus}/{name}", _ALL
    yield f"{cpus}/kernel_max", "255"
    for number in range(CORES):
        core = f"{cpus}/cpu{number}"
        yield f"{core}/cpufreq/cpuinfo_max_freq", str(board.max_khz)
        yield f"{core}/cpufreq/cpuinfo_min_freq", str(board.max_khz // 3)
        yield f"{core}/topology/physical_package_id", "0"
        yield f"{core}/topology/core_id", str(number)
        for name in ("core_siblings_list", "package_cpus_list", "cluster_cpus_list"):
            yield f"{core}/topology/{name}", _ALL
        for place, cache in enumerate(board.caches):
            yield f"{core}/cache/index{place}/level", str(cache.level)
            yield f"{core}/cache/index{place}/size", f"{cache.size_kib}K"
            yield f"{core}/cache/index{place}/type", cache.kind
            yield f"{core}/cache/index{place}/shared_cpu_list", _ALL if cache.is_shared else str(number)


def _processor(board: Board, number: int) -> str:
    lines = [
        f"processor\t: {number}",
        "BogoMIPS\t: 108.00",
        f"Features\t: {board.features}",
        "CPU implementer\t: 0x41",
        f"CPU architecture: {board.architecture}",
        f"CPU variant\t: {board.variant:#x}",
        f"CPU part\t: {board.part:#x}",
        f"CPU revision\t: {board.revision}",
        "",
    ]
    return "\n".join(lines)
