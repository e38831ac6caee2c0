"""The `ostiary-convert` command: one module for each subcommand, each with `add_command`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from convert.cli import (
    benchmark,
    build,
    compare,
    default_bundle,
    evaluate,
    fetch,
    inspect,
    quantise,
    release,
    report,
    sign,
    train,
)
from edge import __version__
from edge.errors import EXIT_OTHER, EXIT_USAGE, OstiaryError

COMMANDS = (fetch, inspect, build, quantise, compare, evaluate, benchmark, report, train, default_bundle, sign, release)
"""In the order in which help lists them."""

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_DESCRIPTION = "Makes and measures the bundles that `ostiary` runs. For a host, not for the box at the door."
_EPILOG = """\
examples:
  ostiary-convert inspect model-symbol.json
  ostiary-convert build mobilefacenet-mxnet --source models/mobilefacenet-mxnet --calibration faces/ -o my-bundle
  ostiary-convert evaluate --bundle my-bundle --images lfw-deepfunneled.tar --pairs pairs.txt
  ostiary-convert report my-bundle
  ostiary-convert release --target arm64 --debian trixie --bundle my-bundle -o releases

exit codes: 0 clean, 2 usage, 3 cannot be fetched, 4 bundle or model rejected, 1 anything else."""


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="ostiary-convert", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style
    )
    parser.add_argument("--version", action="version", version=f"ostiary-convert {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        module.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of edge.errors. Nobody sees a traceback for a mistake of their own."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    _prepare_output()
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.run is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        return int(args.run(args))
    except OstiaryError as error:
        print(f"ostiary-convert: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe has left; so do we, and Python must not complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OTHER
    except (OSError, MemoryError) as error:
        print(f"ostiary-convert: {_sentence(error)}", file=sys.stderr)
        return EXIT_OTHER
    except KeyboardInterrupt:
        print("ostiary-convert: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _sentence(error: OSError | MemoryError) -> str:
    """For what no module has a better sentence for."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}"


def _prepare_output() -> None:
    """Names in a model may be of letters that a terminal does not know: such are spelt out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
