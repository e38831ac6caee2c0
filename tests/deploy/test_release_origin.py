"""Where a release comes from: the checkout, its commit and moment, and the project's own wheel."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from deploy.release.dates import iso_date, zip_date
from deploy.release.origin import find_origin
from deploy.release.project import build_project
from deploy.release.target import target_named
from edge.bundle import load_bundle
from edge.errors import UsageError
from tests.support.data import ROOT
from tests.support.wheels import EPOCH, tiny_checkout

pytestmark = pytest.mark.once
DATED = {"SOURCE_DATE_EPOCH": str(EPOCH)}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return tiny_checkout(tmp_path / "checkout", target_named("arm64", "bookworm"))


def test_the_projects_wheel_says_what_setuptools_says(tmp_path: Path) -> None:
    """Of the real checkout, beside the metadata that setuptools wrote for this environment."""
    path = build_project(find_origin(ROOT, environment=DATED), tmp_path, load_bundle())
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        ours = HeaderParser().parsestr(wheel.read(next(it for it in names if it.endswith("/METADATA"))).decode())
        points = wheel.read(next(it for it in names if it.endswith("/entry_points.txt"))).decode()
        record = wheel.read(names[-1]).decode().splitlines()
        digests = {
            name: base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode()
            for name in names
        }
        dates = {it.date_time for it in wheel.infolist()}
    theirs = importlib.metadata.metadata("ostiary")
    for field in ("Name", "Version", "Summary", "License-Expression", "Keywords", "License-File"):
        assert ours[field] == theirs[field]
    assert SpecifierSet(ours["Requires-Python"]) == SpecifierSet(theirs["Requires-Python"])
    assert ours.get_all("Classifier") == theirs.get_all("Classifier")
    extras = set(ours.get_all("Provides-Extra", []))
    assert extras == {"litert", "tflite-runtime", "cli", "secure", "updates", "metrics"}
    assert requirements(ours.get_all("Requires-Dist", [])) == {
        it
        for it in requirements(theirs.get_all("Requires-Dist") or [])
        if "extra" not in it or extras & set(re.findall(r'extra == "([\w-]+)"', it))
    }
    assert points == "[console_scripts]\nostiary = edge.cli:main\n"
    assert {name.partition("/")[0] for name in names} == {"edge", "ostiary-" + ours["Version"] + ".dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".swp"))]
    assert record == [f"{name},sha256={digests[name]},{size}" for name, size in sizes(path)] + [f"{names[-1]},,"]
    assert dates == {zip_date(EPOCH)}


def requirements(texts: list[Any]) -> set[str]:
    return {str(Requirement(str(text))).replace("(", "").replace(")", "") for text in texts}


def sizes(path: Path) -> list[tuple[str, int]]:
    with zipfile.ZipFile(path) as wheel:
        return sorted((it.filename, it.file_size) for it in wheel.infolist()[:-1])


def test_the_projects_wheel_runs_after_pip_has_installed_it(tmp_path: Path) -> None:
    path = build_project(find_origin(ROOT, environment=DATED), tmp_path, load_bundle())
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(tmp_path / "lib"),
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    shown = subprocess.run(
        [sys.executable, "-c", "import edge.cli, sys; print(edge.__file__); sys.exit(edge.cli.main(['--version']))"],
        cwd="/", env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "lib")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stdout.startswith(f"{tmp_path}/lib/edge/__init__.py\nostiary "), shown.stderr


@pytest.mark.parametrize(
    "text",
    ["yesterday", "-1", "1.5", "0", "315532799", "4102444800", "99999999999999999999", "²", "1700000000 ", "0x10"],
)
def test_a_moment_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        find_origin(ROOT, environment={"SOURCE_DATE_EPOCH": text})


def test_moments_are_utc() -> None:
    assert (iso_date(EPOCH), zip_date(EPOCH)) == ("2023-11-14T22:13:20Z", (2023, 11, 14, 22, 13, 20))


def git(folder: Path, *arguments: str) -> str:
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    when = {"GIT_AUTHOR_DATE": "1690000000 +0000", "GIT_COMMITTER_DATE": "1690000001 +0000"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **who, **when}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_date_is_the_commits_and_the_commit_is_named_when_nothing_differs(checkout: Path) -> None:
    with pytest.raises(UsageError, match="no commit to take the date from"):
        find_origin(checkout, environment={})
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "first")
    origin = find_origin(checkout, environment={})
    assert (origin.epoch, origin.commit) == (1_690_000_001, git(checkout, "rev-parse", "HEAD"))
    assert find_origin(checkout, environment=DATED).epoch == EPOCH
    (checkout / "edge" / "more.py").write_text("")
    assert find_origin(checkout, environment={}).commit is None


@pytest.mark.parametrize("missing", ["pyproject.toml", "systemd", "requirements", "LICENSE"])
def test_what_is_no_checkout(tmp_path: Path, checkout: Path, missing: str) -> None:
    (checkout / missing).rename(tmp_path / "away")
    with pytest.raises(UsageError, match="expected a checkout of ostiary") as refused:
        find_origin(checkout, environment=DATED)
    assert missing in str(refused.value)


def test_a_checkout_of_something_else(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n')
    with pytest.raises(UsageError, match="another project"):
        find_origin(checkout, environment=DATED)
    (checkout / "pyproject.toml").write_text("[project")
    with pytest.raises(UsageError, match="cannot be read"):
        find_origin(checkout, environment=DATED)
