from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.datatypes import Image
from edge.demo.clip import Visit, write_clip
from tests.edge.cli.conftest import Command


@pytest.fixture
def refusals(home: Path, hopper: Image, hopper_file: Path) -> Path:
    """A folder of pictures, each named for what is the matter with it."""
    folder = home / "refusals"
    folder.mkdir()
    pictures = {
        "no_face": np.full((200, 200, 3), 128, np.uint8),
        "several_faces": cv2.hconcat([hopper, hopper]),
        "too_small": cv2.resize(hopper, None, fx=0.15, fy=0.15, interpolation=cv2.INTER_AREA),
        "too_blurred": cv2.GaussianBlur(hopper, (0, 0), 16),
    }
    for reason, image in pictures.items():
        assert cv2.imwrite(str(folder / f"{reason}.png"), image)
    (folder / "unreadable.jpg").write_bytes(b"")
    shutil.copy(hopper_file, folder / "taken.jpg")
    shutil.copy(hopper_file, folder / "zz_duplicate.jpg")
    return folder


def test_tells_what_it_took_and_what_it_refused_and_why(ostiary: Command, home: Path, refusals: Path) -> None:
    result = ostiary("enroll", "--name", "Grace Hopper", refusals)
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("took")] == [f"took     {refusals}/taken.jpg"]
    for path in refusals.iterdir():
        reason = path.stem.removeprefix("zz_")
        if reason != "taken":
            assert any(line.startswith(f"refused  [{reason}] {path}: ") for line in lines), reason
    assert lines[-1].startswith("enrolled Grace Hopper (")
    assert lines[-1].endswith(f"1 embedding in {home}/data/ostiary/gallery.sqlite, revision 1")


def test_json_tells_the_same_to_a_program(ostiary: Command, refusals: Path) -> None:
    result = ostiary("enroll", "--json", "--name", "Grace Hopper", refusals)
    [row] = result.rows
    assert row.keys() == {"identity", "accepted", "refused", "warnings"}
    assert row["identity"].keys() == {"id", "name", "embeddings"}
    assert (row["identity"]["name"], row["identity"]["embeddings"]) == ("Grace Hopper", 1)
    [accepted] = row["accepted"]
    assert accepted.keys() == {"path", "score", "size_px", "sharpness", "frontality", "confidence"}
    assert accepted["path"] == str(refusals / "taken.jpg")
    found = {refused["reason"]: refused["path"] for refused in row["refused"]}
    assert found.keys() == {"no_face", "several_faces", "too_small", "too_blurred", "unreadable", "duplicate"}
    assert found["duplicate"] == str(refusals / "zz_duplicate.jpg")
    assert row["warnings"] == []


def test_nobody_is_enrolled_from_bad_pictures_alone(ostiary: Command, home: Path, refusals: Path) -> None:
    result = ostiary("enroll", "--name", "Nobody", refusals / "no_face.png", refusals / "unreadable.jpg")
    assert result.code == 1
    assert result.out.splitlines()[-1] == "nobody was enrolled"
    assert ostiary("gallery", "list", "--json").rows == []


def test_a_look_alike_is_warned_of(ostiary: Command, gallery: Path, home: Path, hopper: Image) -> None:
    assert cv2.imwrite(str(home / "alike.png"), cv2.flip(cv2.resize(hopper, None, fx=0.7, fy=0.7), 1))
    [row] = ostiary("enroll", "--json", "--gallery", gallery, "--name", "Double", "alike.png").rows
    assert [warning["kind"] for warning in row["warnings"]] == ["look_alike"]
    assert "Grace Hopper" in row["warnings"][0]["message"]
    assert row["identity"]["name"] == "Double"


def test_more_pictures_go_to_the_same_person_by_name_or_id(
    ostiary: Command, gallery: Path, home: Path, hopper: Image, collins_file: Path
) -> None:
    [before] = ostiary("gallery", "list", "--json", "--gallery", gallery).rows
    assert cv2.imwrite(str(home / "other.png"), cv2.convertScaleAbs(cv2.flip(hopper, 1), alpha=0.5))
    assert ostiary("enroll", "--gallery", gallery, "--id", before["id"], "other.png").code == 0
    [after] = ostiary("gallery", "list", "--json", "--gallery", gallery).rows
    assert (after["id"], after["embeddings"]) == (before["id"], 2)
    assert ostiary("enroll", "--gallery", gallery, "--name", "grace hopper", collins_file).code == 0
    [again] = ostiary("gallery", "list", "--json", "--gallery", gallery).rows
    assert (again["id"], again["embeddings"]) == (before["id"], 3)


def test_limits_in_time_are_kept_unless_named(
    ostiary: Command, gallery: Path, collins_file: Path, home: Path, hopper: Image
) -> None:
    assert ostiary("gallery", "set", "--gallery", gallery, "grace hopper", "--valid-until", "2090-01-01").code == 0
    assert (
        ostiary(
            "enroll", "--gallery", gallery, "--name", "Grace Hopper", "--valid-from", "2020-01-01", collins_file
        ).code
        == 0
    )
    [row] = ostiary("gallery", "list", "--json", "--gallery", gallery).rows
    assert (row["valid_from"], row["valid_until"]) == ("2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--valid-from", "2030-01-01", "--valid-until", "2029-01-01"], "valid_from is not before valid_until"),
        (["--valid-from", "tomorrow"], "'tomorrow' is no date"),
        (["--id", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--name", "Both"], "both --id and --name"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    ostiary: Command, gallery: Path, collins_file: Path, options: list[str], says: str
) -> None:
    names = [] if "--name" in options else ["--name", "Eileen Collins"]
    before = gallery.read_bytes()
    result = ostiary("enroll", "--gallery", gallery, *names, *options, collins_file)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert gallery.read_bytes() == before


def test_from_a_clip_as_if_it_were_a_camera(ostiary: Command, home: Path, hopper: Image) -> None:
    write_clip(home / "clip.avi", [Visit(hopper, frames=45)])
    result = ostiary("enroll", "--json", "--name", "Grace Hopper", "--camera", "clip.avi", "--count", "4")
    assert result.code == 0
    assert "look at the camera" in result.err
    assert "  4 of 4" in result.err
    [row] = result.rows
    # The door is empty at first; later pictures are far enough apart to differ.
    assert len(row["accepted"]) >= 2
    assert {refused["reason"] for refused in row["refused"]} <= {"no_face"}
    assert len(row["accepted"]) + len(row["refused"]) == 4
    [known] = ostiary("identify", "--json", _written(home / "hopper.png", hopper)).rows
    assert known["faces"][0]["identity"]["name"] == "Grace Hopper"


def test_from_a_folder_as_a_camera_no_picture_is_passed_over(
    ostiary: Command, home: Path, hopper: Image, collins_file: Path
) -> None:
    (home / "album").mkdir()
    _written(home / "album" / "1.png", hopper)
    _written(home / "album" / "2.png", cv2.convertScaleAbs(cv2.flip(hopper, 1), alpha=0.5))
    shutil.copy(collins_file, home / "album" / "3.png")
    [row] = ostiary("enroll", "--json", "--name", "Somebody", "--camera", "album", "--count", "3").rows
    assert len(row["accepted"]) == 3


@pytest.mark.parametrize(
    ("camera", "code", "says"),
    [
        ("absent.mp4", 3, "no such file"),
        ("smoke:signal", 2, "no such kind of source"),
        ("/dev/video99", 3, "no such device"),
    ],
)
def test_from_a_camera_that_is_not_there(ostiary: Command, camera: str, code: int, says: str) -> None:
    result = ostiary("enroll", "--name", "Ada", "--camera", camera)
    assert (result.code, result.out) == (code, "")
    assert says in result.err


def _written(path: Path, image: Image) -> Path:
    assert cv2.imwrite(str(path), image)
    return path
