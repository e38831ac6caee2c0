from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edge.errors import UsageError
from tests.convert.networks import RELU, conv, network

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")

from convert.inspection.graph import dot_of, write_graph

SMALL = network(conv(4, 3, strides=(2, 2)), RELU, ("Add", [None, "t0"], {}))
needs_graphviz = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz is not installed (apt install graphviz)"
)


def test_every_node_and_every_tensor_is_drawn() -> None:
    text = dot_of(SMALL, 'a "small" net')
    assert len(re.findall(r'^  "node/\d+" \[label', text, re.MULTILINE)) == len(SMALL.nodes)
    # image -> conv -> relu -> add, conv -> add, add -> output
    assert text.count("->") == 5
    assert "3x3 / 2" in text
    assert "1x4x4x4" in text
    assert r"a \"small\" net" in text


@needs_graphviz
@pytest.mark.parametrize(
    ("name", "magic"), [("net.svg", b"<?xml"), ("net.pdf", b"%PDF"), ("net.png", b"\x89PNG"), ("net.dot", b"digraph")]
)
def test_each_form(tmp_path: Path, name: str, magic: bytes) -> None:
    assert write_graph(SMALL, tmp_path / name, "small").read_bytes().startswith(magic)


def test_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net\.txt"):
        write_graph(SMALL, tmp_path / "net.txt", "small")
    assert not list(tmp_path.iterdir())
