"""The models that are known: one YAML recipe each, named like the folder that holds its files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from convert.catalogue.recipe import Recipe
from edge.errors import UsageError
from edge.validation import build

__all__ = ["Recipe", "names", "read_recipe", "recipe_named"]

_MOST_BYTES = 1_000_000
_HINT = "docs/converter.md describes every key of a recipe."


def names() -> list[str]:
    """Every model of the catalogue, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def recipe_named(name: str) -> Recipe:
    """A recipe of the catalogue. UsageError lists all where there is none of that name."""
    if name not in names():
        raise UsageError(f"no model {name!r} in the catalogue", expected=f"one of {', '.join(names())}")
    return read_recipe(_folder() / f"{name}.yaml")


def read_recipe(path: Path) -> Recipe:
    """A recipe from a file. UsageError names every fault in it."""
    try:
        raw = path.read_bytes()[: _MOST_BYTES + 1]
        if len(raw) > _MOST_BYTES:
            raise UsageError(f"more than {_MOST_BYTES} bytes", where=str(path), expected="a recipe of a few pages")
        data = yaml.load(raw.decode("utf-8"), Loader=_NoAliases)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a recipe", hint=_HINT
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"not YAML: {reason}", where=str(path), expected="a recipe", hint=_HINT) from error
    recipe, faults = build(Recipe, data)
    if recipe is None:
        rows = "\n".join(f"  {fault}" for fault in faults)
        raise UsageError(f"{len(faults)} fault(s) in the recipe\n{rows}", where=str(path), hint=_HINT)
    return recipe


class _NoAliases(yaml.SafeLoader):
    """A recipe needs no anchors, and a few nested ones fill the memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name); write the value out")
        return super().compose_node(parent, index)


def _folder() -> Path:
    return Path(str(resources.files("convert") / "catalogue"))
