"""`ostiary-convert evaluate` end to end on two people's pictures, and what it writes into a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from convert.accuracy import conditions
from convert.accuracy.degrade import DEGRADATIONS
from edge.bundle import load_bundle
from edge.config.settings import Settings
from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from edge.reader import load_models
from tests.convert.cli.commands import Said, digests, run
from tests.convert.cli.conftest import write_people

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ostiary[convert]')")
MANY = 56
"""Pictures of each of two people: 3136 comparisons of two people, where 3000 are the least for an operating point."""


def pairs_file(path: Path, folds: int = 2, each: int = 2, highest: int = 4) -> Path:
    """LFW's format, two people."""
    lines = [f"{folds}\t{each}"]
    for fold in range(folds):
        first = fold * each % highest + 1
        lines += [f"{name}\t{first}\t{first % highest + 1}" for name in ("Ada", "Bob")[:each]]
        lines += [f"Ada\t{first}\tBob\t{(first + place) % highest + 1}" for place in range(each)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return pairs_file(tmp_path / "pairs.txt")


def evaluate(capsys: pytest.CaptureFixture[str], bundle: Path, images: Path, *words: Any) -> Said:
    return run(capsys, "evaluate", "--bundle", bundle, "--images", images, *words)


def test_json(opencv_bundle: Path, faces: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, "--json")
    assert said.code == EXIT_OK, said.err
    found = json.loads(said.out)
    assert found.keys() == {
        "pairs", "pictures", "accuracy_mean", "accuracy_std", "folds", "tar", "threshold", "failures_to_acquire",
        "failures_to_enrol", "confidence_95",
    }  # fmt: skip
    assert (found["pairs"], len(found["folds"]), found["failures_to_acquire"]) == (8, 2, 0)
    assert found["tar"].keys() == {"1e-2", "1e-3"}
    assert found["confidence_95"].keys() == {"accuracy_mean", "tar_1e-2", "tar_1e-3"}
    for low, high in found["confidence_95"].values():
        assert 0 <= low <= high <= 1
    assert found["accuracy_mean"] == pytest.approx(sum(found["folds"]) / 2, abs=1e-4)


def test_folds_of_several_files(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pairs_file(tmp_path / "others.txt", folds=3)
    found = json.loads(evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, other, "--json").out)
    assert (found["pairs"], len(found["folds"])) == (20, 5)


def test_a_picture_without_a_face_is_counted(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2
    import numpy as np

    images = tmp_path / "images"
    shutil.copytree(faces, images)
    cv2.imwrite(str(images / "Ada" / "Ada_0001.jpg"), np.full((200, 200, 3), 127, np.uint8))
    found = json.loads(evaluate(capsys, opencv_bundle, images, "--pairs", pairs, "--json").out)
    assert found["failures_to_acquire"] == 1


def test_for_a_person_and_with_plots(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, "--plots", tmp_path / "plots")
    assert said.code == EXIT_OK, said.err
    lines = said.out.splitlines()
    titles = ("accuracy", "TAR at FMR 1e-2", "TAR at FMR 1e-3", "threshold", "no face found", "not to be enrolled")
    assert tuple(line[:18].strip() for line in lines) == titles
    assert {line[18] for line in lines} == {" "}
    assert lines[0].endswith("over 2 folds, 8 pairs")
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert drawn == ["roc.png", "roc.svg", "similarities.png", "similarities.svg"]
    assert said.err.split() == [
        str(tmp_path / "plots" / name) for name in ("roc.svg", "roc.png", "similarities.svg", "similarities.png")
    ]


def test_operating_points_into_the_manifest(
    opencv_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_people(tmp_path / "many", MANY)
    bundle = tmp_path / "bundle"
    shutil.copytree(opencv_bundle, bundle)
    before = digests(bundle)
    pairs = pairs_file(tmp_path / "all.txt", folds=MANY, each=1, highest=MANY)
    pairs_of_bob = tmp_path / "bob.txt"
    pairs_of_bob.write_text(pairs.read_text().replace("Ada", "Eve").replace("Bob", "Ada").replace("Eve", "Bob"))
    words = ["--pairs", pairs, pairs_of_bob, "--write-operating-points", "--json"]
    said = evaluate(capsys, bundle, images, *words)
    assert said.code == EXIT_OK, said.err
    found = json.loads(said.out)
    assert set(found["operating_points"]) == {"fmr-1e-2"}
    manifest = load_models(Settings(bundle=bundle)).bundle.manifest
    (point,) = manifest.operating_points.values()
    assert point.threshold == found["operating_points"]["fmr-1e-2"]["threshold"]
    assert (point.impostor_pairs, point.genuine_pairs) == (MANY * MANY, MANY * (MANY - 1))
    assert point.fmr <= 0.01
    assert point.measured_on == f"every pair of {2 * MANY} pictures of 2 people (all.txt, bob.txt on many)"
    assert point.confidence_95 is None, "two people say nothing of how other people would fare"
    assert manifest.measured["verification"]["pairs"] == 4 * MANY
    after = digests(bundle)
    assert after.keys() == before.keys()
    assert {name for name, digest in after.items() if digest != before[name]} == {"manifest.json"}


def test_points_take_every_picture_of_the_people_and_conditions_are_kept_with_them(
    opencv_bundle: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conditions, "DEGRADATIONS", DEGRADATIONS[:1])
    images = write_people(tmp_path / "many", MANY)
    bundle = tmp_path / "bundle"
    shutil.copytree(opencv_bundle, bundle)
    said = evaluate(capsys, bundle, images, "--pairs", pairs, "--write-operating-points", "--conditions", "--json")
    assert said.code == EXIT_OK, said.err
    found = json.loads(said.out)
    assert (found["pictures"], found["pairs"]) == (8, 8), "the protocol's own figures stay those of its pictures"
    point = found["operating_points"]["fmr-1e-2"]
    assert point["impostor_pairs"] == MANY * MANY
    assert list(found["conditions"]) == ["as-they-are", "small-48px", "turned", "turned-far"]
    clean = found["conditions"]["as-they-are"]
    assert (clean["probes"], clean["no_face"]) == (2 * MANY, 0)
    # Every two pictures, once from either side: the rates of the operating point itself.
    assert clean["fmr"]["fmr-1e-2"] == {"value": point["fmr"], "confidence_95": None}
    assert clean["fnmr"]["fmr-1e-2"] == {"value": point["fnmr"], "confidence_95": None}
    assert load_bundle(bundle).manifest.measured["conditions"] == {"data": "pairs.txt on many", **found["conditions"]}


def test_conditions_for_a_person(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(opencv_bundle, bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    point = {"threshold": 0.3, "fmr": 0.01, "fnmr": 0.05, "impostor_pairs": 1, "genuine_pairs": 1, "measured_on": "x"}
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "operating_points": {"fmr-1e-2": point}}))
    said = evaluate(capsys, bundle, faces, "--pairs", pairs, "--conditions")
    assert said.code == EXIT_OK, said.err
    lines = said.out.splitlines()
    (head,) = (number for number, line in enumerate(lines) if line.startswith("at fmr-1e-2:"))
    titles = ["as they are", *(way.title for way in DEGRADATIONS)]
    assert [line[:40].strip() for line in lines[head + 1 :]][:-2] == titles
    assert len({len(line) for line in lines[head:]}) == 1, "columns stand below their heads"


def test_conditions_want_an_operating_point(
    opencv_bundle: Path, faces: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, "--conditions")
    assert (said.code, said.out) == (EXIT_USAGE, "")
    assert "no operating point that was measured; expected thresholds to start from" in said.err


def test_too_few_pictures_for_operating_points(
    opencv_bundle: Path, faces: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(opencv_bundle)
    asked = ["--pairs", pairs, "--write-operating-points"]
    few = evaluate(capsys, opencv_bundle, faces, *asked)
    assert few.code == EXIT_USAGE
    assert "comparisons of two people and" in few.err
    assert "expected at least 3000 and 1" in few.err
    assert digests(opencv_bundle) == before
    own = run(capsys, "evaluate", "--images", faces, *asked)
    assert (own.code, "expected --bundle DIR" in own.err) == (EXIT_USAGE, True)


def test_another_detector(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = tmp_path / "blind"
    shutil.copytree(opencv_bundle, blind)
    manifest = json.loads((blind / "manifest.json").read_text())
    # No face of these pictures is as small as this detector says its largest is.
    manifest["detector"] |= {"confidence": 1.0}
    (blind / "manifest.json").write_text(json.dumps(manifest))
    seen = json.loads(evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, "--json").out)
    said = evaluate(capsys, opencv_bundle, faces, "--pairs", pairs, "--detector", blind, "--json")
    assert said.code == EXIT_OK, said.err
    found = json.loads(said.out)
    assert (seen["failures_to_acquire"], found["failures_to_acquire"]) == (0, 8)
    assert load_bundle(opencv_bundle).manifest.detector.confidence < 1


def test_mistakes(
    opencv_bundle: Path, faces: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "missing.txt").write_text(pairs.read_text().replace("Bob", "Cyd"))
    (tmp_path / "cut.txt").write_text("\n".join(pairs.read_text().splitlines()[:-2]))
    (tmp_path / "one.txt").write_text("1\t1\nAda\t1\t2\nAda\t1\tBob\t1\n")
    (tmp_path / "file").write_text("x")
    cases: list[tuple[list[Any], int, str]] = [
        (["--pairs", tmp_path / "missing.txt"], EXIT_USAGE, "pictures of the pairs are missing: Cyd/Cyd_0001.jpg"),
        (["--pairs", pairs, tmp_path / "missing.txt"], EXIT_USAGE, "pictures of the pairs are missing"),
        (["--pairs", tmp_path / "absent.txt"], EXIT_USAGE, "absent.txt: cannot be read"),
        (["--pairs", tmp_path / "cut.txt"], EXIT_USAGE, "6 pairs; expected 8 by its header"),
        (["--pairs", tmp_path / "one.txt"], EXIT_USAGE, "one fold of pairs; expected at least two"),
        (["--pairs", pairs, "--detector", "nope"], EXIT_USAGE, "no detector 'nope'; expected"),
        (["--pairs", pairs, "--detector", faces], EXIT_REJECTED, "manifest.json: cannot be read"),
        (["--pairs", pairs, "--plots", tmp_path / "file" / "plots"], EXIT_USAGE, "cannot be written"),
        (["--pairs", pairs, "--bundle", faces], EXIT_REJECTED, "manifest.json"),
        (["--pairs", pairs, "--images", tmp_path / "absent"], EXIT_USAGE, "no such file or folder"),
    ]
    for words, code, told in cases:
        said = evaluate(capsys, opencv_bundle, faces, *words)
        assert (said.code, said.out) == (code, ""), (words, said.err)
        assert told in said.err
