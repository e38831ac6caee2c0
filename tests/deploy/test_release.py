"""A release as a whole: what is in it, and that it is the same wherever and whenever it is made."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from convert.cli import main
from deploy.release.configuration import DEFAULT, configuration_text
from deploy.release.dates import iso_date
from deploy.release.folder import Ingredients
from deploy.release.make import Release, make_release
from deploy.release.origin import find_origin
from deploy.release.target import Target, all_targets, target_named
from edge.bundle import load_bundle
from edge.config.loader import load_settings
from edge.errors import RejectedError, UsageError
from tests.support.data import ROOT
from tests.support.wheels import EPOCH, TinyWheel, binary, sha256, tiny_checkout

pytestmark = pytest.mark.once
ARM64, ARMHF = (target_named(name, "bookworm") for name in ("arm64", "armhf"))
DATED = {"SOURCE_DATE_EPOCH": str(EPOCH)}


def make_ingredients(folder: Path, target: Target = ARM64) -> Ingredients:
    """A tiny checkout with two wheels, which lie in the cache: pip has nothing to do."""
    wheels = [
        TinyWheel("tiny", requires=("binary>=1", "absent; python_version < '3'")).write(
            folder / "cache" / target.label
        ),
        binary(target).write(folder / "cache" / target.label),
    ]
    checkout = tiny_checkout(folder / "checkout", target, *wheels)
    configuration = configuration_text(checkout / DEFAULT)
    bundle = load_bundle(checkout / "edge/data/default-bundle")
    return Ingredients(find_origin(checkout, environment=DATED), target, bundle, configuration, folder / "cache")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    return make_release(make_ingredients(folder), folder / "out", ("tar",))


def files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def about(release: Release) -> dict[str, Any]:
    return json.loads((release.folder / "release.json").read_text())  # type: ignore[no-any-return]


def test_what_is_in_it(release: Release) -> None:
    assert release.folder.name == "ostiary-0.0.1-bookworm-arm64"
    names = {name.partition("/")[0] for name in files_of(release.folder)}
    assert names == {
        "LICENSES", "SHA256SUMS", "bundle", "config", "install.sh", "release.json", "sbom.cdx.json", "systemd", "wheels",
    }  # fmt: skip
    assert [path.name.partition("-")[0] for path in sorted((release.folder / "wheels").iterdir())] == [
        "binary",
        "ostiary",
        "tiny",
    ]
    assert load_bundle(release.folder / "bundle").manifest == load_bundle().manifest
    load_settings(release.folder / "config/ostiary.yaml")
    load_settings(release.folder / "config/ostiary.example.yaml")
    assert (
        (release.folder / "LICENSES/LICENCES.txt")
        .read_text()
        .startswith("ostiary 0.0.1: Apache-2.0\nbinary 1.0: MIT\n")
    )
    assert (release.folder / "LICENSES/tiny-1.0/LICENSE").read_text() == "the text\n"


def test_its_sums_are_those_of_every_file(release: Release) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=release.folder, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(files_of(release.folder)) - 1


def test_it_says_what_it_was_made_from(release: Release) -> None:
    said = about(release)
    assert said["source_date_epoch"] == EPOCH
    assert (said["architecture"], said["debian"], said["python"], said["commit"]) == ("arm64", "bookworm", "3.11", None)
    assert said["wheels"] == {path.name: sha256(path) for path in (release.folder / "wheels").iterdir()}


def test_the_archive_holds_the_folder_and_tells_nothing_of_who_made_it(release: Release) -> None:
    (path,) = release.files
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        held = {it.name.partition("/")[2]: archive.extractfile(it).read() for it in members if it.isfile()}  # type: ignore[union-attr]
    assert held == {name: file.read_bytes() for name, file in files_of(release.folder).items()}
    assert {(it.uid, it.gid, it.uname, it.gname, it.mtime) for it in members} == {(0, 0, "", "", EPOCH)}
    assert {it.mode for it in members} == {0o644, 0o755}
    assert [it.name for it in members[1:]] == sorted(it.name for it in members[1:])
    assert next(it.mode for it in members if it.name.endswith("/install.sh")) == 0o755
    assert next(it.mode for it in members if it.name.endswith("/ostiaryctl")) == 0o755


@pytest.mark.parametrize("name", [path.name for path in (ROOT / "systemd").iterdir()])
def test_units_are_the_checkouts(release: Release, name: str) -> None:
    copy = release.folder / "systemd" / name
    assert copy.read_bytes() == (ROOT / "systemd" / name).read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == (0o755 if name == "ostiaryctl" else 0o644)


BUILD = """
import sys
from pathlib import Path
from deploy.release.make import make_release
from tests.deploy.test_release import make_ingredients
print(make_release(make_ingredients(Path(sys.argv[1])), Path(sys.argv[1]) / sys.argv[2], ("tar",)).files[0])
"""


def test_the_same_bytes_elsewhere_in_another_country_later(release: Release) -> None:
    folder = Path("/tmp") / f"ostiary-release-{os.getpid()}"  # noqa: S108  a path unlike the other's; removed below
    folder.mkdir()
    surroundings = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "LOGNAME": "nutzer7",
    }  # fmt: skip
    try:
        command = [sys.executable, "-c", BUILD, str(folder), "zweitbau"]
        done = subprocess.run(
            command, env=surroundings, umask=0o077, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        data = Path(done.stdout.strip()).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256(release.files[0])
        for trace in (str(folder), "zweitbau", "nutzer7", str(ROOT), str(release.folder.parent)):
            assert trace.encode() not in data
    finally:
        shutil.rmtree(folder)


def test_another_moment_or_bundle_is_another_release(tmp_path: Path, release: Release) -> None:
    ingredients = make_ingredients(tmp_path)
    later = find_origin(ingredients.origin.checkout, environment={"SOURCE_DATE_EPOCH": str(EPOCH + 2)})
    other = Ingredients(later, ARM64, ingredients.bundle, ingredients.configuration, ingredients.cache)
    assert sha256(make_release(other, tmp_path / "out", ("tar",)).files[0]) != sha256(release.files[0])


def test_one_that_fails_leaves_the_older_one_alone(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path)
    before = make_release(ingredients, tmp_path / "out", ("tar",))
    digest = sha256(before.files[0])
    damaged = ingredients.origin.checkout / ARM64.lock
    damaged.write_text(damaged.read_text() + "x==1")
    with pytest.raises(UsageError, match="x without a digest"):
        make_release(ingredients, tmp_path / "out", ("tar",))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [before.folder.name, before.files[0].name]
    assert sha256(before.files[0]) == digest


def test_what_is_no_release_is_not_written_over(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path)
    mine = tmp_path / "out" / "ostiary-0.0.1-bookworm-arm64" / "letter.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("dear")
    with pytest.raises(UsageError, match="something that is no release is there"):
        make_release(ingredients, tmp_path / "out", ())
    assert mine.read_text() == "dear"


def test_the_bundle_that_was_chosen_is_what_the_box_begins_with(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path)
    folder = Path(shutil.copytree(ingredients.bundle.folder, tmp_path / "own"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "bundle_id": "own-7"}))
    (folder / "notes.txt").write_text("not in the manifest")
    chosen = Ingredients(ingredients.origin, ARM64, load_bundle(folder), ingredients.configuration, ingredients.cache)
    made = make_release(chosen, tmp_path / "out", ())
    assert about(made)["bundle"]["id"] == "own-7"
    with zipfile.ZipFile(made.folder / "wheels/ostiary-0.0.1-py3-none-any.whl") as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("edge/data/")}
        assert json.loads(wheel.read("edge/data/default-bundle/manifest.json"))["bundle_id"] == "own-7"
    assert inside == {f"edge/data/default-bundle/{path.name}" for path in (made.folder / "bundle").iterdir()}
    assert not (made.folder / "bundle/notes.txt").exists()


def test_the_bill_of_materials(release: Release) -> None:
    bill = json.loads((release.folder / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["timestamp"]) == (
        "CycloneDX",
        "1.6",
        iso_date(EPOCH),
    )
    by_name = {it["name"]: it for it in bill["components"]}
    assert by_name["tiny"]["purl"] == "pkg:pypi/tiny@1.0"
    assert by_name["tiny"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert by_name["binary"]["hashes"][0]["content"] == sha256(next((release.folder / "wheels").glob("binary-*")))
    for file in load_bundle().manifest.files:
        component = by_name[f"{load_bundle().manifest.bundle_id}/{file.path}"]
        assert component["hashes"] == [{"alg": "SHA-256", "content": file.sha256}]
        assert ("licenses" in component) is bool(file.licence)
    needs = {it["ref"]: it["dependsOn"] for it in bill["dependencies"]}
    assert needs["pkg:pypi/tiny@1.0"] == ["pkg:pypi/binary@1.0"]
    assert {"pkg:pypi/tiny@1.0", "pkg:pypi/binary@1.0"} < set(needs["pkg:pypi/ostiary@0.0.1"])
    references = {it["bom-ref"] for it in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert set(needs) | {it for needed in needs.values() for it in needed} <= references


def test_the_bill_of_materials_is_what_cyclonedx_asks_for(tmp_path: Path) -> None:
    """By CycloneDX's own schema, for a target with packages of the distribution."""
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    ingredients = make_ingredients(tmp_path, ARMHF)
    wheel = TinyWheel(
        "tiny",
        licence="License-Expression: MIT OR Apache-2.0",
        files=(("LICENSE", b"x"), ("tiny-1.0.dist-info/sboms/own.cdx.json", b"{}")),
    )
    path = wheel.write(tmp_path / "cache" / ARMHF.label)
    lock = ingredients.origin.checkout / ARMHF.lock
    lock.write_text(re.sub(r"(tiny==1.0 \\\n\s+--hash=sha256:)\w+", rf"\g<1>{sha256(path)}", lock.read_text()))
    made = make_release(ingredients, tmp_path / "out", ())
    text = (made.folder / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "pkg:deb/debian/python3-opencv@4.6.0?arch=armhf&distro=debian-12" in text
    assert (made.folder / "sboms/tiny-1.0/own.cdx.json").read_text() == "{}"


@pytest.mark.parametrize("target", all_targets(), ids=lambda it: it.label)
def test_the_installer_of_each_target_is_a_sound_script(tmp_path: Path, target: Target) -> None:
    script = make_release(make_ingredients(tmp_path, target), tmp_path / "out", ()).folder / "install.sh"
    text = script.read_text()
    assert not re.findall(r"@[A-Z]+@", text)
    assert f'[ "$found" = {target.name} ]' in text
    assert all(package in text for package in target.distribution_packages)
    subprocess.run(["sh", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-s", "sh", str(script)], check=True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "armhf", "--debian", "trixie"], 2, "no TFLite runtime is published for armhf"),
        (["--target", "arm64", "--format", "rpm"], 2, "--format 'rpm'; expected tar, deb"),
        (["--target", "arm64", "--config", "/nowhere.yaml"], 2, "/nowhere.yaml"),
        (["--target", "arm64", "--bundle", "/nowhere"], 4, "expected the manifest of a bundle"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main(["release", *arguments, "-o", str(tmp_path / "out")]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_moment_from_the_surroundings_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "noon")
    assert main(["release", "--target", "arm64", "-o", str(tmp_path)]) == 2
    assert "SOURCE_DATE_EPOCH='noon'; expected seconds since 1970" in capsys.readouterr().err


def test_a_bundle_with_a_changed_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(load_bundle().folder, tmp_path / "bundle"))
    with (folder / "embedder.tflite").open("r+b") as handle:
        handle.write(b"x")
    assert main(["release", "--target", "arm64", "--bundle", str(folder), "-o", str(tmp_path / "out")]) == 4
    assert "SHA-256" in capsys.readouterr().err


def test_a_target_that_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["release", "--target", "mips", "-o", "x"])
    assert ended.value.code == 2
    assert "arm64" in capsys.readouterr().err


def test_a_wheel_of_another_machine_in_the_lock_is_refused(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path)
    wrong = binary(ARM64, machine="x86_64").write(tmp_path / "cache" / ARM64.label)
    lock = ingredients.origin.checkout / ARM64.lock
    lock.write_text(re.sub(r"(binary==1.0 \\\n\s+--hash=sha256:)\w+", rf"\g<1>{sha256(wrong)}", lock.read_text()))
    with pytest.raises(RejectedError, match="a library for x86_64; expected aarch64"):
        make_release(ingredients, tmp_path / "out", ("tar",))
    assert not list((tmp_path / "out").iterdir())
