from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.edge.gallery.kills import OPERATIONS
from tests.support.data import ROOT

EVERY = "12"
"""Without it every statement: docs/privacy.md."""


def test_killed_before_any_statement_a_change_is_whole_or_not_made(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.edge.gallery.kills", str(tmp_path), EVERY]
    # A fork has one thread: nothing may have started others before.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = {row.pop("operation"): row for row in map(json.loads, done.stdout.splitlines())}
    assert set(found) == set(OPERATIONS)
    for name, row in found.items():
        after = row.get("after", 0)
        assert row["kills"] == row["before"] + after
        assert row["before"] >= 2
        # After COMMIT come VACUUM and the checkpoint, but where nothing is taken away.
        assert after >= (0 if name == "embedding again" else 2)
