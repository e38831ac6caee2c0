from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.folder import FolderSource, natural_key, pictures_in
from edge.config.settings import Camera
from edge.errors import SourceError
from tests.support.clips import numbered_picture


@pytest.mark.parametrize(("names", "expected"), [
    (["10.png", "9.png", "1.png"], ["1.png", "9.png", "10.png"]),
    (["b1", "A2", "a10", "a2"], ["A2", "a2", "a10", "b1"]),
    (["x", "1", "x1", "1x"], ["1", "1x", "x", "x1"]),
    (["a01", "a1"], ["a01", "a1"]),
])  # fmt: skip
def test_natural_order(names: list[str], expected: list[str]) -> None:
    assert sorted(names, key=natural_key) == expected


@given(st.lists(st.text(max_size=12), max_size=12))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key, reverse=True), key=natural_key) == sorted(names, key=natural_key)


def test_skips_counts_and_names_what_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, size in ((1, (40, 30)), (2, (64, 48)), (10, (32, 32))):
        cv2.imwrite(str(tmp_path / f"{number}.PNG"), numbered_picture(number, *size))
    (tmp_path / "3.jpg").write_bytes(b"")
    (tmp_path / "4.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    source = FolderSource(tmp_path, Camera())
    with caplog.at_level(logging.WARNING):
        frames = list(iter(source.read, None))
    assert [frame.name for frame in frames] == ["1.PNG", "2.PNG", "10.PNG"]
    assert [(frame.width, frame.height) for frame in frames] == [(40, 30), (64, 48), (32, 32)]
    assert source.counters["unreadable"] == 2
    assert "3.jpg" in caplog.text
    assert "a HEIC or AVIF picture" in caplog.text


def test_a_picture_that_vanished_is_skipped(tmp_path: Path) -> None:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    source = FolderSource(tmp_path, Camera())
    (tmp_path / "1.png").unlink()
    assert [frame.name for frame in iter(source.read, None)] == ["2.png"]
    assert source.counters["unreadable"] == 1


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="no pictures"):
        FolderSource(tmp_path, Camera())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_folder_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(SourceError, match="cannot be read"):
        pictures_in(tmp_path)
