"""The `ostiary` command: subcommands, wiring, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from edge.cli.parser import make_parser
from edge.errors import EXIT_OTHER, EXIT_USAGE, OstiaryError

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_ENVIRONMENT = {
    # OpenCV's warnings about formats and back-ends repeat, less clearly, what our own errors say.
    "OPENCV_LOG_LEVEL": "ERROR",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    # A search is one product of a matrix and a vector: memory-bound, and more threads only keep cores busy.
    "OPENBLAS_NUM_THREADS": "1",
}
"""Set before OpenCV and numpy are imported, unless the user has set them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of edge.errors. Nobody sees a traceback for a mistake of their own."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _prepare_output()
    parser = make_parser()
    args = _parsed(parser, arguments)
    if args.run is None:
        args.parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        return int(args.run(args))
    except OstiaryError as error:
        _complain_of(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has left; so do we, and Python must not complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OTHER
    except OSError as error:
        # A full disk, a folder that may not be entered: whatever no module has a better sentence for.
        where = f"{error.filename}: " if error.filename is not None else ""
        _complain_of(f"{where}{error.strerror or error}")
        return EXIT_OTHER


def _complain_of(error: object) -> None:
    from edge.cli.logs import complain_of

    complain_of(error)


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """`ostiary command` takes its NAME=VALUE wherever they stand; argparse alone takes none behind an option."""
    args, rest = parser.parse_known_args(arguments)
    if not rest:
        return args
    if not hasattr(args, "arguments") or any(one.startswith("-") or "=" not in one for one in rest):
        args.parser.error("unrecognized arguments: " + " ".join(rest))
    args.arguments += rest
    return args


def _prepare_output() -> None:
    """File names need not be UTF-8, and a terminal need not know every letter: such are spelt out. Lines go out at once."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
