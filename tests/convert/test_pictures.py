from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.pictures import open_pictures, person_of
from edge.errors import EXIT_OTHER, EXIT_USAGE, PictureError, UsageError


def fill(folder: Path) -> Path:
    for name, value in (("Ada/Ada_0001.png", 10), ("Bob/Bob_0001.png", 20), ("Bob/Bob_0002.png", 30)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    (folder / "Ada" / "notes.txt").write_text("not a picture")
    return folder


def packed(folder: Path, *, inside: str = "lfw") -> Path:
    path = folder.parent / "pictures.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(folder, arcname=inside)
    return path


def test_folder_and_tar_hold_the_same(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures")
    for store in (open_pictures(folder), open_pictures(packed(folder)), open_pictures(packed(folder, inside="."))):
        assert store.names == ["Ada/Ada_0001.png", "Bob/Bob_0001.png", "Bob/Bob_0002.png"]
        assert [int(store.read(name).mean()) for name in store.names] == [10, 20, 30]


def test_labels_are_file_names(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures")
    assert (open_pictures(folder).label, open_pictures(packed(folder)).label) == ("pictures", "pictures.tar")


def test_what_holds_no_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar").write_text("not a tar file")
    for name, found in (("absent", "no such file"), ("empty", "holds no"), ("text.tar", "not a whole tar file")):
        with pytest.raises(UsageError, match=found) as caught:
            open_pictures(tmp_path / name)
        assert caught.value.exit_code == EXIT_USAGE


def test_a_tar_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = packed(fill(tmp_path / "pictures"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(UsageError, match="not a whole tar file") as caught:
        open_pictures(path)
    assert str(path) in str(caught.value)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures")
    (folder / "Bob" / "Bob_0002.png").write_bytes(b"damaged")
    for store in (open_pictures(folder), open_pictures(packed(folder))):
        with pytest.raises(PictureError, match=r"Bob_0002\.png") as caught:
            store.read("Bob/Bob_0002.png")
        assert caught.value.exit_code == EXIT_OTHER
        with pytest.raises(PictureError, match=r"Cyd_0001\.png"):
            store.read("Cyd/Cyd_0001.png")


def test_person_of() -> None:
    assert person_of("Ada_Lovelace/Ada_Lovelace_0001.jpg") == "Ada_Lovelace"
