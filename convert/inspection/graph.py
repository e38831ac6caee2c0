"""A network as a drawing: Graphviz's language, and SVG or PDF where Graphviz is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from convert.network import Network, Node, Shape, shown_shape
from convert.shapes import infer_shapes
from edge.errors import ModelError, UsageError

FORMS = ("dot", "svg", "pdf", "png")
_LAYOUT_S = 300
_MOST_NODES = 5000
_COLOURS = {
    "Conv": "#cfe3d8", "ConvTranspose": "#cfe3d8", "Gemm": "#cfe3d8", "MatMul": "#cfe3d8",
    "Relu": "#f6e3c5", "PRelu": "#f6e3c5", "LeakyRelu": "#f6e3c5", "Clip": "#f6e3c5", "Sigmoid": "#f6e3c5", "Softmax": "#f6e3c5",
    "Add": "#d7dff0", "Concat": "#d7dff0", "Mul": "#d7dff0",
    "Reshape": "#eadcec", "Transpose": "#eadcec", "Flatten": "#eadcec",
}  # fmt: skip


def write_graph(network: Network, path: Path, title: str) -> Path:
    """Draw into `path`; its suffix is the form. UsageError for other forms, and where Graphviz is missing."""
    form = path.suffix.lower().lstrip(".")
    if form not in FORMS:
        raise UsageError(f"a drawing named {path.name!r}", expected=f"a name that ends in .{', .'.join(FORMS)}")
    text = dot_of(network, title)
    data = text.encode() if form == "dot" else _laid_out(text, form)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(path)) from error
    return path


def dot_of(network: Network, title: str) -> str:
    """The network in Graphviz's language: a box an operator, with kernel and stride, the shapes on the arrows."""
    if len(network.nodes) > _MOST_NODES:
        raise ModelError(f"{len(network.nodes)} nodes", where=title, expected=f"at most {_MOST_NODES} for a drawing")
    return "\n".join(_lines(network, title, infer_shapes(network))) + "\n"


def _lines(network: Network, title: str, shapes: Mapping[str, Shape]) -> Iterator[str]:
    yield "digraph network {"
    yield f'  graph [label={_quoted(title)}, labelloc=t, fontname="sans-serif", ranksep=0.3]'
    yield '  node [shape=box, style="filled,rounded", fillcolor="#f4f4f4", fontname="sans-serif", fontsize=10, height=0.3]'
    yield '  edge [fontname="sans-serif", fontsize=8, color="#777777", arrowsize=0.6]'
    for port in network.inputs:
        yield f"  {_quoted(port.name)} [shape=oval, label={_quoted(f'{port.name} {_size(port.shape)}')}]"
    made_by = {
        name: _quoted(f"node/{index}") for index, node in enumerate(network.nodes) for name in node.outputs if name
    }
    made_by |= {port.name: _quoted(port.name) for port in network.inputs}
    for index, node in enumerate(network.nodes):
        yield f"  {_quoted(f'node/{index}')} [label={_label(network, node)}, fillcolor={_quoted(_COLOURS.get(node.op, '#f4f4f4'))}]"
        for name in dict.fromkeys(node.inputs):
            if name in made_by:
                yield f"  {made_by[name]} -> {_quoted(f'node/{index}')} [label={_quoted(_size(shapes.get(name)))}]"
    for name in network.outputs:
        yield f"  {_quoted(f'output/{name}')} [shape=oval, label={_quoted(f'{name} {_size(shapes.get(name))}')}]"
        if name in made_by:
            yield f"  {made_by[name]} -> {_quoted(f'output/{name}')}"
    yield "}"


def _label(network: Network, node: Node) -> str:
    parts = [node.op]
    weights = network.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if node.op in {"Conv", "ConvTranspose"} and weights is not None:
        strides = node.attributes.get("strides", (1, 1))
        depthwise = " depthwise" if node.attributes.get("group", 1) > 1 else ""
        parts.append(
            f"{'x'.join(map(str, weights.shape[2:]))}{depthwise}" + (f" / {strides[0]}" if strides[0] > 1 else "")
        )
    return _quoted("\n".join(parts))


def _size(shape: Shape | None) -> str:
    return "" if shape is None else shown_shape(shape)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _laid_out(text: str, form: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise UsageError(
            f"no Graphviz to draw {form} with",
            expected="its program dot",
            hint="apt install graphviz, or write a .dot file.",
        )
    try:
        done = subprocess.run(  # noqa: S603  the program found on the path, the graph on its standard input
            [program, f"-T{form}"], input=text.encode(), capture_output=True, timeout=_LAYOUT_S, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"laying it out took over {_LAYOUT_S} s", expected="a smaller network", hint="Write a .dot file."
        ) from error
    except subprocess.CalledProcessError as error:
        raise ModelError(f"Graphviz cannot draw it ({error.stderr.decode(errors='replace').strip()[:200]})") from error
    return done.stdout
