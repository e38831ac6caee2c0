from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.datatypes import Box
from tests.edge.cli.conftest import Command, Result, finished, started

PICTURE_KEYS = {"path", "width", "height", "faces"}
FACE_KEYS = {"box", "confidence", "landmarks", "identity", "similarity", "margin", "validity", "quality"}
HOPPER_BOX = Box(170, 99, 349, 338)


def identified(ostiary: Command, gallery: Path, *paths: Path) -> Result:
    return ostiary("identify", "--json", "--gallery", gallery, *paths)


def test_json_has_exactly_the_fields_of_the_contract(
    ostiary: Command, gallery: Path, hopper_file: Path, collins_file: Path
) -> None:
    result = identified(ostiary, gallery, hopper_file, collins_file)
    assert (result.code, result.err) == (0, "")
    known, stranger = result.rows
    assert known.keys() == stranger.keys() == PICTURE_KEYS
    assert (known["path"], known["width"], known["height"]) == (str(hopper_file), 512, 600)
    [face], [other] = known["faces"], stranger["faces"]
    assert face.keys() == other.keys() == FACE_KEYS
    assert Box(*face["box"]).iou(HOPPER_BOX) > 0.7
    assert face["identity"].keys() == {"id", "name"}
    assert face["identity"]["name"] == "Grace Hopper"
    assert face["similarity"] > 0.95
    # With one identity enrolled the margin is the widest that there is.
    assert face["margin"] == pytest.approx(face["similarity"] + 1, abs=1e-3)
    assert 0.5 < face["confidence"] <= 1
    assert 0.5 < face["quality"] <= 1
    assert (other["identity"], other["validity"], face["validity"]) == (None, None, "valid")
    assert other["similarity"] < 0.45


def test_landmarks_are_named_from_the_subject(ostiary: Command, gallery: Path, hopper_file: Path) -> None:
    [row] = identified(ostiary, gallery, hopper_file).rows
    right_eye, left_eye, nose, right_mouth, left_mouth = row["faces"][0]["landmarks"]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_without_a_gallery_everybody_is_unknown_and_none_is_made(
    ostiary: Command, home: Path, hopper_file: Path
) -> None:
    result = ostiary("identify", "--json", hopper_file)
    assert result.code == 0
    [face] = result.rows[0]["faces"]
    assert (face["identity"], face["similarity"], face["margin"]) == (None, None, None)
    assert list(home.rglob("*")) == []


def test_text_names_the_face_and_how_sure_it_is(
    ostiary: Command, gallery: Path, hopper_file: Path, collins_file: Path
) -> None:
    result = ostiary("identify", "--gallery", gallery, hopper_file, collins_file)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == f"{hopper_file}: 1 face"
    assert lines[1].startswith("  Grace Hopper: similarity ")
    assert lines[3].startswith("  unknown: nearest is Grace Hopper, similarity ")


def test_what_cannot_be_read_is_a_row_of_its_own(ostiary: Command, gallery: Path, hopper_file: Path) -> None:
    absent = hopper_file.with_name("absent.jpg")
    result = identified(ostiary, gallery, absent, hopper_file)
    assert result.code == 1
    error, face = result.rows
    assert error.keys() == {"path", "error"}
    assert error["path"] == str(absent)
    assert "cannot be read" in error["error"]
    assert len(face["faces"]) == 1


def test_a_folder_is_its_pictures_in_natural_order(
    ostiary: Command, home: Path, gallery: Path, hopper_file: Path
) -> None:
    folder = home / "album"
    (folder / "inner").mkdir(parents=True)
    for name in ("10.jpg", "2.JPG", "1.jpeg", ".hidden.jpg", "inner/3.jpg"):
        shutil.copy(hopper_file, folder / name)
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    result = identified(ostiary, gallery, folder)
    assert result.code == 0
    assert [Path(row["path"]).name for row in result.rows] == ["1.jpeg", "2.JPG", "10.jpg"]


@pytest.mark.parametrize("words", [["identify"], ["enroll", "--name", "X"]], ids=" ".join)
def test_a_folder_without_pictures_is_a_mistake(ostiary: Command, home: Path, words: list[str]) -> None:
    (home / "empty").mkdir()
    result = ostiary(*words, "empty")
    assert (result.code, result.out) == (2, "")
    assert "empty: no pictures in there" in result.err


ODD_NAMES = [
    b"Z\xc3\xbcrich \xf0\x9f\x98\x80.jpg",
    b"latin-1 \xe9.jpg",
    b"two\nlines.jpg",
    b"\x1b[2J.jpg",
    b'it\'s "q".jpg',
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_odd_file_names_are_json_all_the_same(home: Path, hopper_file: Path, encoding: str) -> None:
    folder = home / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        shutil.copy(hopper_file, os.fsencode(folder) + b"/" + name)
    strict = {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0"}
    result = finished("identify", "--json", "--annotate", "seen", folder, cwd=home, env=strict)
    assert (result.code, result.err) == (0, "")
    assert {os.fsencode(row["path"]).rpartition(b"/")[2] for row in result.rows} == set(ODD_NAMES)
    assert {os.fsencode(path.name) for path in (home / "seen").iterdir()} == set(ODD_NAMES)


def test_odd_file_names_do_not_reach_the_terminal(home: Path, ostiary: Command, hopper_file: Path) -> None:
    shutil.copy(hopper_file, home / "\x1b[2Jtwo\nlines.jpg")
    result = ostiary("identify", home)
    assert result.code == 0
    assert all(line.isprintable() for line in result.out.splitlines())
    assert len(result.out.splitlines()) == 2


def test_annotate_draws_and_keeps_apart_what_has_one_name(
    ostiary: Command, home: Path, gallery: Path, hopper_file: Path, collins_file: Path
) -> None:
    paths = [home / "a" / "face.jpg", home / "b" / "face.png"]
    for path, source in zip(paths, (hopper_file, collins_file), strict=True):
        path.parent.mkdir()
        shutil.copy(source, path)
    before = [path.read_bytes() for path in paths]
    assert ostiary("identify", "--gallery", gallery, "--annotate", "seen", *paths).code == 0
    drawn = {path.name: cv2.imread(str(path)) for path in (home / "seen").iterdir()}
    assert set(drawn) == {"face.jpg", "face-2.jpg"}
    for image, source in ((drawn["face.jpg"], hopper_file), (drawn["face-2.jpg"], collins_file)):
        original = cv2.imread(str(source))
        assert image is not None
        assert original is not None
        assert image.shape == original.shape
        assert cv2.absdiff(image, original).max() > 100
    assert [path.read_bytes() for path in paths] == before


def test_annotate_never_writes_over_the_pictures(ostiary: Command, home: Path, hopper_file: Path) -> None:
    shutil.copy(hopper_file, home / "face.jpg")
    result = ostiary("identify", "--annotate", ".", "face.jpg")
    assert (result.code, result.out) == (2, "")
    assert "expected another folder" in result.err
    assert (home / "face.jpg").read_bytes() == hopper_file.read_bytes()


def test_annotate_into_what_is_no_folder(ostiary: Command, home: Path, hopper_file: Path) -> None:
    (home / "file").touch()
    result = ostiary("identify", "--annotate", "file", hopper_file)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("ostiary: file: cannot be made (File exists)")


def test_a_reader_that_leaves_is_no_fault_of_ours(home: Path, hopper_file: Path) -> None:
    with started("identify", *[hopper_file] * 20, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{hopper_file}: 1 face\n".encode()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_lines_go_to_the_file_and_the_bar_to_the_terminal(home: Path, hopper_file: Path) -> None:
    pytest.importorskip("rich", reason="rich is not installed (pip install 'ostiary[cli]')")
    ours, theirs = pty.openpty()
    with (home / "out.json").open("wb") as output:
        process = started(
            "identify", "--json", hopper_file, hopper_file, stdout=output, stderr=theirs, env={"TERM": "xterm"}
        )
        os.close(theirs)
        shown = _all_of(ours)
        assert process.wait() == 0
    assert b"identify" in shown
    assert b'"path"' not in shown
    rows: list[Any] = Result(0, (home / "out.json").read_text(encoding="utf-8"), "").rows
    assert [len(row["faces"]) for row in rows] == [1, 1]


def _all_of(terminal: int) -> bytes:
    read = b""
    try:
        while part := os.read(terminal, 65536):
            read += part
    except OSError:
        # So Linux says that the other end of a terminal is closed.
        pass
    finally:
        os.close(terminal)
    return read
