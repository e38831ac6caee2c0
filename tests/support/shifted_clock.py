"""`python -m tests.support.shifted_clock SECONDS MODULE ARGUMENTS...`: a module in a process whose wall clock is wrong."""

from __future__ import annotations

import runpy
import sys
import time


def main() -> None:
    """Shift what `time.time` says, then be that module."""
    shift_s, module = float(sys.argv[1]), sys.argv[2]
    right = time.time
    time.time = lambda: right() + shift_s
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
