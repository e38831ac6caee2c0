"""Beginning again in the same process: the same command line, with nothing of before."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

log = logging.getLogger(__name__)


def start_again() -> NoReturn:
    """Replace this program by a fresh run of itself. The process id stays, so that a service manager sees no end.

    Call it when everything is closed; what a library still holds open is let go of here.
    """
    log.info("starting again")
    _close_on_exec()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line


def _close_on_exec() -> None:
    """Python opens files so by itself; libraries in C may hold a camera that the next run wants to open."""
    with contextlib.suppress(OSError):
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if int(entry.name) > 2:
                    os.set_inheritable(int(entry.name), False)  # noqa: FBT003 - the signature is the system's
