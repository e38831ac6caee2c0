"""The manual's pages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.release.debian.manpage import manpage
from deploy.release.debian.package import TEMPLATES
from edge.cli.parser import make_parser
from tests.deploy.tiny_release import EPOCH

pytestmark = pytest.mark.once


def test_the_manual_knows_every_command_and_option() -> None:
    page = manpage(make_parser(), "1.2", EPOCH).replace("\\-", "-")
    help_ = make_parser().format_help()
    commands = [line.split()[0] for line in help_.splitlines() if line.startswith("    ") and line[4] not in " -"]
    assert len(commands) > 10
    for command in commands:
        assert f".SS ostiary {command}\n" in page
    assert "\\fB--no-mqtt\\fR" in page
    assert page == manpage(make_parser(), "1.2", EPOCH).replace("\\-", "-")


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
@pytest.mark.parametrize("name", ["ostiary", "ostiaryctl"])
def test_the_manual_is_typeset_without_a_word(tmp_path: Path, name: str) -> None:
    page = tmp_path / f"{name}.1"
    text = manpage(make_parser(), "1.2", EPOCH) if name == "ostiary" else (TEMPLATES / page.name).read_text()
    page.write_text(text.replace("@DAY@", "2026-11-20"))
    done = subprocess.run(
        ["man", "--warnings=w", "--local-file", str(page)], env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "ostiary" in done.stdout
