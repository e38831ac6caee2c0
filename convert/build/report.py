"""`report.json`: what a build did and found, for programs and for the page that `ostiary-convert report` makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.build.artifacts import Built
from convert.build.models import Model
from convert.build.plan import Plan
from convert.build.steps import Steps
from convert.inspection.summary import summarise
from convert.provenance import tool_versions
from edge.bundle import sha256_of
from edge.errors import ModelError

REPORT_NAME = "report.json"
SCHEMA = 1
_MOST_BYTES = 50_000_000


def report_of(plan: Plan, models: Mapping[str, Model], built: Sequence[Built], steps: Steps) -> dict[str, Any]:
    """JSON-ready."""
    recipe = plan.recipe
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "title": recipe.title,
        "role": recipe.role,
        "source": {
            "from": recipe.source,
            "licence": _licence(plan, models),
            "published": recipe.published,
            "files": {
                file.name: _digest(plan.folder / file.name) for file in recipe.files if _is_used(plan, file.name)
            },
        },
        "networks": {part: _network(model) for part, model in models.items()},
        "calibration": _calibration(plan),
        "artifacts": [one.as_dict() for one in built],
        "left_out": steps.left_out,
        "steps": [{"name": step.name, "seconds": step.seconds} for step in steps.done],
        "tools": tool_versions(),
    }


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Write it into a folder."""
    path = folder / REPORT_NAME
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_report(folder: Path) -> dict[str, Any]:
    """The report in a folder. ModelError (exit code 4) where there is none, or none that this version reads."""
    path = folder / REPORT_NAME
    hint = "Folders made by `ostiary-convert build` hold one."
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected="a report of a few pages")
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a report", hint=hint
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"not JSON ({type(error).__name__})", where=str(path), expected="a report", hint=hint
        ) from error
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        found = report.get("schema") if isinstance(report, dict) else type(report).__name__
        raise ModelError(f"a report of schema {found}", where=str(path), expected=f"schema {SCHEMA}", hint=hint)
    return report


def _is_used(plan: Plan, name: str) -> bool:
    return any(name in part.files for part in plan.recipe.parts.values())


def _digest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _licence(plan: Plan, models: Mapping[str, Model]) -> str:
    recorded = next((model.imported.licence for model in models.values() if model.imported.licence), "")
    return recorded or plan.recipe.licence


def _network(model: Model) -> dict[str, Any]:
    return {
        "format": model.imported.format,
        "reference": model.imported.reference.label,
        "notes": list(model.imported.notes),
        "colour_order": model.colour_order,
        "normalisation": {
            "kind": model.normalisation.kind,
            "mean": model.normalisation.mean,
            "std": model.normalisation.std,
        },
        **summarise(model.network).as_dict(),
    }


def _calibration(plan: Plan) -> dict[str, Any]:
    wish = plan.wish
    label = wish.store.label if wish.store is not None else "none given: variations of one public-domain portrait"
    return {
        "pictures": label,
        "count": wish.calibration,
        "seed": wish.seed,
        "only_people_listed": wish.people is not None,
    }
