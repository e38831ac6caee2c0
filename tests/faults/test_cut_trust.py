"""A few of the cuts of `python -m tests.faults.cut_trust`, and what its judge of the order must find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cut_trust import unsynced
from tests.faults.test_cut_activation import _can_trace
from tests.faults.traced import Call
from tests.support.data import ROOT


@pytest.mark.once
@pytest.mark.skipif(not _can_trace(), reason="no strace, or it may not trace here")
def test_some_cuts() -> None:
    command = [sys.executable, "-m", "tests.faults.cut_trust", "--every", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) >= 3


@pytest.fixture
def calls(tmp_path: Path) -> list[Call]:
    """A file is written, renamed, synced with its folders, then named."""
    state = tmp_path / "s"
    (state / "g").mkdir(parents=True)
    (state / "g" / "t").write_bytes(b"")
    texts = [
        ("mkdir", f'"{state}/g", 0777'), ("openat", f'AT_FDCWD</c>, "{state}/g/x", O_WRONLY|O_CREAT, 0666'),
        ("write", f'3<{state}/g/x>, ""..., 9'), ("rename", f'"{state}/g/x", "{state}/g/t"'), ("fsync", f"3<{state}/g/t>"),
        ("fsync", f"3<{state}/g>"), ("fsync", f"3<{state}>"), ("symlink", f'"g", "{state}/.current.new"'),
        ("rename", f'"{state}/.current.new", "{state}/current"'), ("fsync", f"3<{state}>"),
    ]  # fmt: skip
    return [Call(name, number, text) for number, (name, text) in enumerate(texts, start=1)]


def test_an_order_that_survives_a_power_cut(calls: list[Call], tmp_path: Path) -> None:
    assert unsynced(calls, tmp_path / "s") == []


@pytest.mark.parametrize(
    ("left_out", "fault"),
    [
        (4, "s/g/t is not on disk"), (5, "s/g is not on disk"), (6, "s is not on disk"), (8, "current never came to name it"),
        (9, "s is never on disk"),
    ],
)  # fmt: skip
def test_what_is_not_brought_to_disk_is_found(calls: list[Call], tmp_path: Path, left_out: int, fault: str) -> None:
    assert any(fault in one for one in unsynced(calls[:left_out] + calls[left_out + 1 :], tmp_path / "s"))
