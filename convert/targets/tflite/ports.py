"""The network's own names and order in a TFLite file, whatever TensorFlow made of them."""

from __future__ import annotations

from convert.targets.tflite.flatbuffer import Model, schema

SIGNATURE = b"serving_default"


def in_the_networks_order(model: Model, inputs: list[str], outputs: list[str]) -> None:
    """Order the inputs and outputs of the main graph as these names of the converter's own signature, where it wrote one."""
    if not model.signatureDefs:
        return
    signature = model.signatureDefs[0]
    graph = model.subgraphs[0]
    for names, entries, attribute in ((inputs, signature.inputs, "inputs"), (outputs, signature.outputs, "outputs")):
        places = {entry.name.decode(): int(entry.tensorIndex) for entry in entries}
        setattr(graph, attribute, [places[name] for name in names])


def name_ports(model: Model, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Name the inputs and outputs of the main graph, and write a signature of these names.

    Tensors within that happen to have one of the names get another, lest a name mean two things.
    """
    graph = model.subgraphs[0]
    places = {int(index): name for index, name in zip(graph.outputs, outputs, strict=True)}
    # A tensor that is returned as it came in keeps the input's name; the signature has both.
    places |= {int(index): name for index, name in zip(graph.inputs, inputs, strict=True)}
    taken = set(places.values())
    for index, tensor in enumerate(graph.tensors):
        if index in places:
            tensor.name = places[index].encode()
        elif (tensor.name or b"").decode("utf-8", "replace") in taken:
            tensor.name += b"/inner"
    model.signatureDefs = [_signature(graph, inputs, outputs)]


def _signature(graph: Model, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Model:
    generated = schema()

    def entries(names: tuple[str, ...], indices: list[int]) -> list[Model]:
        made = []
        for name, index in zip(names, indices, strict=True):
            entry = generated.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), int(index)
            made.append(entry)
        return made

    signature = generated.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = entries(inputs, graph.inputs), entries(outputs, graph.outputs)
    return signature
