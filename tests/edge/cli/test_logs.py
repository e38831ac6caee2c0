"""What the journal and a terminal get to read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli.logs import JsonFormatter, LineFormatter, is_journal, prefixed, without_secrets
from tests.support.data import ROOT

SECRET = "rtsp://eve:hunter2@camera.local:554/stream?token=hunter2"  # noqa: S105 - made up
PROGRAM = """
import logging, sys, threading, warnings
from edge.cli.logs import complain_of, start_logging
from edge.config.settings import Logging, Settings
from edge.errors import SourceError

start_logging(Settings(logging=Logging(format=sys.argv[1])))
log = logging.getLogger("edge.somewhere")
log.debug("not written")
log.info("recognized: Grace Hopper")
log.warning("%s: offline", "rtsp://eve:hunter2@camera.local/1")
log.error("%s", SourceError("cannot be opened", where="rtsp://eve:hunter2@camera.local/1", hint="Look at the cable."))
warnings.warn("old", DeprecationWarning, stacklevel=1)
worker = threading.Thread(target=lambda: 1 / 0, name="worker")
worker.start()
worker.join()
complain_of("cannot be read\\n  Mend it.")
raise RuntimeError("hunter2 is not in here")
"""


def run(form: str, tmp_path: Path, *, journal: bool) -> list[str]:
    """Lines on standard error of a program that meets everything."""
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    environment.pop("JOURNAL_STREAM", None)
    with log.open("wb") as stream:
        if journal:
            status = os.fstat(stream.fileno())
            environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        done = subprocess.run([sys.executable, "-c", PROGRAM, form], stderr=stream, check=False, env=environment)
    assert done.returncode == 1
    return log.read_text(encoding="utf-8").splitlines()


def test_lines_for_the_journal(tmp_path: Path) -> None:
    lines = run("text", tmp_path, journal=True)
    assert lines[:4] == [
        "<6>recognized: Grace Hopper",
        "<4>rtsp://***@camera.local/1: offline",
        "<3>rtsp://***@camera.local/1: cannot be opened",
        "<3>  Look at the cable.",
    ]
    assert all(line[0] == "<" and line[2] == ">" for line in lines)
    assert "<4>" in next(line for line in lines if "DeprecationWarning" in line)
    assert "<2>thread worker ended by a fault of its own; please report it" in lines
    assert lines.index("<3>ostiary: cannot be read") + 1 == lines.index("<3>  Mend it.")
    assert "<2>ended by a fault of its own; please report it" in lines
    assert lines[-1] == "<2>RuntimeError: hunter2 is not in here"


def test_lines_for_a_terminal(tmp_path: Path) -> None:
    lines = run("text", tmp_path, journal=False)
    assert lines[0].endswith("INFO    recognized: Grace Hopper")
    assert lines[0][:2] == "20"
    assert lines[2].endswith("ERROR   rtsp://***@camera.local/1: cannot be opened")
    assert lines[3] == "  Look at the cable."
    assert not [line for line in lines if line.startswith("<")]


@pytest.mark.parametrize("journal", [True, False])
def test_objects_for_programs(tmp_path: Path, journal: bool) -> None:  # noqa: FBT001
    lines = run("json", tmp_path, journal=journal)
    said = [line for line in lines if "ostiary: cannot be read" not in line and "Mend it" not in line]
    rows = [json.loads(line[3:] if journal else line) for line in said]
    assert [row["level"] for row in rows] == ["info", "warning", "error", "warning", "critical", "critical"]
    assert [row["message"] for row in rows[:3]] == [
        "recognized: Grace Hopper", "rtsp://***@camera.local/1: offline",
        "rtsp://***@camera.local/1: cannot be opened\n  Look at the cable.",
    ]  # fmt: skip
    assert {row["logger"] for row in rows} == {"edge.somewhere", "py.warnings", "ostiary"}
    assert "ZeroDivisionError" in rows[4]["traceback"]
    assert all(("at" in row) is not journal for row in rows)
    if journal:
        assert [line[:3] for line in said] == ["<6>", "<4>", "<3>", "<4>", "<2>", "<2>"]


def test_a_redirected_stream_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert is_journal(stream)
        assert not is_journal(other)
        monkeypatch.setenv("JOURNAL_STREAM", "nonsense")
        assert not is_journal(stream)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(stream)
    assert not is_journal(stream)


@pytest.mark.parametrize(
    ("text", "level", "expected"),
    [
        ("one", logging.INFO, "<6>one"),
        ("one\n  two\n\n", logging.WARNING, "<4>one\n<4>  two"),
        ("x", logging.DEBUG, "<7>x"),
        ("x", logging.CRITICAL, "<2>x"),
        ("x", 35, "<4>x"),
        ("x", 5, "<7>x"),
        ("", logging.ERROR, ""),
    ],
)
def test_every_line_says_how_grave_it_is(text: str, level: int, expected: str) -> None:
    assert prefixed(text, level) == expected


@pytest.mark.parametrize("text", [SECRET, f"({SECRET})", f"cannot open {SECRET}: timeout", f"{SECRET}\n{SECRET}"])
def test_no_password_of_a_camera(text: str) -> None:
    assert "hunter2" not in without_secrets(text)
    assert "eve" not in without_secrets(text)
    assert "camera.local" in without_secrets(text)


@pytest.mark.parametrize(
    "made", [LineFormatter(for_journal=True), LineFormatter(for_journal=False), JsonFormatter(for_journal=True)]
)
def test_a_traceback_has_no_password(made: logging.Formatter) -> None:
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", (), None)
    error = OSError(f"cannot open {SECRET}")
    record.exc_info = (OSError, error, None)
    text = made.format(record)
    assert "cannot open" in text
    assert "hunter2" not in text
