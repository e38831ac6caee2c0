"""`ostiary-convert report`: a page that needs nothing else, with whatever a model calls its tensors."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files
from tests.convert.cli.commands import run
from tests.convert.networks import network

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("jinja2", reason="Jinja2 is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ostiary[convert]')")
LOADS = {"src", "href", "xlink:href", "data", "poster", "action", "background", "srcset"}
HOSTILE = "<script>alert('tensor')</script>"
ALONE = {"br", "meta", "link", "img", "input", "hr"}
PAIRS = "2\t1\nAda\t1\t2\nAda\t1\tBob\t1\nAda\t3\t4\nAda\t3\tBob\t2\n"


class Page(html.parser.HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in ALONE:
            self.open.append(tag)
        for name, value in attrs:
            # "#..." lies in the page itself.
            if name in LOADS and not (value or "").startswith("#"):
                self.loaded.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ALONE:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def self_contained(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.loaded == []
    assert page.handlers == []
    assert {"script", "iframe", "object", "embed", "link", "img", "base", "form"}.isdisjoint(page.elements)
    assert not re.search(r"@import|url\((?!#)", text)
    return page


def test_a_page_about_a_bundle(opencv_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "report", opencv_bundle, "-o", tmp_path / "page.html")
    assert said.code == EXIT_OK, said.err
    assert said.out.splitlines() == [str(tmp_path / "page.html"), str(tmp_path / "page.json")]
    page, plain = self_contained(tmp_path / "page.html"), json.loads((tmp_path / "page.json").read_text())
    built = json.loads((opencv_bundle / "report.json").read_text())
    assert {key: plain[key] for key in built} == built
    (artifact,) = plain["artifacts"]
    (row,) = artifact["fidelity"]
    for shown in (
        plain["title"],
        f"{artifact['bytes'] / 1e3:.1f} kB",
        f"{row['cosine_mean']:.6f}",
        f"{plain['latency_ms']['embed']['p50']} ms",
        f"{plain['networks']['model']['parameters']:,}",
        plain["source"]["files"][plain["title"]]["sha256"],
        "unmeasured",
        "licence: Apache-2.0",
    ):
        assert shown in page.text, shown
    assert page.elements.count("svg") == 2


def test_a_page_with_accuracy(
    opencv_bundle: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.txt").write_text(PAIRS)
    measured = ["--images", faces, "--pairs", tmp_path / "pairs.txt"]
    said = run(capsys, "report", opencv_bundle, *measured, "-o", tmp_path / "page.html")
    assert said.code == EXIT_OK, said.err
    page, plain = self_contained(tmp_path / "page.html"), json.loads((tmp_path / "page.json").read_text())
    found = plain["evaluation"]
    assert found["pairs"] == 4
    assert sum(found["histogram"]["genuine"]) == sum(found["histogram"]["impostor"]) == 2
    assert f"{found['accuracy_mean']:.2%} ± {found['accuracy_std']:.2%} over 2 folds" in page.text
    assert f"TAR at FMR 1e-3: {found['tar']['1e-3']:.2%}" in page.text
    assert page.elements.count("svg") == 4


def test_a_page_with_conditions(
    opencv_bundle: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.txt").write_text(PAIRS)
    bundle = tmp_path / "bundle"
    shutil.copytree(opencv_bundle, bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    sure = {"threshold": [0.2345, 0.4567], "fmr": [0.005, 0.02], "fnmr": [0.0123, 0.0789], "people": 20}
    point = {"threshold": 0.3, "fmr": 0.01, "fnmr": 0.05, "impostor_pairs": 1, "genuine_pairs": 1, "measured_on": "x"}
    manifest["operating_points"] = {"fmr-1e-2": {**point, "confidence_95": sure}, "fmr-1e-3": point}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    measured = ["--images", faces, "--pairs", tmp_path / "pairs.txt", "--conditions"]
    said = run(capsys, "report", bundle, *measured, "-o", tmp_path / "page.html")
    assert said.code == EXIT_OK, said.err
    page, plain = self_contained(tmp_path / "page.html"), json.loads((tmp_path / "page.json").read_text())
    assert "0.2345 to 0.4567" in page.text
    assert "1.23% to 7.89%" in page.text
    assert plain["bundle"]["operating_points"]["fmr-1e-3"]["confidence_95"] is None
    assert plain["evaluation"]["pairs"] == 4
    assert page.elements.count("svg") == 6
    for one in plain["conditions"].values():
        assert one["title"] in page.text


def test_names_out_of_a_model_are_text(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = network(("Relu", [None], {}))
    node = replace(made.nodes[0], outputs=(HOSTILE,))
    model = onnx_files.write(replace(made, nodes=(node,), outputs=(HOSTILE,)), tmp_path / "<b onclick=x>.onnx")
    said = run(capsys, "build", model, "--target", "onnx", "--calibration", faces, "-o", tmp_path / "out")
    assert said.code == EXIT_OK, said.err
    said = run(capsys, "report", tmp_path / "out", "-o", tmp_path / "page.html")
    assert said.code == EXIT_OK, said.err
    page = self_contained(tmp_path / "page.html")
    assert HOSTILE in page.text
    assert "<b onclick=x>.onnx" in page.text


def test_the_page_lies_here_by_default(
    opencv_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "report", opencv_bundle).out.splitlines() == ["opencv-report.html", "opencv-report.json"]
    assert (tmp_path / "opencv-report.html").exists()


def damaged(bundle: Path, folder: Path, **changes: Any) -> Path:
    """A copy whose report lacks or changes keys."""
    shutil.copytree(bundle, folder)
    (folder / "manifest.json").unlink()
    report = {**json.loads((folder / "report.json").read_text()), **changes}
    kept = {key: value for key, value in report.items() if value is not None}
    (folder / "report.json").write_text(json.dumps(kept))
    return folder


def test_mistakes(opencv_bundle: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "report.json").write_text("no JSON")
    shutil.copytree(opencv_bundle, tmp_path / "altered")
    with (tmp_path / "altered" / "embedder.onnx").open("ab") as handle:
        handle.write(b"x")
    page = ["-o", tmp_path / "page.html"]
    cases: list[tuple[list[Any], int, str]] = [
        ([tmp_path / "absent", *page], EXIT_REJECTED, "report.json: cannot be read"),
        ([faces, *page], EXIT_REJECTED, "Folders made by `ostiary-convert build` hold one"),
        ([tmp_path / "text", *page], EXIT_REJECTED, "not JSON"),
        ([damaged(opencv_bundle, tmp_path / "newer", schema=2), *page], EXIT_REJECTED, "a report of schema 2"),
        ([damaged(opencv_bundle, tmp_path / "cut", networks=None), *page], EXIT_REJECTED, "a report that is not whole"),
        ([damaged(opencv_bundle, tmp_path / "odd", artifacts=[1]), *page], EXIT_REJECTED, "a report that is not whole"),
        ([tmp_path / "altered", *page], EXIT_REJECTED, "embedder.onnx"),
        ([opencv_bundle, "-o", tmp_path / "page.txt"], EXIT_USAGE, "a name that ends in .html"),
        ([opencv_bundle, "-o", tmp_path / "no" / "page.html"], EXIT_USAGE, "cannot be written"),
        ([opencv_bundle, "--images", faces, *page], EXIT_USAGE, "expected both, or neither"),
        ([opencv_bundle, "--conditions", *page], EXIT_USAGE, "--conditions alone; expected --images and --pairs too"),
        ([damaged(opencv_bundle, tmp_path / "bad", conditions=1), *page], EXIT_REJECTED, "a report that is not whole"),
    ]
    for words, code, told in cases:
        said = run(capsys, "report", *words)
        assert (said.code, said.out) == (code, ""), (words, said.err)
        assert told in said.err
        assert not (tmp_path / "page.html").exists()
