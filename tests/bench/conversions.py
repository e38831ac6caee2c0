"""Every model of the test data to every target that makes sense: the table of docs/results.md.

    python -m tests.bench.conversions FOLDER

builds into FOLDER/NAME, calibrated on LFW people who are in no evaluation, and prints one row a network: format, and for each
target the cosine to its source (mean, of the output that fares worst), the greatest difference in parts of the greatest
value for float ones, and the size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from convert.accuracy.pairs import read_people
from convert.build.make import build
from convert.build.plan import Overrides, Plan, resolve
from convert.build.sample import Wish
from convert.catalogue import names
from convert.pictures import open_pictures
from edge.errors import OstiaryError
from tests.support.data import TEST_DATA

LFW = TEST_DATA / "data" / "lfw"
COLUMNS = (
    "onnx", "opencv-pb", "saved-model", "tflite-float32", "tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-uint8",
    "tflite-uint8-legacy",
)  # fmt: skip
EXACT = frozenset(COLUMNS[:4])


def main(folder: Path) -> None:
    """The whole table."""
    wish = Wish(open_pictures(LFW / "lfw-deepfunneled.tar"), read_people(LFW / "identities-train.txt"))
    print(f"| model | source | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}")
    for name in names():
        if source_folder(name) is None:
            continue
        try:
            report = built(name, folder / name, wish)
        except OstiaryError as error:
            print(f"| {name} | {str(error).splitlines()[0]} |", flush=True)
            continue
        for part, network in report["networks"].items():
            made = {one["target"]: cell(one) for one in report["artifacts"] if one["part"] == part}
            cells = [made.get(target, "–") for target in COLUMNS]
            title = name if len(report["networks"]) == 1 else f"{name}, {part}"
            print(f"| {title} | {network['format']} | {' | '.join(cells)} |", flush=True)


def built(name: str, folder: Path, wish: Wish) -> dict[str, Any]:
    """The report of one build, of an earlier run where it is there."""
    done = folder / "report.json"
    if done.exists():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    _, recipe, source = resolve(name, source_folder(name), Overrides(), any_digest=False)
    plan = Plan(
        name,
        recipe,
        source,
        wish,
        tuple(recipe.targets),
        default_ranges=(-6.0, 6.0),
        check_tolerance=False,
        only_possible=True,
    )
    return build(plan, folder, lambda text: print(text, file=sys.stderr, flush=True))


def source_folder(name: str) -> Path | None:
    """Where the test data has a model's files."""
    from convert.catalogue import recipe_named

    folder = TEST_DATA / "models" / (recipe_named(name).folder or name)
    return folder if folder.is_dir() else None


def cell(artifact: dict[str, Any]) -> str:
    """Cosine, difference and size of one artifact."""
    cosine = min(one["cosine_mean"] for one in artifact["fidelity"])
    difference = max(one["difference_relative"] for one in artifact["fidelity"])
    near = f"{cosine:.5f}, {difference:.0e}" if artifact["target"] in EXACT else f"{cosine:.4f}"
    return f"{near}, {artifact['bytes'] / 1e3:.0f} kB"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
