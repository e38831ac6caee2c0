from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.data import ROOT

PROGRAM = """
import os, sys
from edge.again import start_again
if "AGAIN" in os.environ:
    print(os.getpid(), sys.argv[1:], sys.flags.dont_write_bytecode)
    try:
        os.fstat(int(os.environ["AGAIN"]))
    except OSError:
        print("let go of")
    sys.exit(7)
# As a library in C would open a camera: the next program would inherit it.
held = os.open(__file__, os.O_RDONLY)
os.set_inheritable(held, True)
os.environ["AGAIN"] = str(held)
print(os.getpid())
start_again()
"""


def test_the_same_command_line_in_the_same_process_with_nothing_of_before(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-B", str(path), "run", "--config", "a b.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    first, second, held = done.stdout.splitlines()
    assert second == f"{first} ['run', '--config', 'a b.yaml'] 1"
    assert held == "let go of"
    assert done.returncode == 7
