"""What `ostiary bench` measures is measured, and is what it says. How long it takes is no business of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench import clip, gallery, stages, start
from edge.bench.plain import PlainLoop
from edge.bench.timing import Spread, timed
from edge.config.settings import Settings
from edge.datatypes import Image
from edge.demo.clip import Visit, write_clip
from edge.errors import OstiaryError, UsageError
from edge.reader import load_models
from tests.support.bundles import SSD, make_bundle
from tests.support.data import test_data


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, hopper: Image) -> Path:
    path = tmp_path_factory.mktemp("bench") / "visit.avi"
    write_clip(path, [Visit(hopper, frames=20)])
    return path


def test_a_spread_is_the_percentiles_of_its_values() -> None:
    assert Spread.of([float(value) for value in range(101)]) == Spread(50.0, 95.0, 101)
    with pytest.raises(ValueError, match="nothing was timed"):
        Spread.of([])


def test_timed_does_not_count_the_warm_up() -> None:
    calls: list[int] = []
    assert timed(lambda: calls.append(1), repeat=4, warm_up=2).count == 4
    assert len(calls) == 6


def test_every_stage_is_timed(hopper: Image) -> None:
    rows = stages.measure(load_models(Settings()), hopper, repeat=2)
    assert list(rows) == ["detect", "align", "quality", "embed"]
    assert all(0 < row.p50_ms <= row.p95_ms for row in rows.values())
    assert stages.put_into_frame(hopper).shape == (480, 640, 3)


def test_a_picture_without_a_face_cannot_be_measured_with(hopper: Image) -> None:
    with pytest.raises(OstiaryError, match="no face found"):
        stages.measure(load_models(Settings()), hopper[:40, :40])


def test_the_gallery_is_searched_at_every_size() -> None:
    rows = gallery.measure(length=16, sizes=(40, 400), repeat=3)
    assert list(rows) == [40, 400]
    assert all(row.count == 3 and row.p50_ms > 0 for row in rows.values())


def test_both_loops_see_the_same_frames_and_name_the_same_person(visit: Path) -> None:
    # A visit of little more than a second: every frame may teach.
    (row,) = clip.measure(visit, Settings(), plain_bundle=None, rounds=1)
    assert row.frames == 15 + 20 + 15 - 1, "the frame of the enrolment takes part in neither"
    assert row.plain_people == row.pipeline_people == ["person 1"]
    assert row.enrolled == 1
    assert row.disputed == []
    assert 0 < row.embeddings < row.plain_faces
    assert row.ratio == pytest.approx(row.pipeline_ms / row.plain_ms, rel=0.9)
    assert {"detect", "align", "embed", "match", "decide"} <= set(row.stages_ms)


def test_a_clip_without_people_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "empty.avi", [])
    with pytest.raises(OstiaryError, match="no face in any frame"):
        clip.measure(tmp_path / "empty.avi", Settings(), plain_bundle=None, rounds=1)


def test_the_plain_loop_disputes_a_name_at_another_place(hopper: Image) -> None:
    plain = PlainLoop(Settings(), None)
    (found,) = plain.enrollable(hopper, 0.3)
    plain.enrol(clip.index_of(plain.embedder, hopper, [found]))
    plain.take(hopper)
    assert plain.would_say(found.box, "person 1")
    assert not plain.would_say(found.box, "person 2")
    assert not plain.would_say(found.box.shifted(found.box.width, 0), "person 1")


def test_the_plain_loop_wants_yunet(tmp_path: Path) -> None:
    model = test_data("models", "ultralight", "version-RFB-320.onnx")
    folder = make_bundle(tmp_path / "ssd", detector_file=model, detector=SSD)
    with pytest.raises(UsageError, match="detector is ssd; expected yunet"):
        PlainLoop(Settings(), folder)


def test_the_daemon_starts_and_its_memory_is_seen(visit: Path) -> None:
    one = start.measure(clip=visit)
    assert one.ready_s > 0
    assert 30e6 < one.rss_bytes <= one.peak_rss_bytes


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(OstiaryError, match="the daemon did not run"):
        start.measure(bundle=tmp_path)
