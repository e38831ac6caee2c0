"""The kinds of box that are emulated."""

from __future__ import annotations

from dataclasses import dataclass

from convert.benchmark.boards import BOARDS, Board, Cache


@dataclass(frozen=True, slots=True)
class Kind:
    """An architecture, and what the package has for it."""

    name: str
    """As Debian calls it."""
    machine: str
    """As `uname -m` does."""
    board: Board
    runtime: str
    """That the package brings."""


_PI2 = Board(
    title="Raspberry Pi 2",
    cpu="cortex-a7",
    variant=0,
    part=0xC07,
    revision=5,
    features="half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm",
    max_khz=900_000,
    caches=(
        Cache(1, 32, "Data", is_shared=False),
        Cache(1, 32, "Instruction", is_shared=False),
        Cache(2, 512, "Unified", is_shared=True),
    ),
    architecture=7,
)
KINDS = {
    "arm64": Kind("arm64", "aarch64", BOARDS["pi4"], "ai-edge-litert"),
    "armhf": Kind("armhf", "armv7l", _PI2, "tflite-runtime"),
}
