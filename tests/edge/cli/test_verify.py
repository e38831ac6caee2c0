from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.datatypes import Image
from tests.edge.cli.conftest import Command

KEYS = {"similarity", "threshold", "operating_point", "match"}


def test_one_person(ostiary: Command, home: Path, hopper: Image, hopper_file: Path) -> None:
    assert cv2.imwrite(str(home / "smaller.png"), cv2.resize(hopper, None, fx=0.6, fy=0.6))
    result = ostiary("verify", "--json", hopper_file, "smaller.png")
    assert (result.code, result.err) == (0, "")
    [row] = result.rows
    assert row.keys() == KEYS
    assert row["match"] is True
    assert row["threshold"] < row["similarity"] <= 1
    assert row["operating_point"] == "fmr-1e-4"


def test_two_people(ostiary: Command, hopper_file: Path, collins_file: Path) -> None:
    result = ostiary("verify", "--json", hopper_file, collins_file)
    assert result.code == 0
    [row] = result.rows
    assert row["match"] is False
    assert row["similarity"] < row["threshold"]
    text = ostiary("verify", hopper_file, collins_file).out
    assert text.startswith("two people, or not enough alike to say: similarity ")


def test_the_operating_point_is_the_configurations(
    ostiary: Command, home: Path, hopper_file: Path, collins_file: Path
) -> None:
    (home / "ostiary.yaml").write_text("decide: {operating_point: fmr-1e-2}\n", encoding="utf-8")
    [loose] = ostiary("verify", "--json", hopper_file, collins_file).rows
    (home / "ostiary.yaml").write_text("decide: {operating_point: fmr-1e-5}\n", encoding="utf-8")
    [tight] = ostiary("verify", "--json", hopper_file, collins_file).rows
    assert loose["operating_point"] == "fmr-1e-2"
    assert loose["threshold"] < tight["threshold"]
    assert loose["similarity"] == tight["similarity"]
    (home / "ostiary.yaml").write_text("decide: {operating_point: sure}\n", encoding="utf-8")
    refused = ostiary("verify", hopper_file, collins_file)
    assert refused.code == 4
    assert "no operating point 'sure'; expected one of fmr-1e-2" in refused.err


def test_several_faces_are_told_and_the_largest_counts(
    ostiary: Command, home: Path, hopper: Image, hopper_file: Path
) -> None:
    small = cv2.resize(hopper, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    scene = np.full((600, 512 + small.shape[1], 3), 128, np.uint8)
    scene[:, :512] = hopper
    scene[: small.shape[0], 512:] = small
    assert cv2.imwrite(str(home / "two.png"), scene)
    result = ostiary("verify", "--json", "two.png", hopper_file)
    assert result.code == 0
    assert result.err == "two.png: 2 faces; the largest one counts\n"
    assert result.rows[0]["match"] is True


def test_a_picture_without_a_face(ostiary: Command, home: Path, hopper_file: Path) -> None:
    assert cv2.imwrite(str(home / "wall.png"), np.full((100, 100, 3), 99, np.uint8))
    result = ostiary("verify", hopper_file, "wall.png")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("ostiary: wall.png: no face found")
