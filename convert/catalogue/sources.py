"""Where the files of a catalogue model lie on this machine, and whether they are the ones the recipe means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from convert.catalogue import Recipe
from convert.catalogue.recipe import SourceFile
from edge.bundle import sha256_of
from edge.errors import ModelError, UsageError

ENVIRONMENT = "OSTIARY_MODELS"


def models_folder() -> Path:
    """Where `fetch` puts models, a folder each: $OSTIARY_MODELS, else ostiary/models in the user's cache."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "ostiary" / "models"


def find_sources(name: str, recipe: Recipe, given: Path | None, beside: Path | None = None) -> Path:
    """The folder with the files of a recipe: the one `given`, its neighbour `beside`, or where `fetch` put it.

    UsageError says how to get them. Digests are checked by `verify_sources`.
    """
    folder = recipe.folder or name
    places = [given] if given is not None else list(_places(folder, beside))
    for place in places:
        if place.is_dir() and any((place / file.name).exists() for file in recipe.files):
            return place
    missing = ", ".join(file.name for file in recipe.files)
    listed = " or ".join(str(place) for place in places)
    raise UsageError(
        f"the files of {name} are not there", where=listed, expected=missing, hint=how_to_get(name, recipe)
    )


def _places(folder: str, beside: Path | None) -> Iterator[Path]:
    if beside is not None:
        yield beside.absolute().parent / folder
    yield models_folder() / folder


def how_to_get(name: str, recipe: Recipe) -> str:
    """The next step for somebody who has not got the files."""
    if recipe.obtain:
        return recipe.obtain
    return f"ostiary-convert fetch {name}, or name their folder with --source DIR. They come from {recipe.source}."


def verify_sources(recipe: Recipe, folder: Path, names: tuple[str, ...] = (), *, any_digest: bool = False) -> None:
    """Check that files are there and are those that the recipe was written for; all of the recipe's when none is named.

    ModelError (exit code 4) tells found and expected digests; `any_digest` lets other weights of the same form pass.
    """
    for file in recipe.files:
        if names and file.name not in names:
            continue
        path = folder / file.name
        if not path.is_file():
            raise UsageError("missing", where=str(path), expected="every file that the recipe names")
        if not any_digest:
            check_digest(path, file)


def check_digest(path: Path, file: SourceFile) -> None:
    """ModelError when a file is not the one that the recipe means."""
    if file.bytes and path.stat().st_size != file.bytes:
        hint = "It was cut off or is another version: get it again, or accept it with --any-digest."
        raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected=f"{file.bytes} bytes", hint=hint)
    digest = sha256_of(path) if file.sha256 else ""
    if digest != file.sha256:
        hint = "It was altered, or is another version: get it again, or accept it with --any-digest."
        raise ModelError(f"SHA-256 {digest}", where=str(path), expected=file.sha256, hint=hint)
