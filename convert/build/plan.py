"""What one build is to do: a recipe, where its files lie, and what the user chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convert.build.sample import Wish
from convert.catalogue import Recipe, names, read_recipe, recipe_named
from convert.catalogue.recipe import ROLES, DetectorUse, EmbedderUse, Part, Picture, SourceFile
from convert.catalogue.sources import find_sources, verify_sources
from convert.importers.formats import companions, format_of
from edge.bundle import sha256_of
from edge.errors import UsageError

EMBEDDERS = {
    "opencv-float32": "onnx",
    "tflite-float32": "tflite-float32",
    "tflite-float16": "tflite-float16",
    "tflite-dynamic": "tflite-dynamic",
    "tflite-int8": "tflite-int8",
    "tflite-uint8": "tflite-uint8",
    "tflite-uint8-legacy": "tflite-uint8-legacy",
}
"""What a bundle's embedder may be -> the target that writes it."""
LEGACY = "tflite-uint8-legacy"
QUANTISE = ("auto", "faithful", "plain")
"""`faithful` searches (convert.quantise), `plain` is TensorFlow's converter; `auto` is faithful where the network allows it."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a user says of a file that no recipe describes; empty or None is: not said."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    architecture: str = ""
    signature: str = ""
    constants: Mapping[str, bool | float] = field(default_factory=dict)
    source_format: str = ""
    role: str = "other"
    embedder: EmbedderUse | None = None
    detector: DetectorUse | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One build."""

    name: str
    recipe: Recipe
    folder: Path
    """Where the recipe's files are."""
    wish: Wish
    targets: tuple[str, ...] = ()
    """Artifacts to write; a bundle is made when there is none."""
    embedder: str = "tflite-uint8"
    """Of EMBEDDERS."""
    detector: str = ""
    """Of an embedder's bundle: a name of the catalogue or another bundle; the package's own when empty."""
    base: Path | None = None
    """Of a detector's bundle: the bundle whose embedder it gets; the package's own when None."""
    batch: int | None = 1
    default_ranges: tuple[float, float] | None = None
    post_process: bool = False
    with_text: bool = False
    check_tolerance: bool = True
    quantise: str = "auto"
    """How an embedder becomes `tflite-uint8`, of QUANTISE."""
    plain_calibration: int | None = None
    """Of the calibration pictures, those for targets that keep the extremes of all; None is every one."""
    only_possible: bool = False
    """Leave out targets that cannot take the network, and say so, instead of failing."""


def is_recipe(source: str) -> bool:
    """Whether a user names a recipe: of the catalogue, or a file of their own."""
    return source in names() or Path(source).suffix.lower() in {".yaml", ".yml"}


def resolve(source: str, given: Path | None, overrides: Overrides, *, any_digest: bool) -> tuple[str, Recipe, Path]:
    """(name, recipe, folder of its files) of a catalogue name, a recipe file, or a model file.

    UsageError where it is none of them or files are missing, ModelError where a file is not the recipe's.
    """
    path = Path(source)
    if source in names():
        recipe = recipe_named(source)
        folder = find_sources(source, recipe, given)
        verify_sources(recipe, folder, any_digest=any_digest)
        return source, recipe, folder
    if not path.exists() and not Path(f"{path}.meta").exists():
        hint = f"The catalogue has {', '.join(names())}."
        expected = "a model file, a recipe (.yaml), or a name of the catalogue"
        raise UsageError(f"{source!r} is neither a file nor a model of the catalogue", expected=expected, hint=hint)
    if is_recipe(source):
        recipe = read_recipe(path)
        folder = find_sources(path.stem, recipe, given, beside=path)
        verify_sources(recipe, folder, any_digest=any_digest)
        return path.stem, recipe, folder
    return plain_name(path), _recipe_for(path, overrides), path.parent


def check_plan(plan: Plan) -> None:
    """UsageError for what cannot be meant, before any work."""
    role, use = plan.recipe.role, plan.recipe.detector
    if not plan.targets and role not in {"embedder", "detector"}:
        hint = "Add --target, once for each artifact wanted, or --role embedder with what belongs to it."
        raise UsageError(f"a model of role {role} makes no bundle", expected="embedder or detector", hint=hint)
    wanted = plan.targets or ((EMBEDDERS[plan.embedder],) if role == "embedder" else ())
    if not plan.targets and plan.batch not in {None, 1}:
        raise UsageError(f"--batch {plan.batch} for a bundle", expected="1: a device embeds one face at a time")
    if LEGACY in wanted and plan.default_ranges is None and not plan.only_possible:
        hint = "They are invented: nothing measures them. tflite-uint8 wants none."
        raise UsageError(f"{LEGACY} without ranges", expected="--default-ranges LOW HIGH, such as 0 6", hint=hint)
    if plan.default_ranges is not None and not plan.default_ranges[0] <= 0 < plan.default_ranges[1]:
        low, high = plan.default_ranges
        raise UsageError(f"--default-ranges {low:g} {high:g}", expected="a range that holds 0 and more")
    if plan.post_process and (use is None or use.ssd is None):
        raise UsageError(
            f"--post-process for {plan.name}", expected="a single-shot detector with a section ssd in its recipe"
        )


def _recipe_for(path: Path, said: Overrides) -> Recipe:
    """A recipe of what the file and the user say."""
    files = companions(path)
    kind = said.source_format or format_of(files)
    part = Part(
        files=tuple(file.name for file in files),
        format=kind,
        inputs=said.inputs,
        outputs=said.outputs,
        shapes=dict(said.shapes),
        architecture=said.architecture,
        signature=said.signature,
        constants=dict(said.constants),
    )
    if said.role not in ROLES:
        raise UsageError(f"role {said.role!r}", expected=f"one of {', '.join(ROLES)}")
    return Recipe(
        title=path.name,
        role=said.role,
        source=path.name,
        licence="not recorded",
        files=tuple(_source_file(file) for file in files),
        parts={"model": part},
        embedder=said.embedder,
        detector=said.detector,
        picture=said.picture,
    )


def _source_file(path: Path) -> SourceFile:
    if not path.is_file():
        return SourceFile(path.name)
    return SourceFile(path.name, sha256_of(path), path.stat().st_size)


def plain_name(path: Path) -> str:
    """A file's name as a bundle or an artifact may be named: at most 40 letters, digits, dots, dashes."""
    stem = path.name.removesuffix(path.suffix) if path.suffix else path.name
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in stem.lower()).strip("._-")
    return kept[:40] or "model"
