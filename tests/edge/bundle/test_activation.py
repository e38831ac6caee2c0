"""Activation: everything that is looked at before the link is turned, and that nothing has changed when it does not pass."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle import Bundle, default_bundle_folder, load_bundle
from edge.bundle.activation import Activation, Switched, roll_back
from edge.bundle.install import install
from edge.bundle.selftest import Report
from edge.bundle.slots import Slots
from edge.bundle.store import BundleStore
from edge.config.settings import Device, Settings, Updates
from edge.errors import BundleError, GalleryError, UsageError
from edge.gallery import open_any_gallery, open_gallery
from edge.gallery.records import EnrolledFace
from edge.interpreter import installed_runtimes
from edge.reader import load_models
from tests.support.bundles import make_bundle
from tests.support.fakes import EMBEDDER_ID, embedding
from tests.support.mosquitto import wait_for
from tests.support.repositories import Owner, tiny_bundle

PASSED = Report(10.0, 0.9, 0.1)


class Passed:
    """A self-test that takes two looks."""

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self.looks = 0

    def poll(self) -> Report | None:
        self.looks += 1
        return PASSED if self.looks > 2 else None

    def wait(self) -> Report:
        return PASSED

    def close(self) -> None:
        pass


class Failed(Passed):
    def wait(self) -> Report:
        raise BundleError("self-test: finds 0 faces")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Settings]:
    """`one` is active, `two` is installed."""
    for name in ("one", "two"):
        make_bundle(
            tmp_path / "bundles" / name, detector_file=Path(__file__), overrides={"bundle_id": f"bundle-{name}"}
        )
    BundleStore(tmp_path / "bundles").activate("one")
    yield Settings(bundles=tmp_path / "bundles", gallery=tmp_path / "gallery.sqlite")
    assert [
        path.name for path in (tmp_path / "bundles").iterdir() if path.name in {".active.new", ".trial.json.new"}
    ] == []


def standing(settings: Settings) -> tuple[str | None, str]:
    assert settings.bundles is not None
    now = Slots(BundleStore(settings.bundles)).standing()
    return now.active, now.state


def test_step_by_step(box: Settings) -> None:
    activation = Activation(box, "two", start_test=Passed)
    assert activation.poll() is None
    assert standing(box) == ("one", "confirmed")
    seen: list[Switched | None] = []
    wait_for(lambda: seen.append(activation.poll()) or seen[-1] is not None, "the gallery's part")
    assert seen[-1] == Switched("two", "bundle-two", "one", PASSED)
    assert standing(box) == ("two", "trial")


def test_what_is_in_use_is_left(box: Settings) -> None:
    assert Activation(box, "one", start_test=Failed).wait() == Switched("one", "bundle-one", None, None)
    assert standing(box) == ("one", "confirmed")


def test_a_failed_self_test_changes_nothing(box: Settings) -> None:
    with pytest.raises(BundleError, match="finds 0 faces"):
        Activation(box, "two", start_test=Failed).wait()
    assert standing(box) == ("one", "confirmed")


def test_a_damaged_bundle_is_not_even_tested(box: Settings, tmp_path: Path) -> None:
    (tmp_path / "bundles" / "two" / "embedder.tflite").write_bytes(b"lost!")
    with pytest.raises(BundleError, match="5 bytes"):
        Activation(box, "two", start_test=Failed)
    with pytest.raises(UsageError, match="no bundle 'three'"):
        Activation(box, "three", start_test=Failed)


@pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime")
def test_people_of_another_embedder_are_embedded_again_or_nothing_is_switched(box: Settings, tmp_path: Path) -> None:
    shutil.copytree(default_bundle_folder(), tmp_path / "bundles" / "three")
    assert box.gallery is not None
    png = cv2.imencode(".png", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()
    kept = EnrolledFace(embedding(1, 0, 0), 0.9, "", png, "arcface-112x112")
    with open_gallery(box.gallery, embedder_id=EMBEDDER_ID, embedding_length=3) as gallery:
        gallery.enrol("Ada", [kept])
    with pytest.raises(GalleryError, match="1 of 1 people have no embedding of"):
        Activation(box, "three", start_test=Passed).wait()
    assert standing(box) == ("one", "confirmed")
    allowed = dataclasses.replace(box, updates=Updates(re_embed=True))
    Activation(allowed, "three", start_test=Passed).wait()
    assert standing(box) == ("three", "trial")
    with open_any_gallery(box.gallery) as gallery:
        assert [one.embedder_id for one in gallery.embedders()] == [
            EMBEDDER_ID,
            load_bundle().manifest.embedder.embedder_id,
        ]


def test_back_by_hand(box: Settings, tmp_path: Path) -> None:
    Activation(box, "two", start_test=Passed).wait()
    (tmp_path / "bundles" / "one" / "embedder.tflite").write_bytes(b"lost!")
    with pytest.raises(BundleError, match="5 bytes"):
        roll_back(box)
    (tmp_path / "bundles" / "one" / "embedder.tflite").write_bytes(b"none")
    assert roll_back(box).active == "one"
    with pytest.raises(UsageError, match="not set up to switch"):
        roll_back(Settings())


def signed_box(tmp_path: Path, owner: Owner, box: Settings) -> Settings:
    owner.publish(tmp_path / "repository")
    trust = owner.trust(tmp_path / "trust") if not (tmp_path / "trust").exists() else tmp_path / "trust"
    updates = Updates(trust=trust, source=str(tmp_path / "repository"))
    return dataclasses.replace(box, device=Device(name="front"), updates=updates)


def test_only_what_is_signed_and_not_older(tmp_path: Path, box: Settings) -> None:
    owner = Owner()
    for version in (1, 2):
        owner.add(tiny_bundle(tmp_path / "made" / f"door-{version}", f"door-{version}"), version=version)
    box = signed_box(tmp_path, owner, box)
    for name in ("door-2", "door-1"):
        install(box, name=name)
    with pytest.raises(BundleError):
        Activation(box, "two", start_test=Passed)
    Activation(box, "door-2", start_test=Passed).wait()
    with pytest.raises(BundleError, match="older than what is in use: version 1; expected at least 2"):
        Activation(box, "door-1", start_test=Passed)
    Activation(box, "door-1", allow_older=True, start_test=Passed).wait()
    assert standing(box) == ("door-1", "trial")
    # `one`, to which it would go back, is not signed.
    with pytest.raises(BundleError):
        roll_back(box)


def test_what_was_withdrawn_runs_no_more(tmp_path: Path, box: Settings) -> None:
    owner = Owner()
    for version in (1, 2):
        owner.add(tiny_bundle(tmp_path / "made" / f"door-{version}", f"door-{version}"), version=version)
    box = signed_box(tmp_path, owner, box)
    install(box, name="door-1")
    Activation(box, "door-1", start_test=Passed).wait()
    owner.withdraw("door-1", "broken")
    box = signed_box(tmp_path, owner, box)
    install(box, name="door-2")
    with pytest.raises(BundleError, match=r"withdrawn|taken back"):
        load_models(box)
