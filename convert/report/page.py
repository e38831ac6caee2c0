"""The page: figures in tables, pictures drawn into it, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from convert.accuracy.conditions import shown_point
from convert.accuracy.evaluate import Scores
from convert.accuracy.plots import (
    GENUINE,
    IMPOSTOR,
    draw_condition_fnmr,
    draw_condition_threshold,
    draw_roc,
    draw_similarities,
    drawn,
)
from edge.errors import MissingDependencyError, ModelError, UsageError

_TEMPLATE = "page.html.j2"
_ABSENT: Mapping[str, Any] = {"bundle": None, "evaluation": None, "latency_ms": None, "conditions": None}
"""What a report need not have."""


def write_page(report: Mapping[str, Any], scores: Scores | None, path: Path) -> list[Path]:
    """Write the page at `path`, and the JSON beside it. UsageError where they cannot be written."""
    text = page(report, scores)
    plain = path.with_suffix(".json")
    try:
        path.write_text(text, encoding="utf-8")
        plain.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(path)) from error
    return [path, plain]


def page(report: Mapping[str, Any], scores: Scores | None) -> str:
    """HTML; every text from outside is escaped."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", extra="convert", purpose="writing a page") from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"size": _size, "shape": _shape, "figure": _figure, "percent": _percent}
    source = (resources.files("convert.report") / _TEMPLATE).read_text(encoding="utf-8")
    template = environment.from_string(source)
    try:
        shown = shown_point(report.get("conditions") or {})
        return str(template.render(report={**_ABSENT, **report}, pictures=_pictures(report, scores), shown_point=shown))
    except (jinja2.UndefinedError, LookupError, TypeError, ValueError, AttributeError) as error:
        hint = "Build it again with this version of ostiary-convert."
        raise ModelError(f"a report that is not whole ({error})", where="report.json", hint=hint) from error


def _pictures(report: Mapping[str, Any], scores: Scores | None) -> dict[str, Any]:
    import markupsafe

    made = {"sizes": drawn(lambda axes: _draw_sizes(axes, report["artifacts"]))}
    if "latency_ms" in report:
        made["latency"] = drawn(lambda axes: _draw_latency(axes, report["latency_ms"]))
    if scores is not None:
        made["roc"] = drawn(lambda axes: draw_roc(axes, scores))
        made["similarities"] = drawn(lambda axes: draw_similarities(axes, scores))
    if report.get("conditions"):
        conditions, point = report["conditions"], shown_point(report["conditions"])
        made["missed"] = drawn(lambda axes: draw_condition_fnmr(axes, conditions, point))
        made["moved"] = drawn(lambda axes: draw_condition_threshold(axes, conditions, point))
    # matplotlib wrote these; what stands before the <svg> element is for files alone.
    texts = {name: data.decode() for name, data in made.items()}
    return {name: markupsafe.Markup(text[text.index("<svg") :]) for name, text in texts.items()}  # noqa: S704 - our own


def _draw_sizes(axes: Any, artifacts: list[dict[str, Any]]) -> None:
    names = [f"{one['part']}, {one['target']}" if one["part"] != "model" else one["target"] for one in artifacts]
    sizes = [one["bytes"] / 1e6 for one in artifacts]
    bars = axes.barh(names[::-1], sizes[::-1], color=GENUINE, height=min(0.8, 0.15 * len(names) + 0.1))
    axes.bar_label(bars, fmt=" %.2f")
    axes.set(xlabel="MB", ylim=(-0.75, len(names) - 0.25), xlim=(0, max(sizes) * 1.15))


def _draw_latency(axes: Any, stages: Mapping[str, Mapping[str, float]]) -> None:
    names = list(stages)
    slow = axes.barh(
        names[::-1], [stages[name]["p95"] for name in names[::-1]], 0.5, color=IMPOSTOR, alpha=0.35, label="p95"
    )
    axes.barh(names[::-1], [stages[name]["p50"] for name in names[::-1]], 0.5, color=GENUINE, label="median")
    axes.bar_label(slow, [f" {stages[name]['p50']:.2f}" for name in names[::-1]])
    axes.set(xlabel="ms, one thread", xlim=(0, max(stage["p95"] for stage in stages.values()) * 1.15))
    axes.legend(frameon=False)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _shape(shape: list[int | None] | None) -> str:
    if shape is None:
        return "unknown"
    return " × ".join("any" if size is None else str(size) for size in shape) or "one number"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) > 1:
        return f"{value:,.1f}"
    return f"{value:.6f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _percent(value: float) -> str:
    return f"{value:.2%}"
