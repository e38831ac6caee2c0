"""Every word of a torch.export archive, looked at before PyTorch sees it.

What its loader would do with them (torch/_export/serde/serialize.py): resolve operators by `getattr` from torch itself, read sizes by
`sympify`, which evaluates Python, compile guards and argument names into source code, import the factories of containers, open shared
objects, and unpickle. So this is a list of what is allowed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from convert.importers.pytorch.archives import HINT, entries_of
from convert.importers.safe_pickle.archive import read_tensors
from edge.errors import ModelError

_ENTRIES = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|models/model\.json"
    r"|data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+)|data/sample_inputs/model\.pt"
)
_WORD = re.compile(r"[A-Za-z0-9_.+\-]{0,300}")
"""What a name or a choice may be: nothing that could end an identifier and begin a statement."""
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)([a-z][a-z0-9_]*|_[a-z][a-z0-9_]*|__(and|or|xor)__)\.[A-Za-z][A-Za-z0-9_]*"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_(int|float|max|min|not|ite|sum)|math\.(ceil|floor|trunc)"
)
_REFUSED_KINDS = frozenset({"as_graph", "as_custom_obj", "as_operator", "as_complex"})
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_IN_SIZES = frozenset({
    "Symbol", "Integer", "Rational", "Add", "Mul", "Mod", "Max", "Min", "FloorDiv", "CleanDiv", "CeilDiv", "PythonMod",
    "TruncToInt", "FloorToInt", "CeilToInt", "IntTrueDiv", "ToFloat",
})  # fmt: skip
_SIZE_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub, ast.Mult,
    ast.FloorDiv, ast.Mod, ast.USub,
)  # fmt: skip
_MOST_JSON_BYTES = 64 << 20


def vetted_exported(raw: bytes, where: str) -> dict[str, bytes]:
    """Entries of a .pt2 archive, guards and notes of the program that made it left out. ModelError names what is not allowed."""
    entries = entries_of(raw, where)
    others = sorted(name for name in entries if not _ENTRIES.fullmatch(name))
    if others:
        raise _refused(f"an archive with {', '.join(others[:5])}", where)
    made = dict(entries)
    for name, data in entries.items():
        if name.endswith("model.json"):
            made[name] = json.dumps(_vetted_program(_parsed(data, where), where)).encode()
        elif name.endswith(".json"):
            _check_config(_parsed(data, where), where)
        elif name.endswith(".pt"):
            read_tensors(data, f"{where}: {name}")
    return made


def _refused(problem: str, where: str) -> ModelError:
    return ModelError(f"{problem}: refused, never executed", where=where, hint=HINT)


def _parsed(data: bytes, where: str) -> Any:
    if len(data) > _MOST_JSON_BYTES:
        raise _refused(f"a graph of {len(data)} bytes", where)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not a sound torch.export archive ({str(error)[:120]})", where=where, hint=HINT) from error


def _check_config(config: Any, where: str) -> None:
    """Names, shapes and files of weights; those that are pickled or are no tensors are refused."""
    for key, value in _pairs(config):
        if key == "use_pickle" and value is not False:
            raise _refused("weights that are pickled", where)
        _check_word(key, value, where)


def _vetted_program(program: Any, where: str) -> Any:
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise ModelError("no graph in the torch.export archive", where=where, hint=HINT)
    program = program | {"guards_code": []}
    for holder in _nodes(program):
        holder["metadata"] = {}
    for key, value in _pairs(program):
        if key == "target" and not (isinstance(value, str) and _OPERATOR.fullmatch(value)):
            raise _refused(f"operator {str(value)[:80]!r}", where)
        if key in _REFUSED_KINDS:
            raise _refused(f"an argument {key.removeprefix('as_')!r}", where)
        if key == "expr_str":
            _check_size(value, where)
        elif key in {"in_spec", "out_spec"}:
            _check_containers(value, where)
        else:
            _check_word(key, value, where)
    return program


def _nodes(program: Any) -> Iterator[dict[str, Any]]:
    found = program["graph_module"].get("graph", {})
    nodes = found.get("nodes", []) if isinstance(found, dict) else []
    return (node for node in nodes if isinstance(node, dict))


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with what it holds, and every member of a list with the key of the list; not recursive, for JSON can be deep."""
    waiting = [("", value)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, item) for item in value if isinstance(item, str | dict | list)]


def _check_word(key: str, value: Any, where: str) -> None:
    for word in (key, value):
        if isinstance(word, str) and not _WORD.fullmatch(word):
            raise _refused(f"a name {word[:80]!r}", where)


def _check_size(text: Any, where: str) -> None:
    """Sums and products of named sizes, as `sympy.srepr` writes them."""
    if text is None:
        return
    try:
        tree = ast.parse(str(text)[:2000], mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(f"a size {str(text)[:80]!r}", where) from error
    for node in ast.walk(tree):
        is_fine = isinstance(node, _SIZE_NODES)
        if isinstance(node, ast.Name):
            is_fine = node.id in _IN_SIZES or re.fullmatch(r"[su]\d{1,6}", node.id) is not None
        if isinstance(node, ast.Call):
            is_fine = isinstance(node.func, ast.Name) and node.func.id in _IN_SIZES
        if isinstance(node, ast.Constant):
            is_fine = isinstance(node.value, int) or re.fullmatch(r"[su]\d{1,6}", str(node.value)) is not None
        if not is_fine:
            raise _refused(f"a size {str(text)[:80]!r}", where)


def _check_containers(text: Any, where: str) -> None:
    """A pytree specification: JSON in a string."""
    if text is None:
        return
    if not isinstance(text, str):
        raise _refused("a specification of containers that is no text", where)
    for key, value in _pairs(_parsed(text.encode(), where)):
        if key == "type" and not (value is None or value in _CONTAINERS):
            raise _refused(f"a container {str(value)[:80]!r}", where)
