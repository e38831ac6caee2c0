"""The picture of tests.bench.sync."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

TITLES = {
    "first": "all begin with nothing", "added": "one added", "removed": "one removed", "reconnect": "broker restarted",
}  # fmt: skip


def plot(results: dict[str, Any], path: Path) -> None:
    """Share of the boxes that agree with the head, and what the broker took meanwhile."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    for name, took in results["curves"].items():
        axis = left if name == "first" else middle
        axis.step(took, 100 * np.arange(1, len(took) + 1) / len(took), where="post", label=TITLES[name])
    for axis in (left, middle):
        axis.set_xlabel("seconds since the cause")
        axis.set_ylabel("boxes that agree, %")
        axis.set_ylim(0, 101)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    samples = results["samples"]
    start = samples[0][0]
    moments = np.array([row[0] - start for row in samples])
    right.plot(moments, [row[2] / 1e6 for row in samples], color="tab:green")
    right.set_xlabel("seconds of the run")
    right.set_ylabel("memory of the broker, MB", color="tab:green")
    right.set_ylim(bottom=0)
    busy = right.twinx()
    cpu = np.maximum(0, np.diff([row[1] for row in samples])) / np.maximum(0.1, np.diff(moments))
    busy.plot(moments[1:], np.convolve(cpu, np.ones(9) / 9, "same"), color="tab:red", alpha=0.7)
    busy.set_ylabel("cores that it used", color="tab:red")
    busy.set_ylim(bottom=0)
    right.grid(alpha=0.3)
    figure.suptitle(results["title"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    plot(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
