from __future__ import annotations

import numpy as np
import pytest

from convert.train.detector.distil import losses
from convert.train.detector.network import STRIDES, Maps

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def _maps(seed: int = 0, stages: float = 1.0) -> Maps:
    generator = torch.Generator().manual_seed(seed)
    heads = {stride: torch.randn((2, 16, 64 // stride, 64 // stride), generator=generator) for stride in STRIDES}
    return Maps({"stem": stages * torch.randn((2, 16, 16, 16), generator=generator)}, heads)


def _with_heads(maps: Maps, change: dict[int, float]) -> Maps:
    """`change`: channel -> what is added to it in every place."""
    heads = {stride: head.clone() for stride, head in maps.heads.items()}
    for head in heads.values():
        for channel, value in change.items():
            head[:, channel] += value
    return Maps(maps.stages, heads)


def test_nothing_to_learn_from_oneself() -> None:
    found = losses(_maps(), _maps(), hinted=True)
    values = [found.face, found.box, found.landmarks, *found.hints.values()]
    assert max(abs(value.item()) for value in values) < 1e-5


@pytest.mark.parametrize(
    ("channel", "moved"),
    [(0, "face"), (1, "face"), (2, "box"), (5, "box"), (6, "landmarks"), (15, "landmarks")],
)
def test_each_channel_counts_where_it_belongs(channel: int, moved: str) -> None:
    found = losses(_with_heads(_maps(), {channel: 0.4}), _maps(), hinted=False)
    assert {name for name in ("face", "box", "landmarks") if getattr(found, name).item() > 1e-4} == {moved}


def test_the_teachers_answer_is_the_best_one() -> None:
    theirs = _maps()
    mine = Maps({name: value.clone().requires_grad_() for name, value in theirs.stages.items()},
                {stride: head.clone().requires_grad_() for stride, head in theirs.heads.items()})  # fmt: skip
    found = losses(mine, theirs, hinted=True)
    (found.face + found.box + found.landmarks + sum(found.hints.values())).backward()
    gradients = [value.grad for value in (*mine.heads.values(), *mine.stages.values())]
    assert max(gradient.abs().max().item() for gradient in gradients if gradient is not None) < 1e-5


@pytest.mark.parametrize("channel", [2, 6])
def test_a_place_is_missed_in_face_widths(channel: int) -> None:
    plain = _with_heads(_maps(), {})
    for head in plain.heads.values():
        head[:, :2], head[:, 4:6] = 20.0, 0.0
    large = _with_heads(plain, {4: np.log(4.0), 5: np.log(4.0)})
    near = losses(_with_heads(plain, {channel: 0.1}), plain, hinted=False)
    far = losses(_with_heads(large, {channel: 0.4}), large, hinted=False)
    name = "box" if channel < 6 else "landmarks"
    assert getattr(near, name).item() == pytest.approx(getattr(far, name).item(), rel=1e-4)
    # Of 4 or 10 values one is wrong by 0.1, and beyond 0.02 the loss is the distance less half of that. Faces are everywhere.
    values = 4 if channel < 6 else 10
    share = np.mean([places / (places + 4) for places in (128, 32, 8)])
    assert getattr(near, name).item() == pytest.approx(0.09 / values * share, rel=1e-3)


def test_one_large_face_counts_as_much_as_many_small_ones() -> None:
    plain = _with_heads(_maps(), {0: -30.0, 1: -30.0})
    for head in plain.heads.values():
        head[:, 4:6] = 0.0
    plain.heads[8][:, :2] = 20.0
    plain.heads[32][0, :2, 0, 0] = 20.0
    small, large = _with_heads(plain, {}), _with_heads(plain, {})
    small.heads[8][:, 2] += 0.1
    large.heads[32][:, 2] += 0.1
    many, one = (losses(maps, plain, hinted=False).box.item() for maps in (small, large))
    # 128 / (128 + 4) and 1 / (1 + 4).
    assert one / many == pytest.approx((1 / 5) / (128 / 132), rel=1e-3)


def test_where_there_is_no_face_places_do_not_count() -> None:
    theirs = _with_heads(_maps(), {0: -30.0, 1: -30.0})
    found = losses(_with_heads(theirs, {2: 5.0, 9: 5.0}), theirs, hinted=False)
    assert found.box.item() < 1e-6
    assert found.landmarks.item() < 1e-6


def test_hints_are_the_share_that_is_not_explained() -> None:
    theirs = _maps()
    values = theirs.stages["stem"]
    mine = Maps({"stem": values.mean((0, 2, 3), keepdim=True).expand_as(values)}, theirs.heads)
    variance = values.numpy().var((0, 2, 3), ddof=1)
    expected = (values.numpy().var((0, 2, 3)) / (variance + 0.2 * variance.mean())).mean()
    assert losses(mine, theirs, hinted=True).hints["stem"].item() == pytest.approx(expected, rel=1e-3)
    assert losses(mine, theirs, hinted=False).hints == {}
