"""Keras configurations of any version -> one that Keras 3 reads, made of listed layers alone.

The configuration is rebuilt from what is known; a name that is not listed, and above all a Lambda layer, which holds code, is
refused before Keras sees any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convert.importers.tensorflow.keras_layers import (
    FUNCTION_SETTINGS,
    LAYERS,
    MODELS,
    OLD_NAMES,
    OPERATIONS,
    TENSORFLOW_FUNCTIONS,
)
from convert.importers.tensorflow.keras_settings import (
    Config,
    Repair,
    layer_entry,
    layer_settings,
    plain_layer_name,
    plain_value,
    sizes,
    tensor_at,
)
from edge.errors import ModelError

_DEEPEST = 60
_MOST_LAYERS = 20_000
_REBUILD = (
    "Code in a model file is never run. Write the layer with others, for instance a Lambda that divides by 255 as Rescaling, "
    "and save the model again; or export it as a SavedModel (model.export), where it is a graph."
)


def repaired_config(config: Any, where: str, settings: Callable[[str], frozenset[str]]) -> tuple[Config, list[str]]:
    """The configuration of a whole model, rebuilt, and what was repaired. ModelError names all that cannot be taken, at once."""
    repair = Repair(where, settings)
    try:
        made = _whole(repair, config)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"a configuration that cannot be read ({type(error).__name__}: {str(error)[:100]})"
        raise ModelError(reason, where=where, hint="Copy the file again, or save the model again.") from error
    if repair.refused:
        listed = ", ".join(dict.fromkeys(repair.refused))
        raise ModelError(f"cannot be taken: {listed}", where=where, hint=_REBUILD)
    return made, repair.notes


def _whole(repair: Repair, config: Any) -> Config:
    if isinstance(config, dict) and config.get("class_name") in MODELS:
        return _model(repair, config, 0)
    found = config.get("class_name") if isinstance(config, dict) else type(config).__name__
    raise ModelError(
        f"a configuration of {found!r}", where=repair.where, expected="a Functional or Sequential model",
        hint="A subclassed model is code: export it as a SavedModel with model.export(FOLDER).",
    )  # fmt: skip


def _model(repair: Repair, entry: Config, depth: int) -> Config:
    inner: Any = entry.get("config")
    if depth > _DEEPEST:
        raise ModelError(f"models within models more than {_DEEPEST} deep", where=repair.where)
    if entry["class_name"] == "Sequential":
        inner = {"name": "sequential", "layers": inner} if isinstance(inner, list) else inner
        layers = _layer_list(repair, inner)
        name = plain_layer_name(inner.get("name") or "sequential")
        return _keras("Sequential", {"name": name, "layers": _stacked(repair, layers, depth)})
    layers = _layer_list(repair, inner)
    made = [_linked(repair, layer, depth) for layer in layers]
    ends = {key: _ends(repair, inner.get(key)) for key in ("input_layers", "output_layers")}
    name = plain_layer_name(inner.get("name") or "model")
    return _keras("Model", {"name": name, "trainable": bool(inner.get("trainable", True)), "layers": made, **ends})


def _keras(name: str, config: Config) -> Config:
    return {"module": "keras", "class_name": name, "config": config, "registered_name": None}


def _layer_list(repair: Repair, inner: Any) -> list[Config]:
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list) or not all(_is_layer(each) for each in layers):
        raise ModelError("a model whose layers cannot be read", where=repair.where, expected="a list of layers")
    repair.layers += len(layers)
    if repair.layers > _MOST_LAYERS:
        raise ModelError(f"more than {_MOST_LAYERS} layers", where=repair.where)
    return layers


def _is_layer(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("class_name"), str)
        and isinstance(entry.get("config"), dict | list)
    )


def _stacked(repair: Repair, layers: list[Config], depth: int) -> list[Config]:
    """Layers of a Sequential model; an old one has its input's shape with its first layer."""
    made = [_any(repair, layer, depth) for layer in layers]
    first = layers[0]["config"] if layers and isinstance(layers[0]["config"], dict) else {}
    shape = first.get("batch_input_shape")
    if shape is not None and layers[0]["class_name"] != "InputLayer":
        repair.note("The shape of the input, which was a setting of the first layer, became an InputLayer.")
        made.insert(
            0,
            layer_entry(
                "InputLayer",
                {
                    "batch_shape": sizes(repair, shape),
                    "name": f"{plain_layer_name(first.get('name') or 'input')}_input",
                },
            ),
        )
    return made


def _linked(repair: Repair, entry: Config, depth: int) -> Config:
    """A layer of a functional model, with what it reads."""
    name = entry.get("name") or (entry["config"].get("name") if isinstance(entry["config"], dict) else None)
    nodes = entry.get("inbound_nodes") or []
    if entry["class_name"] == "TFOpLambda":
        return _function(repair, entry, str(name), nodes)
    if "module" not in entry and _is_operation(entry["class_name"], nodes):
        entry = {**entry, "module": OPERATIONS[entry["class_name"]]}
    made = _any(repair, entry, depth)
    return {
        **made,
        "name": plain_layer_name(name or ""),
        "inbound_nodes": [_inbound(repair, node, str(name)) for node in nodes],
    }


def _is_operation(kind: str, nodes: list[Any]) -> bool:
    """Whether Keras 3 wrote it to a .h5 file, which does not say so: a layer of the same name takes its tensors as one list."""
    calls = [node.get("args") for node in nodes if isinstance(node, dict)]
    is_list = any(isinstance(args, list) and args and isinstance(args[0], list) for args in calls)
    return kind in OPERATIONS and bool(calls) and (kind not in LAYERS or not is_list)


def _any(repair: Repair, entry: Config, depth: int) -> Config:
    kind = entry["class_name"]
    if kind in MODELS:
        return _model(repair, entry, depth + 1)
    module = entry.get("module")
    config = entry["config"] if isinstance(entry["config"], dict) else {}
    label = f"{kind} {config.get('name', '')!r}"
    if module is not None and str(module).startswith("keras.src.ops"):
        return _operation(repair, str(module), kind, config)
    name = OLD_NAMES.get(kind, kind)
    if kind == "Lambda":
        repair.refuse(f"{label} (a Lambda layer holds code)")
    elif name not in LAYERS or (module is not None and not str(module).startswith("keras")):
        repair.refuse(f"{label} (not a layer of Keras that is known here)")
    elif entry.get("registered_name") not in {None, kind, name}:
        repair.refuse(f"{label} (registered as {entry['registered_name']!r})")
    else:
        return layer_entry(name, layer_settings(repair, name, config, label))
    return layer_entry("Identity", {})


def _operation(repair: Repair, module: str, kind: str, config: Config) -> Config:
    if OPERATIONS.get(kind) != module:
        repair.refuse(f"{kind} {config.get('name', '')!r} (not an operation that is known here)")
    plain = {key: plain_value(repair, value, f"{kind} {key}") for key, value in config.items() if key != "dtype"}
    return {"module": module, "class_name": kind, "config": plain, "registered_name": None}


def _ends(repair: Repair, value: Any) -> list[Any]:
    """Inputs or outputs: one place, or a list of them."""
    places = [value] if isinstance(value, list) and value and isinstance(value[0], str) else value
    if isinstance(places, dict):
        places = list(places.values())
    if not isinstance(places, list) or not places:
        raise ModelError("a model without inputs or outputs", where=repair.where)
    return [tensor_at(repair, place)["config"]["keras_history"] for place in places]


def _inbound(repair: Repair, node: Any, layer: str) -> Config:
    """One call of a layer: a list of places in Keras 2, args and kwargs in Keras 3."""
    if isinstance(node, dict):
        kwargs = node.get("kwargs") or {}
        return {"args": plain_value(repair, node.get("args") or [], layer), "kwargs": _arguments(repair, kwargs, layer)}
    places = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
    if (
        not isinstance(places, list)
        or not places
        or not all(isinstance(each, list) and len(each) >= 3 for each in places)
    ):
        raise ModelError(f"layer {layer!r} reads {str(node)[:80]}", where=repair.where, expected="layer, call, output")
    for place in places:
        _arguments(repair, place[3] if len(place) > 3 and isinstance(place[3], dict) else {}, layer)
    tensors = [tensor_at(repair, place) for place in places]
    return {"args": [tensors[0] if len(tensors) == 1 else tensors], "kwargs": {}}


def _arguments(repair: Repair, kwargs: Any, layer: str) -> Config:
    """`training` is decided by the converter; other arguments would change what a layer does."""
    for key, value in kwargs.items():
        if key == "training" and value is not True:
            continue
        if value is not None:
            repair.refuse(f"layer {layer!r} called with {key}={str(value)[:40]}")
    return {}


def _function(repair: Repair, entry: Config, name: str, nodes: list[Any]) -> Config:
    """A TensorFlow function that Keras 2 made a layer of, as the operation of Keras 3."""
    called = str(entry["config"].get("function"))
    module, kind = TENSORFLOW_FUNCTIONS.get(called, ("", ""))
    if not kind:
        repair.refuse(f"TFOpLambda {name!r} (tf.{called})")
        return {**layer_entry("Identity", {}), "name": plain_layer_name(name), "inbound_nodes": []}
    repair.note(f"tf.{called}, which Keras 2 made a layer of, became the operation of Keras 3.")
    config: Config = {"name": plain_layer_name(name)}
    calls = []
    for node in nodes:
        place = node[0] if isinstance(node, list) and node and isinstance(node[0], list) else node
        if not isinstance(place, list) or len(place) < 3:
            raise ModelError(
                f"layer {name!r} reads {str(node)[:80]}", where=repair.where, expected="layer, call, output"
            )
        arguments = place[3] if len(place) > 3 and isinstance(place[3], dict) else {}
        first = plain_value(repair, place[2], name) if place[0] == "_CONSTANT_VALUE" else tensor_at(repair, place)
        config |= {
            FUNCTION_SETTINGS[key]: plain_value(repair, value, name)
            for key, value in arguments.items()
            if key in FUNCTION_SETTINGS
        }
        others = {
            key: value
            for key, value in arguments.items()
            if key not in {"name", *FUNCTION_SETTINGS} and value is not None
        }
        if not set(others) <= {"y"}:
            repair.refuse(f"TFOpLambda {name!r} called with {', '.join(sorted(others))}")
        calls.append({"args": [first, *(_second(repair, value, name) for value in others.values())], "kwargs": {}})
    made = {"module": module, "class_name": kind, "config": config, "registered_name": None}
    return {**made, "name": plain_layer_name(name), "inbound_nodes": calls}


def _second(repair: Repair, value: Any, name: str) -> Any:
    is_place = isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)
    return tensor_at(repair, value) if is_place else plain_value(repair, value, name)
