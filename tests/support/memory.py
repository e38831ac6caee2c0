"""How much memory this process has used.

Not getrusage: its maximum is inherited from the parent across exec, so that a small child of a large test run looks large.
"""

from __future__ import annotations

import re
from pathlib import Path


def peak_kib() -> int:
    """Most that was resident at any time, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])
