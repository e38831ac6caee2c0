from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import MANIFEST_NAME, MAX_MANIFEST_BYTES, default_bundle_folder, load_bundle
from edge.errors import BundleError
from tests.support.bundles import make_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    detector = tmp_path / "source.onnx"
    detector.write_bytes(b"a network")
    return make_bundle(tmp_path / "bundle", detector_file=detector)


def refusal_of(folder: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert caught.value.exit_code == 4
    assert str(folder) in caught.value.where
    return caught.value


def test_a_bundle(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.path(bundle.manifest.detector.artifacts["model"]).read_bytes() == b"a network"
    assert bundle.operating_point("fmr-1e-3").fmr == pytest.approx(1e-3)


def test_the_packaged_bundle_is_whole() -> None:
    bundle = load_bundle()
    assert bundle.folder == default_bundle_folder()
    assert {file.role for file in bundle.manifest.files} >= {"detector", "embedder"}
    listed = {file.path for file in bundle.manifest.files} | {MANIFEST_NAME}
    assert {path.name for path in bundle.folder.iterdir()} == listed, "no file without a digest"


def test_an_unknown_operating_point_lists_the_known(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"no operating point 'fmr-1e-9'.*one of fmr-1e-2, fmr-1e-3"):
        load_bundle(folder).operating_point("fmr-1e-9")


def _altered(folder: Path) -> None:
    (folder / "detector-model.onnx").write_bytes(b"A network")


def _longer(folder: Path) -> None:
    (folder / "detector-model.onnx").write_bytes(b"a network with more")


def _gone(folder: Path) -> None:
    (folder / "embedder.tflite").unlink()


def _a_folder(folder: Path) -> None:
    _gone(folder)
    (folder / "embedder.tflite").mkdir()


def _unreadable(folder: Path) -> None:
    # Its size is 0, as the manifest will say, and reading it fails whoever we are.
    _gone(folder)
    (folder / "embedder.tflite").symlink_to("/proc/self/mem")
    _rewrite(folder, lambda data: data["files"][1].update(bytes=0))


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / MANIFEST_NAME
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (_altered, "detector-model.onnx", "SHA-256 "),
        (_longer, "detector-model.onnx", "19 bytes"),
        (_gone, "embedder.tflite", "missing"),
        (_a_folder, "embedder.tflite", "missing"),
        (_unreadable, "embedder.tflite", "cannot be read (Input/output error)"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, damage: Callable[[Path], None], file: str, problem: str) -> None:
    damage(folder)
    error = refusal_of(folder)
    assert error.where == str(folder / file)
    assert error.problem.startswith(problem)
    assert error.expected


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data.update(schema=2), "manifest of schema 2, from a newer version"),
        (lambda data: data.update(schema=2, more={}), "manifest of schema 2, from a newer version"),
        (lambda data: data.update(schema="1"), "schema: text '1'"),
        (lambda data: data.pop("schema"), "schema: missing"),
        (lambda data: data["files"][0].update(role="camera"), "files[0].role: text 'camera'; expected one of"),
        (lambda data: data["files"][0].update(path="../outside"), "files[0].path: text '../outside'"),
        (lambda data: data["files"][0].update(path="/etc/passwd"), "files[0].path: text '/etc/passwd'"),
        (lambda data: data["files"].pop(), "artifacts not listed in files: embedder.tflite"),
        (lambda data: data["embedder"].update(alignment_template="x-1"), "embedder.alignment_template: text 'x-1'"),
        (lambda data: data["detector"].update(confidence=float("nan")), "detector.confidence: number nan"),
        (lambda data: data["files"][0].update(bytes=10**300), "bytes; expected"),
        (lambda data: data["embedder"]["input"].update(scale=10**400), "embedder.input.scale: whole number 1000"),
    ],
)
def test_a_faulty_manifest_is_told(folder: Path, change: Callable[[dict[str, Any]], object], problem: str) -> None:
    _rewrite(folder, lambda data: data["embedder"].setdefault("input", {"dtype": "float32"}))
    _rewrite(folder, change)
    assert problem in str(refusal_of(folder))


def test_all_faults_of_a_manifest_at_once(folder: Path) -> None:
    _rewrite(folder, lambda data: (data.update(bundle_id=""), data["detector"].update(kind="x"), data.update(a=1)))
    assert refusal_of(folder).problem.startswith("3 fault(s) in the manifest\n  a: unknown key")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON (JSONDecodeError)"),
        (b'{"schema": 1, "bund', "not JSON (JSONDecodeError)"),
        (b"\xff\xfe\x00", "not JSON (UnicodeDecodeError)"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "not JSON (ValueError)"),
        (b"[" * 100_000, "not JSON (RecursionError)"),
        (b'{"a":' * 100_000, "not JSON (RecursionError)"),
        (b" " * (MAX_MANIFEST_BYTES + 1), f"more than {MAX_MANIFEST_BYTES} bytes"),
        (b"[]", "1 fault(s) in the manifest"),
        (b'"manifest"', "1 fault(s) in the manifest"),
        (b"null", "7 fault(s) in the manifest"),
        (b"{}", "7 fault(s) in the manifest"),
    ],
)
def test_what_is_no_manifest(folder: Path, content: bytes, problem: str) -> None:
    (folder / MANIFEST_NAME).write_bytes(content)
    error = refusal_of(folder)
    assert error.where == str(folder / MANIFEST_NAME)
    assert error.problem.startswith(problem)


@pytest.mark.parametrize("name", ["nothing-here", "bundle/manifest.json"])
def test_what_is_no_bundle(folder: Path, name: str) -> None:
    error = refusal_of(folder.parent / name)
    assert error.problem.startswith("cannot be read (")
    assert "--bundle" in error.hint


def test_a_manifest_that_never_ends_is_not_read_to_its_end(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    (folder / MANIFEST_NAME).symlink_to("/dev/zero")
    assert "more than" in refusal_of(folder).problem


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE+-ntrufalsch ', max_size=60).map(str.encode))
def test_any_bytes_are_refused_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-bytes"
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST_NAME).write_bytes(content)
    refusal_of(folder)
