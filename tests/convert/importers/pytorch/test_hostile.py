"""Archives that would have PyTorch itself execute what is in them: refused before it sees them."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.importers.base import Request
from convert.importers.pytorch.archives import entries_of, rewritten
from convert.importers.pytorch.vetting import vetted_exported
from convert.importers.pytorch.vetting_script import vetted_torchscript
from edge.errors import ModelError

torch = pytest.importorskip("torch", reason="PyTorch writes the files")
pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
pytorch = pytest.importorskip("convert.importers.pytorch")
tiny = pytest.importorskip("tests.convert.importers.pytorch.tiny")

Entries = dict[str, bytes]
GRAPH = "models/model.json"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    path = tiny.save(tmp_path_factory.mktemp("pt2") / "x.pt2", "open batch")
    return entries_of(path.read_bytes(), "x.pt2")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    path = tiny.save(tmp_path_factory.mktemp("pt") / "x.pt", "script")
    return entries_of(path.read_bytes(), "x.pt")


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where code of an archive would leave its mark."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(tmp_path: Path, entries: Entries, name: str, **said: Any) -> ModelError:
    path = tmp_path / name
    path.write_bytes(rewritten(entries).getvalue())
    with pytest.raises(ModelError) as caught:
        pytorch.import_pytorch(Request((path,), **said))
    return caught.value


def changed(entries: Entries, change: Callable[[Any], None]) -> Entries:
    program = json.loads(entries[GRAPH])
    change(program)
    return entries | {GRAPH: json.dumps(program).encode()}


def graph_of(program: Any) -> Any:
    return program["graph_module"]["graph"]


PROOF = "executed-proof"
CODE = f"__import__('os').mkdir('{PROOF}')"
TUPLE = {"type": "builtins.tuple", "context": "null", "children_spec": []}


def _operator(target: str) -> Callable[[Any], None]:
    return lambda program: graph_of(program)["nodes"][0].update(target=target)


def _size(text: Any) -> Callable[[Any], None]:
    return lambda program: graph_of(program)["tensor_values"]["image"]["sizes"][0]["as_expr"].update(expr_str=text)


def _renamed(program: Any) -> None:
    name = f"image={CODE}"
    graph_of(program)["inputs"][-1]["as_tensor"]["name"] = name
    graph_of(program)["tensor_values"][name] = graph_of(program)["tensor_values"].pop("image")


def _container(kind: str) -> Callable[[Any], None]:
    spec = json.dumps([1, {"type": kind, "context": json.dumps(["os", "system"]), "children_spec": [TUPLE]}])
    return lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=spec)


def _argument(kind: str) -> Callable[[Any], None]:
    return lambda program: graph_of(program)["nodes"][0]["inputs"][0].update(
        arg={kind: {"name": "x", "class_fqn": "os.system"}}
    )


PROGRAMS: dict[str, tuple[Callable[[Any], None], str]] = {
    "function of the system": (_operator("torch.os.system"), "operator 'torch.os.system'"),
    "function of torch": (_operator("torch.load"), "operator 'torch.load'"),
    "function of operator": (_operator("_operator.attrgetter"), "operator '_operator.attrgetter'"),
    "operator that opens files": (_operator("torch.ops.aten.from_file.default"), "operator 'torch.ops.aten.from_file"),
    "inside an operator": (_operator("torch.ops.aten.__class__.__init__"), "operator 'torch.ops.aten.__class__"),
    "operator of another library": (_operator("torch.ops.mine.run.default"), "operator 'torch.ops.mine"),
    "operator's extension": (_operator("#mine"), "operator '#mine'"),
    "control flow": (_operator("torch.ops.higher_order.cond"), "operator 'torch.ops.higher_order"),
    "code as a size": (_size(CODE), "a size"),
    "call in a size": (_size("Symbol('s0').__class__"), "a size"),
    "lambda as a size": (_size("(lambda: 0)()"), "a size"),
    "power as a size": (_size("9**9**9**9"), "a size"),
    "text as a size": (_size("Symbol('a b')"), "a size"),
    "dict as a size": (_size({"a": 1}), "a size"),
    "unfinished size": (_size("Symbol("), "a size"),
    "code as an input's name": (_renamed, "a name"),
    "container with a factory": (_container("collections.defaultdict"), "a container 'collections.defaultdict'"),
    "container of a class": (_container("mine.Class"), "a container"),
    "container with code in it": (lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec="["), "not a sound"),
    "container that is no text": (lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=[1]), "no text"),
    "graph in a graph": (_argument("as_graph"), "an argument 'graph'"),
    "object of a class": (_argument("as_custom_obj"), "an argument 'custom_obj'"),
    "operator as an argument": (_argument("as_operator"), "an argument 'operator'"),
    "no graph": (lambda program: program.pop("graph_module"), "no graph"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs(empty_folder: Path, exported: Entries, change: Callable[[Any], None], message: str) -> None:
    assert message in str(refused(empty_folder, changed(exported, change), "x.pt2"))
    assert not Path(PROOF).exists()


def test_guards_are_left_out(exported: Entries) -> None:
    hostile = changed(exported, lambda program: program.update(guards_code=[CODE]))
    vetted = vetted_exported(rewritten(hostile).getvalue(), "x")
    assert json.loads(vetted[GRAPH])["guards_code"] == []
    assert CODE.encode() not in b"".join(vetted.values())


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, (PROOF,)


def _harm() -> bytes:
    made = io.BytesIO()
    torch.save({"x": Harm()}, made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data/sample_inputs/model.pt", _harm(), "holds code (posix.mkdir)"),
        ("data/weights/../x", b"", "outside the archive"),
        ("data/aotinductor/model/x.so", b"\x7fELF", "an archive with data/aotinductor/model/x.so"),
        ("data/constants/custom_obj_0", b"", "an archive with data/constants/custom_obj_0"),
        ("extra/x.txt", b"", "an archive with extra/x.txt"),
        (
            "data/weights/model_weights_config.json",
            b'{"config": {"a": {"use_pickle": true}}}',
            "weights that are pickled",
        ),
        (
            "data/weights/model_weights_config.json",
            b'{"config": {"a": {"use_pickle": {}}}}',
            "weights that are pickled",
        ),
        ("data/weights/model_weights_config.json", b'{"config": {"a": {"path_name": "../../x y"}}}', "a name"),
        ("data/weights/model_weights_config.json", b"[" * 100_000, "not a sound torch.export archive"),
        (
            "data/weights/model_weights_config.json",
            b'{"config": {"a": {"path_name": "weight_0"}}}',
            "failed in PyTorch",
        ),
        ("data/weights/weight_0", b"\0\0\0", "failed in PyTorch"),
        (GRAPH, b"{", "not a sound torch.export archive"),
        (GRAPH, b"{}", "no graph"),
        (GRAPH, b'{"graph_module": {"graph": {"nodes": [1]}}}', "failed in PyTorch"),
        ("archive_version", b"999", "failed in PyTorch"),
    ],
)
def test_other_entries(empty_folder: Path, exported: Entries, name: str, content: bytes, message: str) -> None:
    assert message in str(refused(empty_folder, exported | {name: content}, "x.pt2"))
    assert not Path(PROOF).exists()


CODE_ENTRY = "code/__torch__/mine.py"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.pkl", pickle.dumps(Harm(), protocol=2), "holds code (posix.mkdir)"),
        ("constants.pkl", b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "holds code (posix.system)"),
        ("constants.pkl", b"\x80\x02(ios\nsystem\n.", "pickle opcode INST"),
        ("constants.pkl", b"\x80\x02", "not a sound pickle"),
        (CODE_ENTRY, b"def forward(self, x):\n  torch.save(x, 'y')\n", "TorchScript with 'save'"),
        (CODE_ENTRY, b"x = ops.aten.from_file('y', True, 4)\n", "TorchScript with 'from_file'"),
        (CODE_ENTRY, b"x = ops . mine.run(y)\n", "TorchScript with 'ops . mine'"),
        ("code/__torch__.py", b"class Tiny(Module):\n  import os\n", "failed in PyTorch"),
        # PyTorch would read the memory behind them.
        ("data/0", b"", "storage 0 has 0 bytes, and its tensors need 864"),
        ("data/0", bytes(16), "storage 0 has 16 bytes"),
        ("data.pkl", b"\x80\x02ctorch\nQInt8Storage\n.", "quantised tensors (torch.QInt8Storage)"),
    ],
)
def test_scripts(empty_folder: Path, script: Entries, name: str, content: bytes, message: str) -> None:
    error = refused(empty_folder, script | {name: content}, "x.pt", shapes={"": tiny.SHAPE})
    assert message in str(error)
    assert not Path(PROOF).exists()


def test_a_script_that_inflates_without_end(tmp_path: Path, script: Entries) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**script, "code/big.py": bytes(100 << 20)}.items():
            archive.writestr(f"x/{name}", data)
    (tmp_path / "x.pt").write_bytes(made.getvalue())
    with pytest.raises(ModelError, match="bytes in compressed entries: refused"):
        pytorch.import_pytorch(Request((tmp_path / "x.pt",)))


def test_the_format_before_2_8(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(ModelError, match=r"format before PyTorch 2\.8"):
        pytorch.import_pytorch(Request((tmp_path / "x.pt2",)))


@pytest.mark.parametrize("vet", [vetted_exported, vetted_torchscript])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), is_cut=st.booleans())
def test_damaged_archives(
    *, exported: Entries, script: Entries, vet: Any, place: float, byte: int, is_cut: bool
) -> None:
    whole = rewritten(exported if vet is vetted_exported else script).getvalue()
    index = int(place * len(whole))
    damaged = whole[:index] if is_cut else whole[:index] + bytes([byte]) + whole[index + 1 :]
    try:
        vet(damaged, "x")
    except ModelError as error:
        assert error.where.startswith("x")  # noqa: PT017 (a sound archive may come out, too)
