"""What is written to standard error: lines that read well in a terminal, and in plain `journalctl -u ostiary`."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, TextIO

from edge.config.settings import Settings
from edge.timebase import rfc3339

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Of sd-daemon(3): `<4>` at the start of a line makes it a warning for `journalctl -p warning`."""
TERMINAL = "%(asctime)s %(levelname)-7s %(message)s"

log = logging.getLogger("ostiary")


def is_journal(stream: TextIO) -> bool:
    """Whether a stream goes to the journal: systemd tells its device and inode, lest a redirected one is taken for it."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def prefixed(text: str, level: int) -> str:
    """As the journal wants it: it makes an entry of every line, so each says how grave it is."""
    priority = PRIORITIES[max((known for known in PRIORITIES if known <= level), default=logging.DEBUG)]
    return "\n".join(f"<{priority}>{line}" for line in text.splitlines() if line.strip())


class LineFormatter(logging.Formatter):
    """One line an event, hints below it, and a camera's password in none of them."""

    def __init__(self, *, for_journal: bool) -> None:
        # The journal keeps time and severity itself.
        super().__init__("%(message)s" if for_journal else TERMINAL)
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        text = without_secrets(super().format(record))
        return prefixed(text, record.levelno) if self._for_journal else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: level, message, logger, thread; `at` where no journal keeps the time; `traceback`."""

    def __init__(self, *, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        row: dict[str, Any] = {} if self._for_journal else {"at": rfc3339(record.created)}
        row |= {"level": record.levelname.lower(), "message": without_secrets(record.getMessage())}
        row |= {"logger": record.name, "thread": record.threadName}
        if record.exc_info:
            row["traceback"] = without_secrets(self.formatException(record.exc_info))
        text = json.dumps(row, ensure_ascii=False)
        return prefixed(text, record.levelno) if self._for_journal else text


def without_secrets(text: str) -> str:
    """Addresses without user, password and query: the last guard, as whoever logs one redacts it first."""
    if "://" not in text:
        return text
    from edge.capture.uri import redact

    return redact(text)


def start_logging(settings: Settings) -> None:
    """To standard error, from now on; what nobody catches goes there, too, in the same form."""
    for_journal = is_journal(sys.stderr)
    made = JsonFormatter if settings.logging.format == "json" else LineFormatter
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(made(for_journal=for_journal))
    logging.basicConfig(level=settings.logging.level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread


def complain_of(error: object) -> None:
    """The last words of a command, to standard error."""
    text = without_secrets(f"ostiary: {error}")
    print(prefixed(text, logging.ERROR) if is_journal(sys.stderr) else text, file=sys.stderr, flush=True)


def _on_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("ended by a fault of its own; please report it", exc_info=(kind, error, traceback))


def _on_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread is not None else "unknown"
    log.critical(
        "thread %s ended by a fault of its own; please report it", name,
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )  # fmt: skip
