"""The log of a training as a picture: one small plot for each figure, over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convert.train.run import read_log
from edge.errors import MissingDependencyError, UsageError

_UNSHOWN = frozenset({"step", "seconds"})


def write_curves(folder: Path, path: Path, *, title: str, figures: Sequence[str] = ()) -> None:
    """Draw `figures` (all that the log has) of the run in `folder` into an SVG or PNG file."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingDependencyError("matplotlib", extra="convert", purpose="drawing curves") from error
    mpl.use("Agg")
    # Without a fixed salt the names inside an SVG differ from run to run.
    mpl.rcParams["svg.hashsalt"] = "ostiary"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    lines = read_log(folder)
    known = list(dict.fromkeys(name for line in lines for name in line if name not in _UNSHOWN))
    chosen = list(figures) or known
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"no {', '.join(unknown)} in the log", where=str(folder), expected=", ".join(known))
    rows = (len(chosen) + 2) // 3
    drawn, axes = plt.subplots(rows, 3, figsize=(12, 2.6 * rows), squeeze=False, layout="constrained")
    for place, name in zip(axes.flat, chosen, strict=False):
        points = [(line["step"], line[name]) for line in lines if name in line]
        place.plot(*zip(*points, strict=True), linewidth=1.2, color="#1f5f8b")
        place.set_title(name.replace("_", " "), fontsize=9)
        place.set_xlabel("step", fontsize=8)
        place.tick_params(labelsize=7)
        place.grid(alpha=0.3)
    for place in list(axes.flat)[len(chosen) :]:
        place.set_axis_off()
    drawn.suptitle(title, fontsize=11)
    drawn.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(drawn)
