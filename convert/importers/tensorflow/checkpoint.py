"""TF1 checkpoint (NAME.meta, NAME.index, NAME.data-*) -> Network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.tensorflow.graph import LARGEST_FILE_BYTES, operators_of
from convert.importers.tensorflow.inference import cut_of, find_ends
from convert.importers.tensorflow.session import Trained, import_trained
from convert.importers.tensorflow.variables import Checkpoint
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError

_EXPECTED = "NAME.meta, NAME.index and NAME.data-00000-of-00001, or their folder"
_STATE = "checkpoint"
_STATE_BYTES = 1 << 20
_PARTS = re.compile(r"\.(meta|index|data-\d{5}-of-\d{5})$")


@dataclass(frozen=True, slots=True)
class Saved:
    """The files of one checkpoint."""

    meta: Path | None
    """The graph; the values may be there without it."""
    prefix: Path
    """What the index and the data have in front of their endings."""
    notes: tuple[str, ...] = ()


def import_checkpoint(request: Request) -> Imported:
    """The inference graph with its variables as constants; what only training needs is left out.

    The reference is the graph of the file with its variables, in a session. UsageError or ModelError where that is not possible.
    """
    saved = find_checkpoint(request.files)
    if saved.meta is None:
        raise UsageError(
            "values without a graph", where=str(saved.prefix), expected=_EXPECTED,
            hint="The graph is in NAME.meta. Without it, build the network in TensorFlow and save it again.",
        )  # fmt: skip
    checkpoint = Checkpoint(saved.prefix)
    meta = _meta_graph(saved.meta)
    where, notes = str(saved.meta), list(saved.notes)
    source = Trained(meta.graph_def, checkpoint, meta.saver_def.restore_op_name, where, (saved.meta, *checkpoint.files))
    ends = find_ends(meta.graph_def, request, where, notes)
    ops = operators_of(meta.graph_def.node, where)
    cuts = [cut_of(meta.graph_def, ops, tensor) for tensor in ends.inputs]
    outputs = {name: name for name in ends.outputs}
    return import_trained(source, request, cuts, outputs, ends.live, format="tf1-checkpoint", notes=notes)


def variables_of(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """(name, shape, dtype) of every variable in a checkpoint, whether its graph is there or not."""
    checkpoint = Checkpoint(find_checkpoint((path,)).prefix)
    return [(name, shape, checkpoint.dtypes[name]) for name, shape in checkpoint.shapes.items()]


def find_checkpoint(files: tuple[Path, ...]) -> Saved:
    """The files that belong together, from any of them, their common prefix, or their folder. UsageError where that is unclear."""
    if not files:
        raise UsageError("no file", expected=_EXPECTED)
    if len(files) == 1 and files[0].is_dir():
        return _in_folder(files[0])
    metas = [path for path in files if path.suffix == ".meta"]
    prefixes = {path.with_name(_PARTS.sub("", path.name)) for path in files if path.suffix != ".meta"}
    if len(metas) > 1 or len(prefixes) > 1:
        raise UsageError(f"files of several checkpoints: {_listed(files)}", expected="those of one")
    if not prefixes:
        return _beside_meta(metas[0])
    prefix = prefixes.pop()
    return Saved(metas[0] if metas else _meta_of(prefix), prefix)


def _beside_meta(meta: Path) -> Saved:
    """NAME.index, or the newest of NAME.ckpt-STEP.index that FaceNet's author and others write."""
    if not meta.is_file():
        raise UsageError("no such file", where=str(meta), expected=_EXPECTED)
    own = meta.with_suffix("")
    if Path(f"{own}.index").exists():
        return Saved(meta, own)
    found = [prefix for prefix in _prefixes(meta.parent) if prefix.name.startswith(own.name)]
    if not found:
        return Saved(meta, own)
    newest = max(found, key=_step)
    note = () if len(found) == 1 else (f"Of {len(found)} checkpoints the newest was taken: {newest.name}.",)
    return Saved(meta, newest, note)


def _meta_of(prefix: Path) -> Path | None:
    own = Path(f"{prefix}.meta")
    if own.is_file():
        return own
    folder = prefix.parent
    metas = sorted(folder.glob("*.meta")) if folder.is_dir() else []
    fitting = [meta for meta in metas if prefix.name.startswith(meta.stem)]
    return max(fitting, key=lambda meta: len(meta.stem), default=None)


def _in_folder(folder: Path) -> Saved:
    prefixes = _prefixes(folder)
    if not prefixes:
        meta = _only_meta(folder)
        return Saved(meta, meta.with_suffix(""))
    named = _named_by_state(folder)
    if named in prefixes:
        note = () if len(prefixes) == 1 else (f"Of {len(prefixes)} checkpoints the newest was taken: {named.name}.",)
        return Saved(_meta_of(named), named, note)
    if len(prefixes) > 1:
        raise UsageError(
            f"{len(prefixes)} checkpoints: {_listed(tuple(prefixes))}", where=str(folder), expected="one; name it"
        )
    metas = sorted(folder.glob("*.meta"))
    return Saved(_meta_of(prefixes[0]) or (metas[0] if len(metas) == 1 else None), prefixes[0])


def _only_meta(folder: Path) -> Path:
    metas = sorted(folder.glob("*.meta"))
    if len(metas) != 1:
        problem = f"{len(metas)} graphs ({_listed(tuple(metas))}), and no values" if metas else "no checkpoint"
        raise UsageError(problem, where=str(folder), expected=_EXPECTED)
    return metas[0]


def _prefixes(folder: Path) -> list[Path]:
    return sorted(path.with_suffix("") for path in folder.glob("*.index"))


def _step(prefix: Path) -> tuple[int, str]:
    digits = re.search(r"(\d+)$", prefix.name)
    return (int(digits[1]) if digits else -1, prefix.name)


def _named_by_state(folder: Path) -> Path | None:
    """The newest, as the file `checkpoint` says; of a path from another machine the last part counts."""
    path = folder / _STATE
    try:
        text = path.read_bytes()[:_STATE_BYTES].decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r'^\s*model_checkpoint_path:\s*"([^"\n]+)"', text, re.MULTILINE)
    return folder / re.split(r"[/\\]", found[1])[-1] if found else None


def _meta_graph(path: Path) -> Any:
    tf = import_tensorflow("reading a checkpoint")
    from google.protobuf.message import DecodeError

    meta = tf.compat.v1.MetaGraphDef()
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected="less than 2 GiB")
        meta.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError("not a sound graph (MetaGraphDef)", where=str(path), hint="Copy the file again.") from error
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected=_EXPECTED) from error
    if not meta.graph_def.node:
        raise ModelError("a graph without nodes", where=str(path), hint="Copy the file again.")
    return meta


def _listed(paths: tuple[Path, ...]) -> str:
    return ", ".join(path.name for path in paths) or "none"
