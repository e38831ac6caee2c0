"""Pictures of an evaluation, as SVG text or files: ROC and histograms of similarities."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
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


def draw_condition_fnmr(axes: Any, conditions: Mapping[str, Mapping[str, Any]], point: str) -> None:
    """FNMR of each kind of probe at the threshold of an operating point, and beside it the FMR that holds there."""
    rows = [one for one in conditions.values() if point in one["fnmr"]][::-1]
    _draw_figures(axes, rows, [one["fnmr"][point] for one in rows], GENUINE)
    for place, one in enumerate(rows):
        axes.text(
            1.01,
            place,
            f"FMR {one['fmr'][point]['value']:.1e}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7,
        )
    axes.set(xlabel=f"FNMR at {point}, 95 % interval", xlim=(0, None))


def draw_condition_threshold(axes: Any, conditions: Mapping[str, Mapping[str, Any]], point: str) -> None:
    """For each kind of probe the threshold that would keep the false match rate of an operating point."""
    rows = [one for one in conditions.values() if point in one["threshold"]][::-1]
    _draw_figures(axes, rows, [one["threshold"][point] for one in rows], IMPOSTOR)
    axes.set(xlabel=f"similarity that would keep {point}, 95 % interval")


def _draw_figures(
    axes: Any, rows: Sequence[Mapping[str, Any]], figures: Sequence[Mapping[str, Any]], colour: str
) -> None:
    """Points with whiskers, one a row, the last row at the top."""
    values = [figure["value"] for figure in figures]
    ends = [figure["confidence_95"] or [figure["value"]] * 2 for figure in figures]
    for place, (low, high) in enumerate(ends):
        axes.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.35, solid_capstyle="round")
    axes.plot(values, range(len(rows)), "o", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), [one["title"] for one in rows], fontsize=7)
    axes.grid(visible=True, axis="x", alpha=0.25)
