"""Settings of one Keras layer, of any version -> those that the same layer takes in the installed Keras 3."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convert.importers.tensorflow.keras_layers import ACTIVATIONS, LAYERS
from edge.errors import ModelError

Config = dict[str, Any]
_DROPPED = frozenset({
    "ragged", "sparse", "optional", "time_major", "implementation", "input_dtype", "renorm", "renorm_clipping",
    "renorm_momentum", "fused", "virtual_batch_size", "adjustment", "synchronized", "build_input_shape", "seed",
    "noise_shape", "unroll", "stateful", "beta_constraint", "gamma_constraint", "experimental_autocast", "dynamic",
})  # fmt: skip
"""Settings that change nothing when the network is used, or of layers that Keras 3 has in one form only."""
_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_LARGEST_SETTING = 1 << 20
_HARMLESS: tuple[Any, ...] = (None, False, 1, [], {}, [1, 1])


@dataclass(slots=True)
class Repair:
    """One configuration, what was done to it, and what it may not hold."""

    where: str
    settings: Callable[[str], frozenset[str]]
    """Layer -> the settings that it takes in the installed Keras."""
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    layers: int = 0

    def note(self, text: str) -> None:
        """Tell something once."""
        if text not in self.notes:
            self.notes.append(text)

    def refuse(self, text: str) -> None:
        """Remember something that cannot be taken."""
        self.refused.append(text)


def settings_of(keras: Any) -> Callable[[str], frozenset[str]]:
    """What the installed Keras takes: of a layer, the arguments of its constructor."""

    def settings(name: str) -> frozenset[str]:
        found = inspect.signature(getattr(keras.layers, name).__init__).parameters
        return frozenset(found) - {"self", "args", "kwargs"} | {"name", "trainable", "dtype"}

    return settings


def layer_entry(name: str, config: Config) -> Config:
    """A layer as Keras 3 describes it."""
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}


def layer_settings(repair: Repair, kind: str, config: Config, label: str) -> Config:
    """What the layer takes of its settings, each as Keras 3 writes it."""
    taken = repair.settings(kind)
    made: Config = {}
    for key, value in config.items():
        if key.endswith(_ENDINGS) or key == "activity_regularizer":
            continue
        if key in _REPAIRED:
            made |= _REPAIRED[key](repair, kind, value, label)
        elif key in taken and key not in {"ragged", "sparse", "optional"}:
            made[key] = plain_value(repair, value, f"{label}, {key}")
        elif key in _DROPPED or any(value == each and type(value) is type(each) for each in _HARMLESS):
            _check_dropped(repair, key, value, label)
        else:
            repair.refuse(f"{label} (setting {key!r}: {str(value)[:60]})")
    return made


def _check_dropped(repair: Repair, key: str, value: Any, label: str) -> None:
    if key in {"ragged", "sparse", "renorm", "stateful"} and value:
        repair.refuse(f"{label} ({key})")
    if key not in {"ragged", "sparse", "optional"}:
        repair.note(f"Setting {key!r}, which Keras 3 has no use for, was removed.")


def _batch_shape(repair: Repair, kind: str, value: Any, _label: str) -> Config:
    if kind != "InputLayer":
        return {}
    return {"batch_shape": sizes(repair, value)}


def sizes(repair: Repair, value: Any) -> list[int | None]:
    """A shape; None is an open size."""
    items = plain_value(repair, value, "shape")
    if (
        not isinstance(items, list)
        or len(items) > 6
        or not all(each is None or isinstance(each, int) for each in items)
    ):
        raise ModelError(f"a shape {str(value)[:80]}", where=repair.where, expected="such as [null, 112, 112, 3]")
    return items


def _dtype(repair: Repair, _kind: str, value: Any, label: str) -> Config:
    """A name, or a policy as a dict: what differs from float32 is computed in float32 here."""
    name = (
        value.get("config", {}).get("name")
        if isinstance(value, dict) and isinstance(value.get("config"), dict)
        else value
    )
    if name in {None, "float32"}:
        return {}
    if name in {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}:
        repair.note(f"Layers of dtype {name} are computed in float32.")
        return {}
    if name in {"uint8", "int8", "int32", "int64", "bool"}:
        return {"dtype": name}
    repair.refuse(f"{label} (dtype {str(name)[:60]})")
    return {}


def _axis(repair: Repair, kind: str, value: Any, label: str) -> Config:
    plain = plain_value(repair, value, f"{label}, axis")
    if kind == "BatchNormalization" and isinstance(plain, list) and len(plain) == 1:
        repair.note("Axes of BatchNormalization, a list of one, became a number.")
        return {"axis": plain[0]}
    return {"axis": plain}


def _activation(repair: Repair, _kind: str, value: Any, label: str) -> Config:
    name = value
    if isinstance(value, dict):
        if value.get("class_name") in LAYERS and isinstance(value.get("config"), dict):
            inner = layer_settings(repair, value["class_name"], value["config"], label)
            return {"activation": layer_entry(value["class_name"], inner)}
        name = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
        name = name.get("activation", name) if isinstance(name, dict) else name
    if value is None:
        return {"activation": None}
    if not isinstance(name, str) or name not in ACTIVATIONS:
        repair.refuse(f"{label} (activation {str(name)[:60]!r})")
        return {}
    return {"activation": name}


def _groups(repair: Repair, kind: str, value: Any, label: str) -> Config:
    if "groups" in repair.settings(kind):
        return {"groups": value}
    if value not in {None, 1}:
        repair.refuse(f"{label} ({value} groups)")
    repair.note(f"Setting 'groups' of {kind} was removed.")
    return {}


def _alpha(_repair: Repair, kind: str, value: Any, _label: str) -> Config:
    number = value.get("value", 0.3) if isinstance(value, dict) else value
    return {"negative_slope" if kind == "LeakyReLU" else "alpha": number}


def _name(_repair: Repair, _kind: str, value: Any, _label: str) -> Config:
    return {"name": plain_layer_name(value)} if value else {}


_REPAIRED: Mapping[str, Callable[[Repair, str, Any, str], Config]] = {
    "batch_input_shape": _batch_shape, "batch_shape": _batch_shape, "dtype": _dtype, "axis": _axis,
    "activation": _activation, "recurrent_activation": _activation, "groups": _groups, "alpha": _alpha, "name": _name,
    "input_shape": lambda *_: {}, "input_tensor": lambda *_: {},
}  # fmt: skip


def plain_layer_name(name: Any) -> str:
    """Keras 3 allows no slash in a layer's name."""
    return str(name)[:500].replace("/", "_")


def plain_value(repair: Repair, value: Any, label: str) -> Any:
    """Numbers, text and lists; tuples, arrays and dicts of numbers as Keras writes them. Everything else is refused."""
    if isinstance(value, list):
        return [plain_value(repair, each, label) for each in value]
    if isinstance(value, dict):
        return _written(repair, value, label)
    if isinstance(value, int) and abs(value) > _LARGEST_SETTING:
        repair.refuse(f"{label} ({value})")
    return value


def _written(repair: Repair, value: Config, label: str) -> Any:
    kind, inner = value.get("class_name"), value.get("config")
    if kind in {"__tuple__", "TensorShape"}:
        return plain_value(repair, value.get("items", []), label)
    if kind == "__numpy__" and isinstance(inner, dict):
        return plain_value(repair, inner.get("value", []), label)
    if kind == "__keras_tensor__" and isinstance(inner, dict):
        return tensor_at(repair, inner.get("keras_history"))
    if kind is None and set(value) <= {"0", "1", "2", "3", "4"}:
        return [plain_value(repair, value[key], label) for key in sorted(value)]
    repair.refuse(f"{label} ({kind or 'a dict'})")
    return None


def tensor_at(repair: Repair, place: Any) -> Config:
    """What a layer gave: (layer, its call, which output)."""
    if not isinstance(place, list) or len(place) < 3 or not isinstance(place[0], str):
        raise ModelError(f"a tensor at {str(place)[:80]}", where=repair.where, expected="layer, call, output")
    history = [plain_layer_name(place[0]), int(place[1]), int(place[2])]
    return {"class_name": "__keras_tensor__", "config": {"shape": [1], "dtype": "float32", "keras_history": history}}
