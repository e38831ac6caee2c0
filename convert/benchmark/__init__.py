"""How fast the same network is in one runtime and another: one process, one run, taking turns."""

from __future__ import annotations

from convert.benchmark.contenders import Contender, contenders_of
from convert.benchmark.rounds import Limit, Result, take_turns

__all__ = ["Contender", "Limit", "Result", "contenders_of", "take_turns"]
