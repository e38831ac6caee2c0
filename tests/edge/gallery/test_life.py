"""Whatever is done to a gallery, in whatever order and under whatever keys, it holds what a dictionary would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.gallery.archive import export_gallery, import_gallery
from edge.gallery.encryption.rekey import rekey_gallery
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.privacy.erasure import erase
from edge.gallery.store import Gallery
from tests.edge.gallery.support import close_all, faces, opened

KEYS = [bytes(range(start, start + 32)) for start in (0, 50, 100)]
NAMES = ["Ada", "Bob", "Zoë", "Grace Hopper"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)

STEPS = st.one_of(
    st.tuples(st.just("enrol"), st.sampled_from(NAMES), st.integers(1, 3), TEXT),
    st.tuples(st.just("note"), st.sampled_from(NAMES), TEXT),
    st.tuples(st.just("limit"), st.sampled_from(NAMES), st.lists(st.sampled_from(["staff", "night"]), unique=True)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("rekey"), st.sampled_from([None, 0, 1, 2])),
    st.tuples(st.just("copy")),
    st.tuples(st.just("fail"), st.sampled_from(NAMES)),
)


@dataclass
class Model:
    """Name -> number of embeddings, note, consent, groups."""

    people: dict[str, list[Any]] = field(default_factory=dict)
    key: int | None = None
    seed: int = 0

    def sealer(self, *others: int | None) -> Sealer | None:
        keys = [number for number in (self.key, *others) if number is not None]
        return Sealer([KEYS[number] for number in dict.fromkeys(keys)]) if keys else None


def check(gallery: Gallery, model: Model) -> None:
    found = {one.name: [one.embeddings, one.note, one.consent, list(one.groups)] for one in gallery.list_identities()}
    assert found == model.people
    assert len(gallery.load_index()) == sum(row[0] for row in found.values())
    assert all(len(gallery.faces(name)) == row[0] for name, row in found.items())
    assert not gallery.verify_audit().fault


def step(path: Path, model: Model, what: str, *values: Any) -> None:
    if what == "rekey":
        to = values[0]
        sealer = Model(key=to).sealer(model.key) if to is not None else model.sealer()
        if sealer is not None:
            rekey_gallery(path, sealer, to_plain=to is None)
            model.key = to
        return
    with opened(path, sealer=model.sealer()) as gallery:
        act(gallery, model, what, *values)
        check(gallery, model)


def half_done(gallery: Gallery, name: str, seed: int) -> None:
    with gallery.change():
        gallery.enrol(name, faces(1, seed))
        raise ZeroDivisionError


def act(gallery: Gallery, model: Model, what: str, *values: Any) -> None:
    known = model.people.get(values[0]) if values else None
    model.seed += 1
    if what == "enrol":
        name, count, consent = values
        gallery.enrol(name, faces(count, model.seed), consent=consent)
        model.people[name] = [
            count + (known[0] if known else 0),
            known[1] if known else "",
            consent,
            known[3] if known else [],
        ]
    elif what == "copy":
        other = gallery.path.with_name(f"{gallery.path.name}.copy")
        export_gallery(gallery, other)
        assert import_gallery(gallery, other).embeddings == 0
        other.unlink()
    elif what == "fail":
        with pytest.raises(ZeroDivisionError):
            half_done(gallery, values[0], model.seed)
    elif known is not None and what == "note":
        gallery.set_note(values[0], values[1])
        known[1] = values[1]
    elif known is not None and what == "limit":
        gallery.set_access(values[0], groups=values[1])
        known[3] = list(values[1])
    elif known is not None and what == "remove":
        del model.people[values[0]]
        gallery.remove(values[0])


@given(steps=st.lists(STEPS, min_size=1, max_size=12))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_gallery_lives_through_anything(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    path, model = tmp_path_factory.mktemp("life") / "gallery.sqlite", Model()
    opened(path).close()
    for one in steps:
        step(path, model, *one)
    with opened(path, sealer=model.sealer()) as gallery:
        check(gallery, model)
        for name in list(model.people):
            assert erase(gallery, name).is_verified
        assert not gallery.verify_audit().fault
    close_all()
