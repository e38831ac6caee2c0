from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.align import TEMPLATES
from edge.bundle.manifest import DIGEST, FILE_NAME, Confidence, Manifest, Quantisation
from edge.config.reference import json_schema
from edge.validation import build
from tests.support.data import ROOT

FILES = [{"path": name, "role": role, "sha256": "0" * 64, "bytes": 1} for name, role in
         (("d.onnx", "detector"), ("e.tflite", "embedder"))]  # fmt: skip
POINT = {"threshold": 0.4, "fmr": 1e-4, "fnmr": 0.1, "impostor_pairs": 10, "genuine_pairs": 10, "measured_on": "x"}
CONFIDENCE = {"threshold": [0.38, 0.42], "fmr": [6e-5, 2e-4], "fnmr": [0.05, 0.2], "people": 862}
MANIFEST: dict[str, Any] = {
    "schema": 1,
    "bundle_id": "b-1",
    "description": "For a test.",
    "files": FILES,
    "detector": {"kind": "yunet", "artifacts": {"model": "d.onnx"}},
    "embedder": {
        "artifact": "e.tflite", "runtime": "tflite", "embedder_id": "e-1", "alignment_template": "arcface-112x112",
        "embedding_length": 4, "colour_order": "RGB",
    },
    "operating_points": {"fmr-1e-4": POINT},
}  # fmt: skip


def changed(path: str, value: object) -> dict[str, Any]:
    """The manifest with one value replaced; "files.0.path" is the path of the first file."""
    made = json.loads(json.dumps(MANIFEST))
    *sections, last = path.split(".")
    inner: Any = made
    for name in sections:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    inner[last] = value
    return dict(made)


def test_a_manifest() -> None:
    manifest, faults = build(Manifest, MANIFEST)
    assert not faults
    assert manifest is not None
    assert manifest.detector.artifacts == {"model": "d.onnx"}
    assert manifest.embedder.input == Quantisation("float32")


FAULTY: list[tuple[str, object, str]] = [
    ("bundle_id", "a/b", "bundle_id: text 'a/b'"),
    ("schema", 0, "schema: whole number 0"),
    ("files.0.role", "other", "files[0].role: text 'other'; expected one of detector, embedder, spoof, document"),
    ("files.0.sha256", "0" * 63, "files[0].sha256: text"),
    ("files.0.sha256", "G" * 64, "files[0].sha256: text"),
    ("files.0.bytes", -1, "files[0].bytes: whole number -1"),
    ("files", {}, "files: mapping {}; expected a list"),
    ("detector.kind", "other", "detector.kind: text 'other'; expected one of yunet, mtcnn, ssd"),
    ("detector.artifacts", {"pnet": "d.onnx"}, "detector.artifacts has ['pnet']; expected ['model'] for yunet"),
    ("detector.artifacts", {"model": "x.onnx"}, "artifacts not listed in files: x.onnx"),
    ("detector.normalisation", {"std": 0}, "detector.normalisation.std: whole number 0"),
    ("embedder.artifact", "x.tflite", "artifacts not listed in files: x.tflite"),
    ("embedder.artifact", "../e.tflite", "embedder.artifact: text '../e.tflite'"),
    ("embedder.alignment_template", "other", "embedder.alignment_template: text 'other'; expected one of arcface"),
    ("embedder.embedding_length", 1, "embedder.embedding_length: whole number 1"),
    ("embedder.colour_order", "GRB", "embedder.colour_order: text 'GRB'"),
    ("embedder.input", {"dtype": "uint8"}, "embedder.input: scale 0 for uint8; expected 0 for float32, more for"),
    ("embedder.input", {"dtype": "float32", "scale": 1}, "embedder.input: scale 1 for float32"),
    ("embedder.output", {"dtype": "uint8", "scale": 1, "zero_point": -1}, "zero_point -1 for uint8; expected 0 to 255"),
    ("embedder.output", {"dtype": "int8", "scale": 1, "zero_point": 200}, "zero_point 200 for int8"),
    ("operating_points", {}, "operating_points is empty"),
    ("operating_points", {"p": {**POINT, "threshold": 1.1}}, "operating_points.p.threshold: number 1.1"),
    ("operating_points", {"p": {}}, "operating_points.p.threshold: missing"),
    *(
        ("operating_points", {"p": {**POINT, "confidence_95": value}}, f"operating_points.p.confidence_95{expected}")
        for value, expected in (
            (1, ": whole number 1"),
            ([], ": list []"),
            ({}, ".threshold: missing"),
            ({**CONFIDENCE, "method": "x"}, ".method: unknown key"),
            ({**CONFIDENCE, "threshold": [0.4]}, ".threshold: a list of 1; expected a list of 2"),
            ({**CONFIDENCE, "threshold": 0.4}, ".threshold: number 0.4; expected a list"),
            ({**CONFIDENCE, "threshold": [0.4, 1.1]}, ".threshold[1]: number 1.1"),
            ({**CONFIDENCE, "threshold": [0.42, 0.38]}, ": threshold from 0.42 to 0.38; expected the lower end first"),
            ({**CONFIDENCE, "fmr": [-0.1, 0.2]}, ".fmr[0]: number -0.1"),
            ({**CONFIDENCE, "fnmr": [0.1, float("nan")]}, ".fnmr[1]: number nan"),
            ({**CONFIDENCE, "fnmr": ["0.1", 0.2]}, ".fnmr[0]: text '0.1'"),
            ({**CONFIDENCE, "people": 1}, ".people: whole number 1"),
            ({**CONFIDENCE, "people": 2.5}, ".people: number 2.5"),
        )
    ),
    ("other", 1, "other: unknown key"),
]


@pytest.mark.parametrize(("path", "value", "expected"), FAULTY)
def test_a_faulty_manifest(path: str, value: object, expected: str) -> None:
    manifest, faults = build(Manifest, changed(path, value))
    assert manifest is None
    assert expected in str(faults[0])


def test_how_sure_an_operating_point_is() -> None:
    manifest, faults = build(Manifest, changed("operating_points.fmr-1e-4.confidence_95", CONFIDENCE))
    assert not faults
    assert manifest is not None
    assert manifest.operating_points["fmr-1e-4"].confidence_95 == Confidence(
        threshold=(0.38, 0.42), fmr=(6e-5, 2e-4), fnmr=(0.05, 0.2), people=862
    )


@pytest.mark.parametrize("value", [None, "absent"])
def test_older_manifests_do_not_say_how_sure_they_are(value: str | None) -> None:
    data = changed("operating_points.fmr-1e-4.confidence_95", None) if value is None else MANIFEST
    manifest, faults = build(Manifest, data)
    assert not faults
    assert manifest is not None
    assert manifest.operating_points["fmr-1e-4"].confidence_95 is None


def test_opencv_runs_float_networks_only() -> None:
    data = changed("embedder.runtime", "opencv")
    data["embedder"]["input"] = {"dtype": "uint8", "scale": 1.0}
    _, faults = build(Manifest, data)
    assert "an integer tensor with runtime opencv" in str(faults[0])


def test_a_file_listed_twice() -> None:
    _, faults = build(Manifest, {**MANIFEST, "files": FILES + FILES[:1]})
    assert "a file is listed twice" in str(faults[0])


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a\\b", ".", "..", ".hidden", "", "a\0", "a\n", "x" * 129]
)
def test_names_that_leave_the_bundle_are_refused(name: str) -> None:
    data = changed("files.0.path", name)
    data["detector"]["artifacts"]["model"] = name
    manifest, faults = build(Manifest, data)
    assert manifest is None
    assert faults[0].path == "files[0].path"


SCHEMA = json_schema(Manifest, "manifest")


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    assert Draft202012Validator(SCHEMA).is_valid(MANIFEST)
    packaged = json.loads((ROOT / "edge" / "data" / "default-bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert Draft202012Validator(SCHEMA).is_valid(packaged)
    sure = changed("operating_points.fmr-1e-4.confidence_95", CONFIDENCE)
    assert Draft202012Validator(SCHEMA).is_valid(sure)
    for name, value in (("people", 1), ("fmr", [0.1]), ("fnmr", [0.1, 2]), ("other", 1)):
        sure["operating_points"]["fmr-1e-4"]["confidence_95"] = {**CONFIDENCE, name: value}
        assert not Draft202012Validator(SCHEMA).is_valid(sure)


@pytest.mark.parametrize(
    ("path", "value"),
    [row[:2] for row in FAULTY if row[2].startswith(("schema:", "bundle_id:", "files[", "files:", "other:"))]
    + [("files.0", None), ("detector", None), ("embedder.alignment_template", "other"), ("embedder.artifact", "../e")],
)
def test_the_schema_refuses_what_the_loader_refuses(path: str, value: object) -> None:
    data = changed(path, value) if path != "files.0" else {**MANIFEST, "files": [value]}
    assert not Draft202012Validator(SCHEMA).is_valid(data)
    assert build(Manifest, data)[1]


def test_the_patterns_say_what_they_mean() -> None:
    schema = SCHEMA["properties"]
    assert schema["files"]["items"]["properties"]["path"]["pattern"] == f"^{FILE_NAME}$"
    assert schema["files"]["items"]["properties"]["sha256"]["pattern"] == f"^{DIGEST}$"
    assert schema["embedder"]["properties"]["alignment_template"]["enum"] == list(TEMPLATES)
