"""The classes that read a TFLite flatbuffer, generated from schema.fbs and shipped with the runtimes."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from edge.errors import MissingDependencyError

_MODULES = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
"""The first starts in a tenth of a second; TensorFlow takes many."""


@functools.cache
def schema() -> Any:
    """The generated module. MissingDependencyError where neither package is installed."""
    for name in _MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingDependencyError("ai-edge-litert", extra="convert", purpose="reading a TFLite file")


@functools.cache
def names_of(enumeration: str) -> dict[int, str]:
    """Number -> name of one of the schema's enumerations."""
    members = vars(getattr(schema(), enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int)}
