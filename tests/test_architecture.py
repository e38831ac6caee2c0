"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data import ROOT

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
HEAVY = ("tensorflow", "torch", "onnx", "onnxruntime", "keras", "convert", "deploy")
OPTIONAL = (
    "rich",
    "shtab",
    "amqtt",
    "matplotlib",
    "skimage",
    "picamera2",
    "libcamera",
    "ai_edge_litert",
    "tflite_runtime",
    "cryptography",
    "prometheus_client",
    "securesystemslib",
    "tuf",
    "urllib3",
)
"""What a device need not have; nothing may import it before it is needed."""
SLOW_TO_START = ("cv2", "numpy", "paho", "yaml")
"""`ostiary --help` must not wait for these."""


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield node.lineno, node.module or ""


def loaded_after(code: str) -> set[str]:
    """Top-level names in sys.modules after running `code` in a fresh process in which optional packages cannot be imported."""
    blocked = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {OPTIONAL!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    shown = "\nimport json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", blocked + code + shown],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_edge_is_imported_without_anything_heavy_or_optional() -> None:
    names = [module_name(path) for path in sources("edge") if path.name != "__main__.py"]
    assert len(names) > 50
    loaded = loaded_after("".join(f"import {name}\n" for name in names))
    assert loaded >= {"cv2", "numpy", "yaml"}
    assert not loaded & {*HEAVY, *OPTIONAL}


def test_the_command_starts_without_what_is_slow() -> None:
    code = "from edge.cli.parser import make_parser\nmake_parser()\nimport edge.cli\n"
    assert not loaded_after(code) & {*HEAVY, *OPTIONAL, *SLOW_TO_START}


def test_edge_imports_nothing_from_the_host_side() -> None:
    for path in sources("edge"):
        wrong = [f"line {line}: {name}" for line, name in imported(tree_of(path)) if name.partition(".")[0] in HEAVY]
        assert not wrong, path


def test_modules_stay_short() -> None:
    lengths = {
        module_name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources("edge", "convert", "deploy/release")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_stay_short() -> None:
    lengths = {
        f"{module_name(path)}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in sources("edge", "convert", "deploy/release")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 300
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def string_patches(tree: ast.Module) -> Iterator[str]:
    """Calls like patch("a.b") and monkeypatch.setattr("a.b", ...), which hide what a test depends on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import) and any("mock" in alias.name for alias in node.names):
            yield f"line {node.lineno}: imports mock"
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        is_text = isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        is_setattr = isinstance(node.func, ast.Attribute) and name in {"setattr", "delattr"}
        if is_text and (is_setattr or name == "patch"):
            yield f"line {node.lineno}: {name}"


def test_nothing_is_patched_by_a_path_in_a_string() -> None:
    found = {module_name(path): list(string_patches(tree_of(path))) for path in sources("tests")}
    assert {name: places for name, places in found.items() if places} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("monkeypatch.setattr('os.name', 1)", 1), ("mocker.patch('a.b')", 1), ("patch('a.b')", 1),
        ("from unittest import mock", 1), ("monkeypatch.setattr(module, 'name', 1)", 0), ("monkeypatch.setenv('A', 'b')", 0),
    ],
)  # fmt: skip
def test_the_rule_about_patches_finds_them(code: str, found: int) -> None:
    assert len(list(string_patches(ast.parse(code)))) == found


def test_every_error_message_family_has_its_exit_code_in_the_drawing() -> None:
    from edge import errors

    drawn = dict(re.findall(r"(\w+Error)\s+(\d)  ", errors.__doc__ or ""))
    kinds = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert drawn == {name: str(kind.exit_code) for name, kind in kinds.items()}
