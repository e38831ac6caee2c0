"""The daemon of the soak: edge.daemon.Daemon before the stage instead of a camera.

python -m tests.bench.soak.daemon --config ostiary.yaml --hours 24 --clock FILE
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from edge.capture import LiveOptions
from edge.capture.live import LiveSource
from edge.cli.run import start_logging
from edge.config import load_settings
from edge.config.settings import Settings
from edge.daemon import TICK_S, Daemon
from edge.interfaces import FrameSource
from tests.bench.soak.stage import Clock, Stage, StageSource


class SoakDaemon(Daemon):
    """Everything is real but the device behind the camera, and the time that its frames tell."""

    def __init__(self, settings: Settings, stage: Stage) -> None:
        super().__init__(settings)
        self._stage = stage

    def _open_source(self) -> FrameSource:
        options = LiveOptions(wait_s=TICK_S)
        inner = LiveSource(
            self._stage.open, self._settings.camera, shown="stage", on_state=self._on_camera, options=options
        )
        self._source = StageSource(inner, self._stage)
        return self._source


def main() -> None:
    """Until the play is over, or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--clock", type=Path, required=True)
    args = parser.parse_args()
    settings = load_settings(args.config)
    start_logging(settings)
    daemon = SoakDaemon(settings, Stage(args.hours, Clock(args.clock)))
    signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
    daemon.run()


if __name__ == "__main__":
    main()
