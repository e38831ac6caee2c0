"""Pictures of an evaluation, as SVG text or files: ROC and histograms of similarities."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.accuracy.evaluate import Scores
from edge.errors import MissingDependencyError, UsageError

GENUINE, IMPOSTOR = "#2a7f62", "#c44536"
_SIZE = (6.4, 3.6)
_LEAST_FMR = 1e-4


def write_plots(scores: Scores, folder: Path) -> list[Path]:
    """`roc.svg`, `similarities.svg` and both as PNG. UsageError where the folder cannot be written."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in (("roc", draw_roc), ("similarities", draw_similarities)):
            for form in ("svg", "png"):
                path = folder / f"{name}.{form}"
                path.write_bytes(drawn(lambda axes, draw=draw: draw(axes, scores), form))  # type: ignore[misc]
                written.append(path)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(folder)) from error
    return written


def drawn(draw: Callable[[Any], None], form: str = "svg") -> bytes:
    """One picture; the same bytes for the same figures."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", extra="convert", purpose="drawing") from error
    with mpl.rc_context({"svg.hashsalt": "ostiary", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                         "axes.spines.right": False}):  # fmt: skip
        figure = Figure(figsize=_SIZE, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, dpi=110, metadata={"Date": None} if form == "svg" else {})
    return buffer.getvalue()


def draw_roc(axes: Any, scores: Scores) -> None:
    """True accept rate over false match rate, logarithmic."""
    impostor = np.sort(scores.similarities[~scores.same])[::-1]
    genuine = np.sort(scores.similarities[scores.same])
    thresholds = np.unique(np.concatenate([impostor, genuine]))[::-1]
    fmr = np.searchsorted(-impostor, -thresholds, side="right") / len(impostor)
    tar = 1 - np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    least = max(_LEAST_FMR, 1 / len(impostor))
    axes.step(np.maximum(fmr, least), tar, where="post", color=GENUINE, linewidth=1.8)
    axes.set(xscale="log", xlim=(least, 1), xlabel="false match rate", ylabel="true accept rate")
    axes.set_ylim(min(0.9, float(tar[fmr <= 0.01].max(initial=0.0)) - 0.02), 1.002)
    axes.grid(visible=True, which="both", alpha=0.25)


def draw_similarities(axes: Any, scores: Scores) -> None:
    """How the similarities of genuine and of impostor pairs are spread."""
    edges = np.linspace(-0.4, 1.0, 71)
    for values, colour, label in (
        (scores.similarities[~scores.same], IMPOSTOR, "two people"),
        (scores.similarities[scores.same], GENUINE, "one person"),
    ):
        axes.hist(
            np.clip(values, edges[0], edges[-1]), edges, color=colour, alpha=0.65, label=f"{label} ({len(values)})"
        )
    axes.set(xlabel="similarity (cosine)", ylabel="pairs")
    axes.legend(frameon=False)
