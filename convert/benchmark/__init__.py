"""How fast the same network is in one runtime and another: one process, one run, taking turns; or by instructions, emulated."""

from __future__ import annotations

from convert.benchmark.boards import BOARDS, Board
from convert.benchmark.contenders import Contender, contenders_of
from convert.benchmark.emulated import Counted, count_all
from convert.benchmark.emulator import find_emulator
from convert.benchmark.rounds import Limit, Result, take_turns

__all__ = [
    "BOARDS",
    "Board",
    "Contender",
    "Counted",
    "Limit",
    "Result",
    "contenders_of",
    "count_all",
    "find_emulator",
    "take_turns",
]
