"""`ostiary run`: the daemon."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import tempfile
from pathlib import Path
from types import FrameType

from edge.again import start_again
from edge.cli.common import settings_of
from edge.cli.logs import start_logging
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
            metrics=dataclasses.replace(settings.metrics, enabled=False),
        )
        return _run(settings, Options(annotate=args.annotate, write_event=_print_line, keeps_trial=False))


def _run(settings: Settings, options: Options) -> int:
    daemon = Daemon(settings, options)

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is the signal module's
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    daemon.run()
    if daemon.wants_restart:
        start_again()
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)
