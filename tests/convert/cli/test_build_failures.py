"""`ostiary-convert build` where it fails: a sentence, an exit code, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EXIT_OTHER, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files
from tests.convert.cli.commands import AS_EMBEDDER, command, digests, environment, run, small_embedder
from tests.convert.networks import network

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow 2.19 announces what its next version drops.
pytestmark = pytest.mark.filterwarnings("ignore")
INTERRUPTED = 130
CAP_BYTES = 64 * 1024
"""Of a file, or of a whole disk: less than a bundle's detector takes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a person types after `build`, written with the folder's own names, and what they get."""

    words: str
    code: int
    said: tuple[str, ...]


EMBEDDER = " ".join(AS_EMBEDDER)
FAILURES = {
    "truncated model": Failure(
        "cut.onnx --target onnx", EXIT_REJECTED, ("cut.onnx: not a sound ONNX file", "Copy the file")
    ),
    "no such file": Failure(
        "absent.onnx --target onnx", EXIT_USAGE, ("'absent.onnx'", "expected a model file", "yunet")
    ),
    "no known format": Failure(
        "notes.txt --target onnx", EXIT_REJECTED, ("a format that is not known", "expected an ONNX")
    ),
    "unknown operators": Failure(
        "unknown.onnx --target onnx",
        EXIT_REJECTED,
        ("2 operator(s) that cannot be converted: Frob 'first', Zap 'second'",),
    ),
    "several inputs": Failure("two.onnx --target onnx", EXIT_REJECTED, ("2 inputs: left, right", "--input NAME")),
    "no such output": Failure(
        "net.onnx --target onnx --output-name t9", EXIT_USAGE, ("no output t9", "expected some of: t5")
    ),
    "no picture as input": Failure(
        "net.onnx --target onnx --input t1", EXIT_REJECTED, ("input 't1' of shape 1x8x28x28", "expected ?x3x?x?, RGB")
    ),
    "another alignment": Failure(
        "net.onnx --role embedder --template facenet-160x160",
        EXIT_REJECTED,
        ("of shape 1x3x112x112", "expected ?x3x160x160, RGB aligned as facenet-160x160"),
    ),
    "open sizes": Failure("open.onnx --target tflite-float32", EXIT_REJECTED, ("[1, 3, None, None]", "--shape")),
    "beyond the tolerance": Failure(
        "huge.onnx --target tflite-float16",
        EXIT_REJECTED,
        ("mean cosine of", "expected at least 0.999", "--any-fidelity"),
    ),
    "calibration without a face": Failure(
        f"net.onnx {EMBEDDER} --calibration faceless",
        EXIT_USAGE,
        ("faceless: no usable face in 2 pictures; expected faces",),
    ),
    "unreadable pictures": Failure(
        f"net.onnx {EMBEDDER} --calibration damaged",
        EXIT_USAGE,
        ("damaged: no usable face in 1 picture, 1 of which cannot be read",),
    ),
    "no pictures": Failure("net.onnx --target onnx --calibration empty", EXIT_USAGE, ("empty: holds no pictures",)),
    "nobody of the people": Failure(
        "net.onnx --target onnx --people nobody.txt", EXIT_USAGE, ("no picture of the people listed",)
    ),
    "no role, no target": Failure("net.onnx", EXIT_USAGE, ("a model of role other makes no bundle", "Add --target")),
    "embedder without template": Failure(
        "net.onnx --role embedder", EXIT_USAGE, ("without its alignment", "--template")
    ),
    "detector without recipe": Failure("net.onnx --role detector", EXIT_USAGE, ("a detector without a recipe",)),
    "no such detector": Failure(f"net.onnx {EMBEDDER} --detector nope", EXIT_USAGE, ("no detector 'nope'", "yunet")),
    "a detector that is none": Failure(
        f"net.onnx {EMBEDDER} --detector minifasnet", EXIT_USAGE, ("minifasnet is no detector",)
    ),
    "no bundle as detector": Failure(f"net.onnx {EMBEDDER} --detector faceless", EXIT_REJECTED, ("manifest.json",)),
    "batch of a bundle": Failure(f"net.onnx {EMBEDDER} --batch 2", EXIT_USAGE, ("--batch 2 for a bundle",)),
    "no ranges": Failure("net.onnx --target tflite-uint8-legacy", EXIT_USAGE, ("--default-ranges LOW HIGH",)),
    "ranges the wrong way": Failure(
        "net.onnx --target tflite-uint8-legacy --default-ranges 6 0", EXIT_USAGE, ("--default-ranges 6 0",)
    ),
    "no single-shot detector": Failure("net.onnx --target tflite-float32 --post-process", EXIT_USAGE, ("section ssd",)),
    "another format": Failure("net.onnx --target onnx --format caffe", EXIT_USAGE, ("expected one prototxt",)),
    "count": Failure("net.onnx --target onnx --count 0", EXIT_USAGE, ("expected numbers above 0",)),
    "shape": Failure("net.onnx --target onnx --shape 1,x", EXIT_USAGE, ("--shape '1,x'; expected sizes like",)),
    "constant": Failure("net.onnx --target onnx --set a=b", EXIT_USAGE, ("--set 'a=b'; expected NAME=true",)),
    "batch": Failure("net.onnx --target onnx --batch 0", EXIT_USAGE, ("'0'; expected a whole number above 0",)),
    "no files of the catalogue's": Failure(
        "yunet --source empty", EXIT_USAGE, ("empty: the files of yunet are not there", "ostiary-convert fetch yunet")
    ),
    "recipe with faults": Failure(
        "faulty.yaml", EXIT_USAGE, ("fault(s) in the recipe", "licence", "docs/converter.md")
    ),
}
NEEDS_TENSORFLOW = {"beyond the tolerance", "open sizes"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """A folder with every kind of input that cannot be used."""
    folder = tmp_path_factory.mktemp("desk")
    net = small_embedder()
    whole = onnx_files.write(net, folder / "net.onnx")
    (folder / "cut.onnx").write_bytes(whole.read_bytes()[:300])
    onnx_files.write(onnx_files.two_inputs_two_outputs(), folder / "two.onnx")
    onnx_files.write(with_open_size(), folder / "open.onnx")
    onnx_files.write(beyond_float16(), folder / "huge.onnx")
    write_unknown(folder / "unknown.onnx")
    (folder / "notes.txt").write_text("no model")
    (folder / "nobody.txt").write_text("Nobody\n")
    (folder / "faulty.yaml").write_text("title: no more than that\n")
    for name in ("empty", "faceless", "damaged"):
        (folder / name).mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / "faceless" / f"{index}.png"), np.full((200, 200, 3), 127, np.uint8))
    (folder / "damaged" / "a.jpg").write_bytes(b"no picture")
    shutil.copytree(faces, folder / "faces")
    return folder


def with_open_size() -> onnx_files.Network:
    made = network(("Relu", [None], {}))
    return replace(made, inputs=(replace(made.inputs[0], shape=(1, 3, None, None)),))


def beyond_float16() -> onnx_files.Network:
    """Weights that float16 rounds to nothing, and others that bring back what they took."""
    tiny = np.full((4, 3, 1, 1), 1e-9, np.float32) * np.arange(1, 13, dtype=np.float32).reshape(4, 3, 1, 1)
    back = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1) * 1e4
    offset = np.zeros(4, np.float32)
    return network(
        ("Conv", [None, tiny, offset], {}), ("Conv", [None, back, np.arange(4, dtype=np.float32) * 1e-7], {})
    )


def write_unknown(path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Frob", ["x"], ["a"], "first"), helper.make_node("Zap", ["a"], ["y"], "second")],
        "unknown",
        [helper.make_tensor_value_info("x", kind, (1, 3, 8, 8))],
        [helper.make_empty_tensor_value_info("y")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(made.SerializeToString())


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_leaves_nothing(
    name: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDS_TENSORFLOW:
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    monkeypatch.chdir(desk)
    failure = FAILURES[name]
    words = failure.words.split()
    if "--calibration" not in words:
        words += ["--calibration", "faces"]
    said = run(capsys, "build", *words, "-o", tmp_path / "out")
    assert (said.code, said.out) == (failure.code, ""), said.err
    for part in failure.said:
        assert part in said.err
    assert str(tmp_path) not in said.err.replace(str(tmp_path / "out"), ""), "names a scratch folder"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["truncated model", "calibration without a face", "beyond the tolerance"])
def test_what_stood_there_stays(
    name: str, desk: Path, opencv_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in NEEDS_TENSORFLOW:
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    monkeypatch.chdir(desk)
    shutil.copytree(opencv_bundle, tmp_path / "out")
    before = digests(tmp_path)
    done = main_in(["build", *FAILURES[name].words.split(), "-o", str(tmp_path / "out")])
    assert done == FAILURES[name].code
    assert digests(tmp_path) == before


def main_in(words: list[str]) -> int:
    from convert.cli import main

    return main([*words] if "--calibration" in words else [*words, "--calibration", "faces"])


def foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


def plain_file(path: Path) -> None:
    path.write_text("years of work")


@pytest.mark.parametrize("make", [foreign_folder, plain_file])
def test_what_is_not_ours_is_not_replaced(
    make: Callable[[Path], None], desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "out")
    before = digests(tmp_path)
    asked = ["--target", "onnx", "--calibration", desk / "faces", "-o", tmp_path / "out"]
    said = run(capsys, "build", desk / "net.onnx", *asked)
    assert said.code == EXIT_USAGE
    assert "something that is no bundle is there" in said.err
    assert digests(tmp_path) == before


def test_a_file_where_a_folder_is_needed(desk: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    asked = ["--target", "onnx", "--calibration", desk / "faces", "-o", tmp_path / "file" / "out"]
    said = run(capsys, "build", desk / "net.onnx", *asked)
    assert (said.code, "cannot be written" in said.err) == (EXIT_USAGE, True)


def test_any_fidelity_writes_what_is_far_off(desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    asked = ["--target", "tflite-float16", "--any-fidelity", "--calibration", desk / "faces", "-o", tmp_path / "out"]
    said = run(capsys, "build", desk / "huge.onnx", *asked)
    assert said.code == 0, said.err
    assert (tmp_path / "out" / "huge.float16.tflite").exists()


def test_a_disk_that_is_full(desk: Path, opencv_bundle: Path, tmp_path: Path) -> None:
    """A tiny file system where we may mount one, else a cap on the size of a file: a bundle fits neither."""
    shutil.copytree(opencv_bundle, tmp_path / "older")
    with little_room(tmp_path / "room") as (room, limit):
        done = subprocess.run(
            command("build", desk / "net.onnx", *AS_EMBEDDER, "--embedder", "opencv-float32",
                    "--calibration", desk / "faces", "-o", room / "out"),
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit,
        )  # fmt: skip
        left = sorted(path.name for path in room.iterdir())
    assert done.returncode == EXIT_OTHER, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{room / 'out'}: cannot be written (" in done.stderr
    assert "Nothing was written" in done.stderr
    assert left == []


@contextlib.contextmanager
def little_room(folder: Path) -> Iterator[tuple[Path, Callable[[], None] | None]]:
    """(a folder, what a child must do first to find it full soon)"""
    folder.mkdir()
    options = f"size={CAP_BYTES}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if (
        os.geteuid() == 0
        and shutil.which("mount")
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    ):
        try:
            yield folder, None
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return

    def limit() -> None:
        # The signal would kill; ignored, writing fails with EFBIG.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (CAP_BYTES, CAP_BYTES))

    yield folder, limit


def test_interrupted(desk: Path, opencv_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(opencv_bundle, out)
    before = digests(tmp_path)
    # Without --calibration variations of a portrait are made: long enough to be interrupted in.
    words = command("build", desk / "net.onnx", *AS_EMBEDDER, "--embedder", "tflite-uint8", "-o", out)
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "pictures for model" in line:
                process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == INTERRUPTED, said
    assert said[-1] == "ostiary-convert: interrupted\n"
    assert "Traceback" not in "".join(said)
    assert digests(tmp_path) == before


def test_no_target_at_all_can_take_it(desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    recipe = tmp_path / "lite.yaml"
    files = "files: [{name: open.onnx}]\nparts: {model: {files: [open.onnx], format: onnx}}"
    recipe.write_text(f"title: Open\nrole: other\nsource: a test\nlicence: none\n{files}\ntargets: [tflite-float32]\n")
    asked = ["--target", "all", "--any-digest", "--calibration", desk / "faces", "-o", tmp_path / "out"]
    said = run(capsys, "build", recipe, "--source", desk, *asked)
    assert said.code == EXIT_REJECTED
    assert "no target can take Open" in said.err
    assert "model as tflite-float32: input 'image' of shape [1, 3, None, None]" in said.err
    assert not (tmp_path / "out").exists()
