"""What the tests of commands share: a folder of faces, a small embedder, and bundles that were built once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.datatypes import Image
from tests.convert.cli import commands
from tests.support.data import astronaut, grace_hopper

PICTURES_EACH = 4


@pytest.fixture(autouse=True)
def _a_terminal_of_usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def portraits() -> dict[str, Image]:
    """Two people, BGR uint8, small so that finding the face is quick."""
    heads = {"Ada": cv2.imread(str(grace_hopper())), "Bob": cv2.imread(str(astronaut()))}
    return {name: np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5), np.uint8) for name, image in heads.items()}


def write_people(folder: Path, each: int) -> Path:
    """NAME/NAME_0001.jpg of two people, no two alike."""
    for name, image in portraits().items():
        (folder / name).mkdir(parents=True)
        for index in range(each):
            varied = cv2.convertScaleAbs(image[:, :: -1 if index % 2 else 1], alpha=1 - 0.4 * index / each)
            assert cv2.imwrite(str(folder / name / f"{name}_{index + 1:04d}.jpg"), varied)
    return folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of two people."""
    return write_people(tmp_path_factory.mktemp("pictures") / "faces", PICTURES_EACH)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small embedder as ONNX."""
    return commands.write_embedder(tmp_path_factory.mktemp("model") / "face net.onnx")


@pytest.fixture(scope="session")
def opencv_bundle(tmp_path_factory: pytest.TempPathFactory, model: Path, faces: Path) -> Path:
    """Built once; tests that change it copy it."""
    return commands.built_bundle(tmp_path_factory.mktemp("built") / "opencv", model, faces, "opencv-float32")
