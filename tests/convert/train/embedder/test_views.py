"""What a student sees: always the same for the same seed, always pixels, never twice alike."""

from __future__ import annotations

import numpy as np
import pytest

from convert.train.embedder.batches import Batches
from convert.train.embedder.faces import Faces, collect, load, save, with_rim
from convert.train.embedder.views import RIM_PX, inner_part, views
from edge.align import TEMPLATES, AlignmentTemplate
from edge.errors import ModelError, UsageError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

FACES = np.random.default_rng(0).integers(0, 256, (12, 144, 144, 3), dtype=np.uint8)


def test_the_same_chance_gives_the_same_views() -> None:
    first, again, other = (views(FACES, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("seed", range(6))
def test_views_are_pixels(seed: int) -> None:
    seen = views(FACES, np.random.default_rng(seed))
    assert seen.shape == (12, 3, 112, 112)
    assert seen.dtype == torch.float32
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 255


def test_a_view_shows_the_face_in_the_middle() -> None:
    """A bright square in the middle of a dark picture stays there, whatever is done to it."""
    picture = np.full((40, 144, 144, 3), 40, np.uint8)
    picture[:, 52:92, 52:92] = 200
    seen = views(picture, np.random.default_rng(3)).mean(1)
    middle, corner = seen[:, 46:66, 46:66].mean((1, 2)), seen[:, :20, :20].mean((1, 2))
    assert float((middle > corner).float().mean()) > 0.95


def test_every_face_is_seen_once_an_epoch() -> None:
    numbered = np.zeros((10, 1, 1, 3), np.uint8)
    numbered[:, 0, 0, 0] = np.arange(10)
    batches = Batches(numbered, 4, seed=1)
    seen = np.concatenate([batches.batch(number)[:, 0, 0, 0] for number in range(5)])
    assert sorted(seen) == sorted(2 * list(range(10)))
    assert np.array_equal(batches.batch(3), Batches(numbered, 4, seed=1).batch(3))


def test_the_inner_part_is_what_alignment_gives() -> None:
    template = with_rim(TEMPLATES["arcface-112x112"])
    assert (template.width, template.height) == (144, 144)
    assert inner_part(FACES).shape == (12, 112, 112, 3)
    assert template.points is not None
    assert template.points[0] == pytest.approx((38.2946 + RIM_PX, 51.6963 + RIM_PX))


def test_a_template_without_landmarks_has_no_rim() -> None:
    with pytest.raises(ModelError, match="landmarks"):
        with_rim(AlignmentTemplate("box", 112, 112))


def test_faces_come_back_from_their_files(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    assert load(folder) is None
    names = tuple(f"Person_{number // 2}/Person_{number // 2}_{number % 2 + 1:04d}.jpg" for number in range(12))
    save(Faces(FACES, names), folder)
    found = load(folder)
    assert found is not None
    assert np.array_equal(found.pictures, FACES)
    # Person_0 is held out, with both pictures.
    assert len(found.held_out()) == 2
    assert len(found.taught()) == 10
    (folder / "faces.npy").write_bytes((folder / "faces.npy").read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        load(folder)


def test_a_list_of_other_length_is_refused(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    save(Faces(FACES, ("A/A_0001.jpg",) * 12), folder)
    (folder / "faces.txt").write_text("A/A_0001.jpg\n")
    with pytest.raises(ModelError, match="for 1 names"):
        load(folder)


class OnePerson:
    """A store with too few people."""

    label = "one.tar"
    names = ("A/A_0001.jpg",)

    def read(self, _: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.zeros((80, 80, 3), np.uint8)


class Blind:
    """A detector that finds nothing."""

    def detect(self, _: object) -> list[object]:
        return []


def test_too_few_people_are_refused() -> None:
    with pytest.raises(UsageError, match="faces of 0 people"):
        collect(OnePerson(), frozenset({"A"}), Blind(), "arcface-112x112")  # type: ignore[arg-type]
