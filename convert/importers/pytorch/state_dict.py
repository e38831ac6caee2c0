"""Weights without a network: the architecture is named by the recipe, or known by the weights' names. PyTorch is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convert.architectures import ARCHITECTURES, Architecture
from convert.importers.base import Imported, Request, chosen
from convert.importers.pytorch.archives import PyTorchFile
from convert.importers.safe_pickle import read_checkpoint
from convert.network import Network, Port, Shape
from convert.passes.tidy import tidy
from convert.runners.onnx_runtime import ImportedRunner
from edge.errors import ModelError, UsageError

_PLACES = ("state_dict", "net_state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema")
"""Where programs put a state dict among their other data, in the order in which they are looked at."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""


def import_state_dict(file: PyTorchFile, request: Request) -> Imported:
    """The network of `request.architecture`, or of the only architecture that the weights fit."""
    weights, notes = named_weights(read_checkpoint(file.path), file.where)
    architecture, guessed = _architecture(weights, request.architecture, file.where)
    network = _sized(architecture.network(weights, file.where), request, file.where)
    if request.outputs:
        chosen("output", list(network.tensors()), request.outputs, file.where)
        network = tidy(network.with_outputs(request.outputs))
    left_out = architecture.left_out(weights)
    notes += [guessed] if guessed else []
    notes += [f"{len(left_out)} weight(s) of training left out: {', '.join(left_out[:8])}."] if left_out else []
    notes.append("Weights alone hold no network that could be run: the reference is the built one in ONNX Runtime.")
    return Imported("pytorch", network, ImportedRunner(network), (file.path,), tuple(notes))


def named_weights(checkpoint: Mapping[Any, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """The dict of arrays in a checkpoint, wrappers' prefixes off its names, and a note on each that was taken off."""
    found, notes = checkpoint, []
    for _ in range(2):
        if _has_arrays(found):
            break
        place = next((name for name in _PLACES if isinstance(found.get(name), dict)), None)
        if place is None:
            break
        found = found[place]
        notes.append(f"The weights are those of {place!r} in the checkpoint.")
    if not _has_arrays(found):
        listed = ", ".join(str(key) for key in list(checkpoint)[:12]) or "nothing"
        raise ModelError(
            f"no weights among {listed}", where=where, expected=f"arrays, or a dict of them in {_PLACES[0]}"
        )
    weights = {str(name): value for name, value in found.items()}
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
            notes.append(f"{prefix!r} taken off every weight's name.")
    return weights, notes


def _has_arrays(found: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in found.values())


def _architecture(weights: Mapping[str, Any], wanted: str, where: str) -> tuple[Architecture, str]:
    """The one asked for, or the only one whose weights are all there, with a note that says so."""
    if wanted and wanted not in ARCHITECTURES:
        raise UsageError(f"no architecture {wanted!r}", where=where, expected=f"one of: {', '.join(ARCHITECTURES)}")
    if wanted:
        return ARCHITECTURES[wanted], ""
    fitting = [
        known for known in ARCHITECTURES.values() if known.keys <= weights.keys() and _leaves_none(known, weights)
    ]
    if len(fitting) == 1:
        return fitting[0], f"The architecture {fitting[0].name} was recognised by the weights' names."
    listed = "".join(f"\n  {known.name}: {known.what}" for known in fitting or ARCHITECTURES.values())
    problem = "weights of several architectures" if fitting else "weights of an architecture that is not known"
    hint = "Choose with --architecture NAME. Any other network: export it with torch.export.save or torch.jit.save.\nKnown are:"
    raise ModelError(f"{problem} ({', '.join(list(weights)[:4])} ...)", where=where, hint=hint + listed)


def _leaves_none(known: Architecture, weights: Mapping[str, Any]) -> bool:
    try:
        known.network(weights)
    except ModelError:
        return False
    return True


def _sized(network: Network, request: Request, where: str) -> Network:
    """Sizes that the architecture leaves open as the request gives them."""
    port = network.inputs[0]
    for name in request.inputs:
        chosen("input", [port.name], (name,), where)
    given = request.shapes.get(port.name, request.shapes.get(""))
    if given is None:
        return network
    return replace(network, inputs=(Port(port.name, _merged(port, given, where), port.dtype),))


def _merged(port: Port, given: Shape, where: str) -> Shape:
    fits = len(given) == len(port.shape) and all(
        None in {own, size} or own == size for own, size in zip(port.shape, given, strict=True)
    )
    if not fits:
        shown = [size or "any" for size in port.shape]
        raise UsageError(
            f"input shape {list(given)}", where=where, expected=f"one like {shown}, as the weights need it"
        )
    return tuple(own if size is None else size for own, size in zip(port.shape, given, strict=True))
