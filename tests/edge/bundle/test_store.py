from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.bundle import MANIFEST_NAME
from edge.bundle.store import BundleStore
from edge.config.settings import Settings
from edge.errors import BundleError, UsageError
from edge.reader import bundle_folder


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    for name in ("one", "two", ".hidden", "no bundle"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_NAME).write_text("{}", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    return BundleStore(tmp_path)


def test_names_are_those_of_folders_with_a_manifest(store: BundleStore) -> None:
    store.activate("two")
    assert store.names() == ["one", "two"]
    assert store.folder("one") == store.path / "one"


def test_the_link_is_swapped_and_can_be_moved(store: BundleStore, tmp_path: Path) -> None:
    assert store.active() is None
    store.activate("one")
    store.activate("two")
    assert (store.path / "active").readlink() == Path("two")
    assert store.active() == (store.path / "two").resolve()
    assert sorted(entry.name for entry in store.path.iterdir() if "active" in entry.name) == ["active"]
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    store.path.rename(moved)
    assert BundleStore(moved).active() == (moved / "two").resolve()
    moved.rename(tmp_path)


@pytest.mark.parametrize("name", ["three", "empty", "file", "active", ".hidden", "no bundle", "../one", "", "one/"])
def test_what_is_not_installed_is_refused(store: BundleStore, name: str) -> None:
    store.activate("one")
    with pytest.raises(UsageError, match="expected one of one, two"):
        store.activate(name)
    assert store.active() == (store.path / "one").resolve()


def test_a_folder_in_the_place_of_the_link_stays(store: BundleStore) -> None:
    (store.path / "active" / "mine").mkdir(parents=True)
    with pytest.raises(BundleError, match="cannot be changed"):
        store.activate("one")
    assert (store.path / "active" / "mine").is_dir()
    assert not list(store.path.glob(".active-*"))


def test_no_folder_at_all(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "none")
    assert store.active() is None
    with pytest.raises(BundleError, match="expected a folder of bundles"):
        store.names()


def test_which_bundle_the_settings_mean(store: BundleStore, tmp_path: Path) -> None:
    settings = Settings(bundles=store.path)
    assert bundle_folder(Settings()) is None
    assert bundle_folder(settings) is None
    store.activate("two")
    assert bundle_folder(settings) == (tmp_path / "two").resolve()
    assert bundle_folder(dataclasses.replace(settings, bundle=tmp_path / "one")) == tmp_path / "one"


def test_a_link_to_nothing_is_no_reason_for_another_bundle(store: BundleStore) -> None:
    (store.path / "active").symlink_to("gone")
    assert bundle_folder(Settings(bundles=store.path)) == store.path.resolve() / "gone"
