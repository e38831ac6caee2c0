"""Bundles to update to: the package's own under other names, sound and spoilt, and a signed repository of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from edge.bundle.folder import default_bundle_folder
from tests.support.data import ROOT


def renamed(folder: Path, name: str) -> Path:
    """A sound one."""
    made = folder / name
    shutil.copytree(default_bundle_folder(), made)
    manifest = made / "manifest.json"
    data = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**data, "bundle_id": name}), encoding="utf-8")
    return made


def spoilt(folder: Path, name: str) -> Path:
    """One whose digests are right and whose embedder is no network: only the box's own self-test can tell."""
    made = renamed(folder, name)
    manifest = made / "manifest.json"
    data = json.loads(manifest.read_text(encoding="utf-8"))
    [entry] = [one for one in data["files"] if one["path"].endswith(".tflite")]
    network = made / entry["path"]
    raw = bytearray(network.read_bytes())
    raw[len(raw) // 4 : len(raw) // 2] = bytes(len(raw) // 2 - len(raw) // 4)
    network.write_bytes(raw)
    entry["sha256"] = hashlib.sha256(raw).hexdigest()
    manifest.write_text(json.dumps(data), encoding="utf-8")
    return made


def signed(folder: Path, *bundles: Path) -> Path:
    """A repository that has them, the later the higher their version."""
    keys, repository = folder / "keys", folder / "repository"
    root, targets, online = (keys / f"{name}.pem" for name in ("root", "targets", "online"))
    _sign("keys", root, targets, online)
    roles = (f"root={root}", f"targets={targets}", f"snapshot={online}", f"timestamp={online}")
    _sign("init", repository, *(word for role in roles for word in ("--key", role)))
    for version, bundle in enumerate(bundles, start=1):
        _sign("add", repository, bundle, "--version", version, "--with", keys)
    return repository


def _sign(*arguments: object) -> None:
    command = [sys.executable, "-m", "convert", "sign", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
