"""Memory, handles and outbox over the simulated day.

python -m tests.bench.soak.plot soak.csv docs/images/soak.png     # needs matplotlib
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path


def plot(samples: Path, picture: Path) -> None:
    """From the rows of `python -m tests.bench.soak --csv`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with samples.open(encoding="utf-8", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    hours = [row["sim_h"] for row in rows]
    figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    lines = (
        ("MB", 1e6, {"RSS": "rss_bytes", "of these anonymous": "own_bytes"}),
        ("", 1, {"descriptors": "fds", "threads": "threads"}),
        ("events", 1, {"waiting": "outbox_depth", "dropped": "outbox_dropped"}),
    )
    for axis, (unit, scale, columns) in zip(axes, lines, strict=True):
        for label, column in columns.items():
            axis.plot(hours, [row[column] / scale for row in rows], label=label, linewidth=1.2)
        axis.set_ylim(bottom=0)
        axis.set_ylabel(unit)
        axis.legend(loc="lower right" if scale > 1 else "best", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("simulated hours")
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    plot(*map(Path, sys.argv[1:3]))
