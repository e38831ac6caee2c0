"""`ostiary-convert inspect` and `ostiary-convert graph`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from convert.cli.common import Subcommands, add_ends, parse_shape
from convert.network import shown_shape
from edge.errors import EXIT_OK


def add_command(commands: Subcommands) -> None:
    """Describe the subcommands."""
    about = (
        "What a model file is: format, inputs and outputs, operators, parameters, multiply-accumulates, quantisation."
    )
    command = commands.add_parser("inspect", help="say what a model file is", description=about)
    _add_source(command)
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=run)
    drawing = commands.add_parser(
        "graph", help="draw a network", description="A network as a drawing, one box an operator."
    )
    _add_source(drawing)
    drawing.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="out.svg, out.pdf, out.png or out.dot"
    )
    drawing.set_defaults(run=run_graph)


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="a model file of any format, or a SavedModel folder")
    add_ends(command)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.inspection.inspect import inspect

    found = inspect(_request(args))
    print(json.dumps(found) if args.json else shown(found))
    return EXIT_OK


def run_graph(args: argparse.Namespace) -> int:
    """Draw; returns the exit code."""
    from convert.importers import open_source
    from convert.inspection.graph import write_graph
    from convert.passes.tidy import tidy

    print(write_graph(tidy(open_source(_request(args)).network), args.output, args.file.name))
    return EXIT_OK


def _request(args: argparse.Namespace) -> Any:
    from convert.importers import Request, companions

    return Request(
        files=companions(args.file),
        inputs=tuple(args.input),
        outputs=tuple(args.output_name),
        shapes=dict(map(parse_shape, args.shape)),
        architecture=args.architecture,
        signature=args.signature,
    )


def shown(found: dict[str, Any]) -> str:
    """For a person."""
    rows = [
        ("format", found["format"]),
        ("files", ", ".join(f"{name} ({size:,} bytes)" for name, size in found["files"].items())),
    ]
    rows += [
        ("input" if not index else "", f"{name}  {_shape(shape)}")
        for index, (name, shape) in enumerate(found["inputs"].items())
    ]
    rows += [
        ("output" if not index else "", f"{name}  {_shape(shape)}")
        for index, (name, shape) in enumerate(found["outputs"].items())
    ]
    if "problem" in found:
        rows.append(("", found["problem"]))
    if found["operators"]:
        rows.append(("operators", ", ".join(f"{count} {name}" for name, count in found["operators"].items())))
    if found["parameters"] is not None:
        rows.append(("parameters", f"{found['parameters']:,}"))
    if found["macs"] is not None:
        rows.append(("MACs", f"{found['macs'] / 1e6:,.1f} million for one run"))
    for name, told in found["details"].items():
        lines = [told] if isinstance(told, str) else told
        rows += [(name if not index else "", line) for index, line in enumerate(lines)]
    rows += [("licence", found["licence"] or "none recorded in the file")]
    rows += [("note" if not index else "", note) for index, note in enumerate(found["notes"])]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{text}".rstrip() for name, text in rows)


def _shape(shape: list[int | None] | None) -> str:
    if shape is None:
        return "of unknown shape"
    return shown_shape(shape) or "one number"
