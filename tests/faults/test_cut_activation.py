"""A few of the cuts of `python -m tests.faults.cut_activation`, and what its judges must find."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.traced import Call, order_faults, read_calls
from tests.support.data import ROOT

BUNDLES = Path("/b")
WRITE, SYNC = Call("write", 1, '3</b/.t.new>, ""..., 9'), Call("fsync", 1, "3</b/.t.new>")
RENAME, SYNC_FOLDER = Call("rename", 1, '"/b/.t.new", "/b/t"'), Call("fsync", 2, "4</b>")
TURN = Call("renameat2", 1, 'AT_FDCWD</c>, "/b/.active.new", AT_FDCWD</c>, "/b/active", 0')
WHOLE = [WRITE, SYNC, RENAME, SYNC_FOLDER, TURN, SYNC_FOLDER]


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="no strace, or it may not trace here")
def test_some_cuts() -> None:
    command = [sys.executable, "-m", "tests.faults.cut_activation", "--only", "rename", "--every", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) >= 5


@pytest.mark.parametrize(
    "line",
    [
        "7 fsync(3</b/x>) = 0",
        "7 fsync(3</b/x> <unfinished ...>",
        "7 fsync(3</b/x>)            = -1 EIO (Input/output error)",
    ],
)
def test_calls_are_read_from_the_log(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(
        f'7 rename("/b/a", "/b/(c) = d") = 0\n{line}\n7 <... fsync resumed>) = 0\n7 +++ exited with 0 +++\n',
        encoding="utf-8",
    )
    assert list(read_calls(log)) == [Call("rename", 1, '"/b/a", "/b/(c) = d"'), Call("fsync", 1, "3</b/x>")]


def test_an_order_that_survives_a_power_cut() -> None:
    assert order_faults(WHOLE, BUNDLES) == []


@pytest.mark.parametrize(
    ("left_out", "fault"),
    [
        (SYNC, "/b/t is named before /b/.t.new is on disk"),
        (SYNC_FOLDER, "/b/active is named before other names of the folder are on disk"),
    ],
)
def test_what_is_not_brought_to_disk_is_found(left_out: Call, fault: str) -> None:
    assert fault in order_faults([call for call in WHOLE if call != left_out], BUNDLES)


def test_a_last_name_that_is_not_brought_to_disk_is_found() -> None:
    assert order_faults(WHOLE[:-1], BUNDLES) == ["never brought to disk: /b"]


def test_a_folder_is_renamed_with_all_that_is_in_it() -> None:
    made = [
        Call("mkdir", 1, '"/b/.install/x", 0777'), Call("openat", 1, 'AT_FDCWD</c>, "/b/.install/x/m", O_WRONLY|O_CREAT, 0666'),
        Call("rename", 1, '"/b/.install/x", "/b/x"'), SYNC_FOLDER,
    ]  # fmt: skip
    [fault] = order_faults(made, BUNDLES)
    assert fault == "/b/x is named before /b/.install/x, /b/.install/x/m is on disk"
    synced = [Call("fsync", 3, "5</b/.install/x/m>"), Call("fsync", 4, "5</b/.install/x>")]
    assert order_faults([*made[:2], *synced, *made[2:]], BUNDLES) == []
