"""`ostiary run`: the daemon."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from edge.cli.common import settings_of
from edge.config.settings import Settings
from edge.daemon import Daemon, Options


def run(args: argparse.Namespace) -> int:
    """Until the source ends, or SIGTERM or SIGINT."""
    settings = settings_of(args)
    if args.camera is not None:
        settings = dataclasses.replace(settings, camera=dataclasses.replace(settings.camera, uri=args.camera))
    start_logging(settings)
    if not args.no_mqtt:
        return _run(settings, Options(annotate=args.annotate))
    # A trial takes no sequence numbers from the box's own events, and may run beside the daemon.
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        settings = dataclasses.replace(
            settings,
            mqtt=dataclasses.replace(settings.mqtt, enabled=False),
            outbox=dataclasses.replace(settings.outbox, file=Path(folder) / "outbox.sqlite"),
        )
        return _run(settings, Options(annotate=args.annotate, write_event=_print_line))


def _run(settings: Settings, options: Options) -> int:
    daemon = Daemon(settings, options)

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is the signal module's
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    daemon.run()
    return 0


def start_logging(settings: Settings) -> None:
    """To standard error; without a time of its own under journald, which adds one."""
    under_journald = not sys.stderr.isatty() and "JOURNAL_STREAM" in os.environ
    form = "%(levelname)s %(name)s: %(message)s" if under_journald else "%(asctime)s %(levelname)-7s %(message)s"
    logging.basicConfig(level=settings.logging.level.upper(), format=form, stream=sys.stderr, force=True)


def _print_line(line: str) -> None:
    print(line, flush=True)
