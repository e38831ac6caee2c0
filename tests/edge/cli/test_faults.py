"""What users get wrong: always a sentence and a documented exit code, never a traceback."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from edge.bundle import default_bundle_folder
from tests.edge.cli.conftest import Command, finished, started

FACE = "FACE"
"""Stands for the path of a picture with a face."""

MISTAKES: list[tuple[str, int, str]] = [
    ("frobnicate", 2, "invalid choice: 'frobnicate'"),
    ("--frobnicate", 2, "unrecognized arguments: --frobnicate"),
    ("identify", 2, "required: PATH"),
    ("identify absent.jpg", 1, "absent.jpg: cannot be read (No such file or directory)"),
    ("identify --config absent.yaml FACE", 2, "absent.yaml: cannot be read"),
    ("identify --config . FACE", 2, ".: cannot be read (Is a directory)"),
    ("identify --bundle absent FACE", 4, "absent/manifest.json: cannot be read"),
    ("identify --bundle FACE FACE", 4, "cannot be read (Not a directory)"),
    ("identify --gallery FACE FACE", 4, "not a database"),
    ("identify --gallery . FACE", 4, ".: not a file"),
    ("enroll FACE", 2, "nobody is named; expected --name NAME or --id ID"),
    ("enroll --name Ada", 2, "no pictures; expected pictures, or --camera URI"),
    ("enroll --name Ada --camera 0 FACE", 2, "pictures and a camera"),
    ("enroll --name Ada --camera 0 --count 0", 2, "expected a whole number of at least 1"),
    ("enroll --id 01ARZ3NDEKTSV4RRFFQ69G5FAV FACE", 2, "nobody called"),
    ("enroll --name Ada --gallery FACE/below/gallery FACE", 4, "cannot be made"),
    ("enroll --name Ada --gallery /proc/gallery FACE", 4, "cannot be made"),
    ("gallery import absent", 4, "absent: cannot be read"),
    ("gallery import FACE", 4, "cut off or no gzip file"),
    ("verify FACE", 2, "required: B"),
    ("verify FACE absent.jpg", 1, "absent.jpg: cannot be read"),
    ("watch --port 99999", 2, "expected a port from 1 to 65535"),
    ("watch --count -1", 2, "--count"),
    ("watch --host 127.0.0.1 --port 1", 3, "broker 127.0.0.1:1: nothing listens there"),
    ("run --no-mqtt --camera absent.mp4", 3, "absent.mp4: no such file"),
    ("run --no-mqtt --camera smoke:signal", 2, "no such kind of source: 'smoke:signal'"),
    ("run --no-mqtt --camera FACE --annotate absent/seen.mp4", 2, "absent/seen.mp4: cannot become a video"),
    ("run --no-mqtt --camera FACE --annotate seen.gif", 2, "seen.gif: cannot become a video"),
    ("run --config absent.yaml", 2, "absent.yaml: cannot be read"),
    ("bench coffee", 2, "nothing called 'coffee' to measure"),
    ("bench clip", 2, "no clip to measure with"),
    ("demo --output FACE", 2, "cannot be made (File exists)"),
]


@pytest.mark.parametrize(("line", "code", "says"), MISTAKES, ids=[line for line, *_ in MISTAKES])
def test_a_mistake_is_explained(home: Path, hopper_file: Path, line: str, code: int, says: str) -> None:
    result = finished(*(word.replace(FACE, str(hopper_file)) for word in line.split()), cwd=home)
    assert "Traceback" not in result.err
    assert says in result.err
    assert result.code == code


BAD = """\
camera:
  rotate_deg: 45
  widht_px: 640
  realtime: maybe
mqtt: {port: 70000, tls: {cert_file: a.pem}}
decide: {unknown_after_s: 20, give_up_after_s: 5}
colour: green
"""
KEYS = ("camera.rotate_deg", "camera.widht_px", "camera.realtime", "mqtt.port", "mqtt.tls", "decide", "colour")


@pytest.mark.parametrize("words", ["run", "identify FACE", "watch", "enroll --name Ada FACE", "gallery list"])
def test_every_fault_of_a_configuration_is_told_at_once(
    ostiary: Command, home: Path, hopper_file: Path, words: str
) -> None:
    (home / "ostiary.yaml").write_text(BAD, encoding="utf-8")
    result = ostiary(*(word.replace(FACE, str(hopper_file)) for word in words.split()))
    assert (result.code, result.out) == (2, "")
    assert f"ostiary.yaml: {len(KEYS)} faults" in result.err
    for key in KEYS:
        assert f": {key}: " in result.err
    assert "expected 'width_px'?" in result.err
    assert "line 3: camera.widht_px" in result.err


def copied_bundle(home: Path) -> Path:
    return Path(shutil.copytree(default_bundle_folder(), home / "bundle"))


def test_a_bundle_with_a_wrong_digest_is_refused(ostiary: Command, home: Path, hopper_file: Path) -> None:
    bundle = copied_bundle(home)
    path = bundle / "detector.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = ostiary("identify", "--bundle", bundle, hopper_file)
    assert (result.code, result.out) == (4, "")
    assert f"{path}: SHA-256 " in result.err


def test_a_bundle_with_a_missing_file_is_refused(ostiary: Command, home: Path, hopper_file: Path) -> None:
    bundle = copied_bundle(home)
    (bundle / "detector.onnx").unlink()
    result = ostiary("verify", "--bundle", bundle, hopper_file, hopper_file)
    assert (result.code, result.out) == (4, "")
    assert "detector.onnx: missing" in result.err


def test_a_bundle_with_an_unknown_role_is_refused(ostiary: Command, home: Path, hopper_file: Path) -> None:
    bundle = copied_bundle(home)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][0]["role"] = "clairvoyant"
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    result = ostiary("enroll", "--name", "Ada", "--bundle", bundle, hopper_file)
    assert (result.code, result.out) == (4, "")
    assert "files[0].role: text 'clairvoyant'; expected one of detector" in result.err


def test_a_full_disk_is_a_sentence(home: Path, hopper_file: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        process = started("identify", "--json", hopper_file, stdout=full, stderr=subprocess.PIPE, cwd=home)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == b"ostiary: No space left on device\n"


def test_ctrl_c_ends_quietly(home: Path, hopper_file: Path) -> None:
    process = started("identify", *[hopper_file] * 5000, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == b""
    assert process.returncode == 130
