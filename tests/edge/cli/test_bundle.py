"""`ostiary bundle`: what a user types, from a bundle on a stick to a rollback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from edge.bundle import MANIFEST_NAME, default_bundle_folder
from edge.interpreter import installed_runtimes
from tests.edge.cli.conftest import Command

pytestmark = pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """The package's own bundle, called `two`."""
    folder = tmp_path / "stick"
    shutil.copytree(default_bundle_folder(), folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    (folder / MANIFEST_NAME).write_text(json.dumps({**manifest, "bundle_id": "two"}), encoding="utf-8")
    return folder


@pytest.fixture
def config(home: Path) -> Path:
    path = home / "ostiary.yaml"
    # A machine that runs other tests meanwhile is no fault of the bundle.
    settings = {"bundles": str(home / "bundles"), "updates": {"budget_ms": 60_000}}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def test_from_a_stick_into_use_and_back(ostiary: Command, config: Path, stick: Path) -> None:
    listed = ostiary("bundle", "list", "--config", config)
    assert (listed.code, "the package's own bundle is in use" in listed.out) == (0, True)
    done = ostiary("bundle", "install", "--config", config, stick, "--activate")
    assert done.code == 0
    assert done.out.splitlines()[0] == "two: installed"
    assert "two runs from the next start on, on trial; without proof the package's own bundle comes back" in done.out
    assert "systemctl restart ostiary" in done.err
    [slot, standing] = ostiary("bundle", "list", "--config", config, "--json").rows
    assert (slot["bundle"], slot["active"], slot["says"]) == ("two", True, "on trial")
    assert (standing["state"], standing["previous"]) == ("trial", None)
    assert ostiary("bundle", "remove", "--config", config, "two").code == 2
    back = ostiary("bundle", "rollback", "--config", config)
    assert back.out == "two is rolled back: the package's own bundle runs from the next start on\n"
    again = ostiary("bundle", "rollback", "--config", config)
    assert (again.code, again.err.count("nothing before it is known")) == (2, 1)
    assert "two was rolled back: somebody asked for it" in ostiary("bundle", "list", "--config", config).out
    removed = ostiary("bundle", "remove", "--config", config, "--old")
    assert removed.out == "two: removed\n"


def test_programs_are_told_in_json(ostiary: Command, config: Path, stick: Path) -> None:
    installed = ostiary("bundle", "install", "--config", config, stick, "--json")
    assert installed.rows == [{"bundle": "two", "version": None, "installed": True, "activated": None}]
    [activated] = ostiary("bundle", "activate", "--config", config, "two", "--json").rows
    assert (activated["bundle"], activated["previous"]) == ("two", None)
    assert activated["self_test"]["similarity"] > 0.8
    assert ostiary("bundle", "activate", "--config", config, "two", "--json").rows[0]["self_test"] is None
    [back] = ostiary("bundle", "rollback", "--config", config, "--json").rows
    assert back == {"active": None, "rolled_back": "two"}
    assert ostiary("bundle", "remove", "--config", config, "two", "--json").rows == [{"removed": "two"}]


def test_verify_looks_at_digests_signature_and_self_test(ostiary: Command, config: Path, stick: Path) -> None:
    own = ostiary("bundle", "verify", "--config", config)
    assert own.code == 0
    assert [line.split()[0] for line in own.out.splitlines()[1:]] == ["digests", "signature", "self-test"]
    assert "comes with the package" in own.out
    ostiary("bundle", "install", "--config", config, stick)
    slot = config.parent / "bundles" / "two"
    (slot / "detector.onnx").write_bytes(b"none")
    broken = ostiary("bundle", "verify", "--config", config, "two")
    assert broken.code == 4
    assert "4 bytes" in broken.err
    assert "damaged: 4 bytes" in ostiary("bundle", "list", "--config", config).out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("install",), 2, "nowhere to install from"),
        (("install", "nowhere"), 4, "cannot be read"),
        (("activate", "three"), 2, "no bundle 'three'"),
        (("verify", "three"), 2, "no bundle 'three'"),
        (("remove",), 2, "no bundle is named"),
        (("remove", "--old", "two"), 2, "both names and --old"),
    ],
)
def test_what_cannot_be_done(ostiary: Command, config: Path, words: tuple[str, ...], code: int, says: str) -> None:
    (config.parent / "bundles").mkdir()
    result = ostiary("bundle", words[0], "--config", config, *words[1:])
    assert (result.code, says in result.err) == (code, True), result.err


def test_a_box_that_is_not_set_up(ostiary: Command, home: Path) -> None:
    result = ostiary("bundle", "list")
    assert (result.code, "`bundles` names no folder" in result.err) == (2, True)


def test_check_tells_how_the_slots_stand(ostiary: Command, config: Path) -> None:
    (config.parent / "bundles").mkdir()
    (config.parent / "bundles" / "trial.json").write_bytes(b"{")
    told = ostiary("check", "--config", config, "--only", "bundle").out
    assert "the package's own bundle is in use" in told
    assert "not JSON" in told
    assert "no signature is asked for" in told
