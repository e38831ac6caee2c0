"""`ostiary-convert fetch` and `ostiary-convert models`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from convert.cli.common import Subcommands
from edge.errors import EXIT_OK


def add_command(commands: Subcommands) -> None:
    """Describe the subcommands."""
    about = "Downloads a model of the catalogue, resumes what broke off, and checks every file's SHA-256."
    command = commands.add_parser("fetch", help="download a model of the catalogue", description=about)
    command.add_argument("name", metavar="NAME", help="a model of the catalogue; `ostiary-convert models` lists them")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for its files (default: the cache)")
    command.set_defaults(run=run)
    listing = commands.add_parser("models", help="list the catalogue", description="The models that are known.")
    listing.add_argument("--json", action="store_true", help="one JSON object, for programs")
    listing.set_defaults(run=run_models)


def run(args: argparse.Namespace) -> int:
    """Fetch; returns the exit code."""
    from convert.catalogue import recipe_named
    from convert.catalogue.fetch import fetch_model
    from convert.catalogue.sources import models_folder

    recipe = recipe_named(args.name)
    folder = args.output or models_folder() / (recipe.folder or args.name)
    fetched = fetch_model(args.name, recipe, folder, _show)
    print(f"{len(fetched)} file(s) fetched, {len(recipe.files)} in {folder}; licence: {recipe.licence}")
    return EXIT_OK


def run_models(args: argparse.Namespace) -> int:
    """List the catalogue; returns the exit code."""
    from convert.catalogue import names, recipe_named

    recipes = {name: recipe_named(name) for name in names()}
    if args.json:
        rows = {name: {"title": it.title, "role": it.role, "licence": it.licence} for name, it in recipes.items()}
        print(json.dumps(rows))
        return EXIT_OK
    width = max(map(len, recipes))
    for name, recipe in recipes.items():
        print(f"{name:<{width}}  {recipe.role:<9} {recipe.title}")
    return EXIT_OK


def _show(name: str, got: int, total: int) -> None:
    """One line that is written over, when a person is looking."""
    if not sys.stderr.isatty():
        return
    share = f"{got / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{got / 1e6:.1f} MB"
    print(f"\r{name}  {share}", end="\n" if got == total else "", file=sys.stderr, flush=True)
