"""Which tensor of an artifact is which of its reference: by name, through what converters do to names, and by shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from convert.network import Array

Sizes = tuple[int | None, ...]
_PERMUTATIONS = ((0, 3, 1, 2), (0, 2, 3, 1))
"""NHWC -> NCHW and back: a tensor of four axes that is no picture was turned by a runner all the same."""


def sanitised(name: str) -> str:
    """A name as every format could hold it: `face:0` and `Face` are `face`, `conv.1` is `conv_1`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r":\d+$", "", name).lower())


def spellings(name: str) -> list[str]:
    """All that a tensor's name may stand for, the surest first.

    TFLite joins the names of fused operators by `;`, and TensorFlow puts scopes before a name (`model/conv1;model/relu1`): the
    pieces, then the pieces without one scope, without two, ... What stands behind a name (`conv1/Conv2D` of `conv1`) is left:
    it is a step on the way to that tensor, a sum without its bias for instance.
    """
    paths = [piece.split("/") for piece in name.split(";") if piece]
    deepest = max((len(path) for path in paths), default=0)
    stripped = ["/".join(path[depth:]) for depth in range(deepest) for path in paths if depth < len(path)]
    return list(dict.fromkeys(sanitised(spelling) for spelling in [name, *stripped]))


def as_reference(shape: tuple[int, ...], value: Array) -> Array | None:
    """`value` in the layout of `shape`, up to axes of length 1; None where it has other sizes."""
    if _significant(value.shape) == _significant(shape):
        return value.reshape(shape)
    if value.ndim == 4:
        for axes in _PERMUTATIONS:
            turned = value.transpose(axes)
            if _significant(turned.shape) == _significant(shape):
                return np.ascontiguousarray(turned).reshape(shape)
    return None


def _significant(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    return tuple(size for size in shape if size != 1)


def match_layers(reference: Mapping[str, Array], artifact: Mapping[str, Array]) -> dict[str, str]:
    """Reference tensor -> artifact tensor, both in order of computation; those of no like name and shape are left out.

    A fused tensor is the result of the last operator in it. Where several of the artifact's have a claim, one that has the
    whole name goes before one that has a part of it, and what is computed later before what leads to it.
    """
    order = {name: place for place, name in enumerate(reference)}
    by_spelling: dict[str, list[str]] = {}
    for name in reference:
        by_spelling.setdefault(sanitised(name), []).append(name)
    claims: dict[str, tuple[bool, int, str]] = {}
    for place, (name, value) in enumerate(artifact.items()):
        whole = {sanitised(piece) for piece in (name, *name.split(";"))}
        for is_whole in (True, False):
            candidates = [
                known
                for spelling in spellings(name)
                if (spelling in whole) == is_whole
                for known in by_spelling.get(spelling, ())
                if as_reference(reference[known].shape, value) is not None
            ]
            if candidates:
                chosen = max(candidates, key=order.__getitem__)
                claims[chosen] = max(claims.get(chosen, (False, -1, "")), (is_whole, place, name))
                break
    return {name: claims[name][2] for name in reference if name in claims}


def match_ports(
    reference: Mapping[str, Sizes], artifact: Mapping[str, Sizes], aliases: Mapping[str, str]
) -> dict[str, str]:
    """Reference's input or output -> artifact's: by name or alias, then where only one has the shape, then in order."""
    left = dict(artifact)
    matched: dict[str, str] = {}

    def take(wanted: str, found: str) -> None:
        matched[wanted] = found
        del left[found]

    for spelled in (_has_name, _has_part_of_name):
        for wanted in reference:
            found = [name for name in left if spelled(wanted, (name, aliases.get(name, name)))]
            if wanted not in matched and len(found) == 1:
                take(wanted, found[0])
    for same in (_fits, lambda *_: True):
        for wanted, shape in reference.items():
            found = [name for name, other in left.items() if wanted not in matched and same(shape, other)]
            rivals = [name for name, other in reference.items() if name not in matched and same(other, shape)]
            if found and (len(found) == len(rivals) or same is not _fits):
                take(wanted, found[0])
    return {name: matched[name] for name in reference if name in matched}


def _has_name(wanted: str, names: Sequence[str]) -> bool:
    return any(sanitised(wanted) == sanitised(name) for name in names)


def _has_part_of_name(wanted: str, names: Sequence[str]) -> bool:
    return any(sanitised(wanted) in spellings(name) for name in names)


def _fits(first: Sizes, second: Sizes) -> bool:
    """Whether two shapes can be the same: an open size fits any."""
    if len(first) == len(second):
        return all(one is None or other is None or one == other for one, other in zip(first, second, strict=True))
    return _significant(first) == _significant(second)
