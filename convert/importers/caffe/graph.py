"""Which layers of a prototxt run when a network is used, in which order, and what their tensors are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convert.importers.base import Request, chosen
from convert.importers.caffe.builder import shown
from convert.importers.caffe.files import Layer, Source
from convert.network import Port, Shape
from edge.errors import ModelError

INPUT_LAYERS = frozenset({
    "Input", "Data", "AnnotatedData", "ImageData", "MemoryData", "HDF5Data", "WindowData", "DummyData", "Python",
})  # fmt: skip
"""Where data comes in; whatever fed them in training, the network's user does now."""
TRAINING_LAYERS = frozenset({
    "SoftmaxWithLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss", "HingeLoss", "InfogainLoss", "ContrastiveLoss",
    "MultinomialLogisticLoss", "MultiBoxLoss", "SmoothL1Loss", "Accuracy", "DetectionEvaluate", "Silence", "HDF5Output",
})  # fmt: skip
"""What only training reads."""
DETECTION_OUTPUT = "DetectionOutput"
_TEST = 1


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A layer with the names that its tensors have in the network."""

    layer: Layer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What is to be converted."""

    ports: tuple[Port, ...]
    placed: tuple[Placed, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def read_graph(source: Source, request: Request) -> Graph:
    """Choose the layers that the wanted outputs need. UsageError or ModelError where names or shapes are missing."""
    used = [layer for layer in source.layers if _is_used(layer)]
    where = str(source.prototxt)
    notes: list[str] = []
    computing, ends = _without_ends(used, notes)
    shapes = _declared(source, used)
    computing = _cut(computing, request, shapes, where)
    placed = _named(computing, shapes, where)
    outputs = _outputs(placed, shapes, ends, request, where)
    placed = _needed(placed, outputs)
    read = {name for each in placed for name in each.inputs}
    ports = tuple(_port(name, shape, request, where) for name, shape in shapes.items() if name in read)
    if not ports:
        raise ModelError("no output depends on an input", where=where, expected="a network")
    return Graph(ports, placed, outputs, tuple(notes))


def _is_used(layer: Layer) -> bool:
    """Whether the layer is there in the test phase, level 0, no stages (caffe/net.cpp, StateMeetsRule)."""
    message = layer.message
    if len(message.include):
        return any(_meets(rule) for rule in message.include)
    return not any(_meets(rule) for rule in message.exclude)


def _meets(rule: Any) -> bool:
    in_phase = not rule.HasField("phase") or rule.phase == _TEST
    # Level 0 lies between bounds that are not given.
    return (
        in_phase and rule.min_level <= 0 and (not rule.HasField("max_level") or rule.max_level >= 0) and not rule.stage
    )


def _without_ends(layers: list[Layer], notes: list[str]) -> tuple[list[Layer], tuple[str, ...]]:
    """Layers that compute, and what the decoding of a detector would have read: that becomes outputs."""
    ends: list[str] = []
    kept = []
    for layer in layers:
        if layer.type == DETECTION_OUTPUT:
            ends += layer.bottoms
            notes.append(_about_detection(layer))
        elif layer.type in TRAINING_LAYERS:
            notes.append(f"{layer} is left out: it gives nothing when the network is used.")
        elif layer.type not in INPUT_LAYERS:
            kept.append(layer)
    return kept, tuple(dict.fromkeys(ends))


def _about_detection(layer: Layer) -> str:
    message = layer.message.detection_output_param
    return (
        f"{layer} is left out, and what it reads ({', '.join(layer.bottoms)}) becomes outputs; it would have decoded boxes of "
        f"{message.num_classes} classes at confidence {message.confidence_threshold:g}, suppressed above an overlap of "
        f"{message.nms_param.nms_threshold:g} among {message.nms_param.top_k}, and kept {message.keep_top_k}."
    )


def _declared(source: Source, layers: list[Layer]) -> dict[str, Shape | None]:
    """Input -> its shape, None where the files do not say it."""
    net, shapes = source.net, dict[str, Shape | None]()
    for index, name in enumerate(net.input):
        if index < len(net.input_shape):
            shapes[name] = tuple(net.input_shape[index].dim)
        else:
            shapes[name] = tuple(net.input_dim[4 * index : 4 * index + 4]) or None
    for layer in layers:
        if layer.type in INPUT_LAYERS and not layer.bottoms:
            shapes.update({top: _of_layer(layer, place) for place, top in enumerate(layer.tops)})
    return shapes


def _of_layer(layer: Layer, place: int) -> Shape | None:
    given, data = layer.message.input_param.shape, layer.message.memory_data_param
    if len(given):
        return tuple(given[min(place, len(given) - 1)].dim)
    if place == 0 and data.HasField("channels"):
        return data.batch_size, data.channels, data.height, data.width
    return None


def _cut(layers: list[Layer], request: Request, shapes: dict[str, Shape | None], where: str) -> list[Layer]:
    """With other inputs than the file's: what makes them is left out."""
    if not request.inputs:
        return layers
    made = [top for layer in layers for top in layer.tops]
    chosen("input", [*shapes, *dict.fromkeys(made)], request.inputs, where)
    for name in request.inputs:
        shapes.setdefault(name, None)
    last = {
        name: max((i for i, layer in enumerate(layers) if name in layer.tops), default=-1) for name in request.inputs
    }
    return [layer for i, layer in enumerate(layers) if not any(name in layer.tops and i <= last[name] for name in last)]


def _named(layers: list[Layer], shapes: Mapping[str, Shape | None], where: str) -> tuple[Placed, ...]:
    """One name for one value: of the layers that write a blob in place, the last keeps the blob's name."""
    writers = Counter(top for layer in layers for top in layer.tops)
    current = {name: name for name in shapes}
    taken = {*shapes, *writers}
    seen: Counter[str] = Counter()
    placed = []
    for layer in layers:
        missing = [bottom for bottom in layer.bottoms if bottom not in current]
        if missing or not layer.bottoms or not layer.tops:
            found = f"reads {', '.join(missing) or 'nothing'}" if layer.tops else "makes nothing"
            raise ModelError(found, where=f"{where}: {layer}", expected="what a layer before it makes")
        inputs = tuple(current[bottom] for bottom in layer.bottoms)
        for top in layer.tops:
            seen[top] += 1
            is_last = seen[top] == writers[top] and top not in shapes
            current[top] = top if is_last else _fresh(f"{top}/{layer.name}", taken)
        placed.append(Placed(layer, inputs, tuple(current[top] for top in layer.tops)))
    return tuple(placed)


def _fresh(name: str, taken: set[str]) -> str:
    number, fresh = 1, name
    while fresh in taken:
        number, fresh = number + 1, f"{name}_{number}"
    taken.add(fresh)
    return fresh


def _outputs(
    placed: tuple[Placed, ...], shapes: Mapping[str, Shape | None], ends: tuple[str, ...], request: Request, where: str
) -> tuple[str, ...]:
    """What nobody reads, as Caffe gives it, or what was asked for."""
    made = [name for each in placed for name in each.outputs]
    if request.outputs:
        return chosen("output", made, request.outputs, where)
    read = {name for each in placed for name in each.inputs}
    found = [name for name in made if name not in read or name in ends]
    if not found:
        raise ModelError("no output", where=where, expected=f"a layer behind {', '.join(shapes) or 'an input'}")
    return tuple(found)


def _needed(placed: tuple[Placed, ...], outputs: tuple[str, ...]) -> tuple[Placed, ...]:
    wanted, kept = set(outputs), []
    for each in reversed(placed):
        if wanted.intersection(each.outputs):
            wanted.update(each.inputs)
            kept.append(each)
    return tuple(reversed(kept))


def _port(name: str, declared: Shape | None, request: Request, where: str) -> Port:
    said = request.shapes.get(name) or request.shapes.get("")
    shape = tuple(said) if said else declared
    if shape is None or len(shape) > 8 or any(size is not None and size < 1 for size in shape):
        found = "no shape" if shape is None else f"shape {shown(shape)}"
        hint = f"Give it: --shape {name}=1,3,112,112."
        raise ModelError(f"input {name!r} has {found}", where=where, expected="sizes from 1", hint=hint)
    # Caffe's batch is whatever it is fed with; the 1 of a deployed prototxt is no part of the network.
    return Port(name, (None, *shape[1:]) if len(shape) > 1 and shape[0] == 1 else shape)
