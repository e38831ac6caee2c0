"""SavedModel of TensorFlow 1 or 2 -> Network, by one of its signatures.

Nothing of the folder is run to read it: its initialisers, its own saver and its functions for restoring are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.tensorflow.graph import LARGEST_FILE_BYTES, node_of, operators_of, shape_of, tensor_name
from convert.importers.tensorflow.inference import Cut
from convert.importers.tensorflow.session import Trained, import_trained
from convert.importers.tensorflow.variables import Checkpoint
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError

_NAMES = ("saved_model.pb", "saved_model.pbtxt")
_DEFAULT = "serving_default"
_INTERNAL = frozenset({"__saved_model_init_op", "__saved_model_train_op"})
_LARGEST_TEXT_BYTES = 256 << 20
_AGAIN = "Copy the folder again, or export the model again."


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A SavedModel's graph for serving."""

    folder: Path
    meta_graph: Any
    notes: tuple[str, ...]

    def signatures(self) -> list[str]:
        return sorted(name for name in self.meta_graph.signature_def if name not in _INTERNAL)


def import_saved_model(request: Request) -> Imported:
    """A signature with its variables as constants; inputs and outputs have the signature's names.

    The reference is the signature itself, with its variables. UsageError or ModelError where that is not possible.
    """
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one folder with a saved_model.pb")
    found = _find(request.files[0])
    where = str(found.folder)
    name = _chosen(found, request.signature)
    signature = found.meta_graph.signature_def[name]
    graph_def = found.meta_graph.graph_def
    ops = operators_of(graph_def.node, where)
    inputs = {key: _tensor(key, info, ops, where) for key, info in sorted(signature.inputs.items())}
    outputs = {key: _tensor(key, info, ops, where) for key, info in sorted(signature.outputs.items())}
    # Where an input has the name of an output, it gets the one that TensorFlow itself gives its placeholder.
    named = {f"{name}_{key}" if key in outputs else key: key for key in inputs}
    cuts = [
        _cut(called, inputs[named[called]], signature.inputs[named[called]])
        for called in _picked("input", named, request.inputs, where)
    ]
    kept = {key: outputs[key] for key in _picked("output", outputs, request.outputs, where)}
    prefix = found.folder / "variables" / "variables"
    checkpoint = Checkpoint(prefix) if prefix.parent.is_dir() and any(prefix.parent.iterdir()) else None
    restore = found.meta_graph.saver_def.restore_op_name
    files = (found.folder,)
    source = Trained(graph_def, checkpoint, restore, where, files)
    notes = [*found.notes, f"Signature {name!r} of {', '.join(found.signatures())}."]
    return import_trained(source, request, cuts, kept, None, format="saved-model", notes=notes)


def signatures_of(path: Path) -> list[str]:
    """Names of the signatures, in order."""
    return _find(path).signatures()


def _tensor(key: str, info: Any, ops: Any, where: str) -> str:
    tensor = tensor_name(info.name)
    if info.WhichOneof("encoding") != "name" or node_of(tensor) not in ops:
        raise ModelError(f"{key!r} of the signature is no tensor of the graph", where=where, hint=_AGAIN)
    return tensor


def _cut(name: str, tensor: str, info: Any) -> Cut:
    return Cut(tensor, name, int(info.dtype), shape_of(info.tensor_shape))


def _picked(kind: str, there: dict[str, str], wanted: tuple[str, ...], where: str) -> list[str]:
    """All of a signature's, or those that are asked for, by the signature's names."""
    missing = [name for name in wanted if name not in there]
    if missing:
        listed = ", ".join(there) or "none"
        raise UsageError(f"no {kind} {', '.join(missing)}", where=where, expected=f"some of: {listed}")
    if not there:
        raise ModelError(f"a signature without {kind}s", where=where)
    return list(wanted or there)


def _chosen(found: _Found, wanted: str) -> str:
    there, where = found.signatures(), str(found.folder)
    listed = ", ".join(there) or "none"
    if wanted and wanted not in there:
        raise UsageError(f"no signature {wanted}", where=where, expected=f"one of: {listed}")
    if wanted:
        return wanted
    if _DEFAULT in there:
        return _DEFAULT
    if len(there) != 1:
        hint = "Choose with --signature NAME." if there else "Export the model with a signature."
        raise ModelError(f"{len(there)} signatures: {listed}", where=where, hint=hint)
    return there[0]


def _find(path: Path) -> _Found:
    folder, notes = path, []
    if not any((folder / name).is_file() for name in _NAMES):
        versions = [
            each for each in path.glob("*/saved_model.pb*") if each.parent.name.isdigit() and each.name in _NAMES
        ]
        if not versions:
            raise UsageError("no saved_model.pb", where=str(path), expected="a SavedModel folder, or one with versions")
        folder = max((each.parent for each in versions), key=lambda each: int(each.name))
        if len(versions) > 1:
            notes.append(f"Of {len(versions)} versions the newest was taken: {folder.name}.")
    return _Found(folder, _serving(_parsed(folder), folder), tuple(notes))


def _serving(saved: Any, folder: Path) -> Any:
    """The meta graph for serving."""
    graphs = list(saved.meta_graphs)
    serving = [graph for graph in graphs if "serve" in graph.meta_info_def.tags] or graphs
    plain = [graph for graph in serving if list(graph.meta_info_def.tags) == ["serve"]]
    chosen = plain or serving
    if not chosen or not chosen[0].graph_def.node:
        raise ModelError("a SavedModel without a graph", where=str(folder), hint=_AGAIN)
    return chosen[0]


def _parsed(folder: Path) -> Any:
    import_tensorflow("reading a SavedModel")
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    path = next(folder / name for name in _NAMES if (folder / name).is_file())
    is_text = path.suffix == ".pbtxt"
    limit = _LARGEST_TEXT_BYTES if is_text else LARGEST_FILE_BYTES
    try:
        if path.stat().st_size > limit:
            raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected=f"at most {limit}")
        data = path.read_bytes()
        if is_text:
            text_format.Parse(data.decode("utf-8"), saved)
        else:
            saved.ParseFromString(data)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelError("not a sound SavedModel", where=str(path), hint=_AGAIN) from error
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), hint=_AGAIN) from error
    return saved
