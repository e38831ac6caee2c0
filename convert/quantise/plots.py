"""How sensitive each layer is, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert.quantise.outcome import Sensitivity

_BAR = "#2a7f62"
_CHARS = 28


def draw_sensitivity(axes: Any, sensitivity: Sequence[Sensitivity]) -> None:
    """One bar for each unit, in the network's order: what the mean cosine gains where it alone is in float32."""
    places = range(len(sensitivity))
    axes.bar(places, [one.gain for one in sensitivity], color=_BAR, width=0.8)
    axes.set_xticks(places, [one.unit[:_CHARS] for one in sensitivity], rotation=90, fontsize=4.5)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(ylabel="gain of the mean cosine in float32", xlim=(-0.8, len(sensitivity) - 0.2))
    axes.grid(visible=True, axis="y", alpha=0.25)
