"""The bundle that was installed last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge.config.settings import Settings
from edge.discovery import Box, message
from edge.discovery.newest import newest_bundle


def installed(folder: Path, name: str, text: str, *, at_s: int) -> None:
    (folder / name).mkdir(parents=True)
    manifest = folder / name / "manifest.json"
    manifest.write_text(text, encoding="utf-8")
    os.utime(manifest, (at_s, at_s))


def test_the_last_one_counts_whatever_it_is_called(tmp_path: Path) -> None:
    installed(tmp_path, "z", json.dumps({"bundle_id": "old-1"}), at_s=1000)
    installed(tmp_path, "a", json.dumps({"bundle_id": "new-2"}), at_s=2000)
    (tmp_path / "active").symlink_to("z")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert newest_bundle(tmp_path) == "new-2"
    template = message(Box(Settings(), newest_bundle="new-2"))["components"]["bundle"]["value_template"]
    assert template == "{{ {'installed_version': value_json.bundle_id, 'latest_version': 'new-2'} | tojson }}"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"bundle_id": 5}', '{"bundle_id": ""}', '{"bundle_id": "a\'}} {{ x"}', '{"bundle_id": "a\\n"}', "[" * 30_000],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_a_manifest_that_is_none_counts_as_no_news(tmp_path: Path, text: str) -> None:
    installed(tmp_path, "odd", text, at_s=1000)
    assert newest_bundle(tmp_path) is None


def test_without_a_folder_there_is_none(tmp_path: Path) -> None:
    assert newest_bundle(None) is None
    assert newest_bundle(tmp_path / "missing") is None
    assert newest_bundle(tmp_path) is None
