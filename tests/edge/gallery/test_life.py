"""Whatever is done to a gallery, in whatever order, under whatever keys and with either of two embedders, it holds what a
dictionary would.
"""

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
from edge.gallery.pruning import prune_from
from edge.gallery.records import EnrolledFace
from edge.gallery.reembedding import apply_to
from edge.gallery.store import Gallery
from edge.reader import Models
from tests.edge.gallery.networks import FIRST, SECOND, Network, enrolled, images, models_of, settings_of
from tests.edge.gallery.support import close_all, opened

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
    st.tuples(st.just("switch"), st.sampled_from([0, 1])),
    st.tuples(st.just("embed")),
    st.tuples(st.just("prune")),
)
NETWORKS = (Network(FIRST), Network(SECOND, length=24))
MODELS: list[Models] = []
"""Of these, made once."""


@dataclass
class Person:
    """As the gallery should have it."""

    note: str = ""
    consent: str = ""
    groups: list[str] = field(default_factory=list)
    enrolments: list[set[int]] = field(default_factory=list)
    """Of each, which networks it has an embedding of."""


@dataclass
class Model:
    """Everybody by name, the key, and which embedder is in use."""

    people: dict[str, Person] = field(default_factory=dict)
    key: int | None = None
    seed: int = 0
    used: int = 0
    known: set[int] = field(default_factory=lambda: {0})
    """Networks that the gallery knows."""

    def sealer(self, *others: int | None) -> Sealer | None:
        keys = [number for number in (self.key, *others) if number is not None]
        return Sealer([KEYS[number] for number in dict.fromkeys(keys)]) if keys else None

    def open(self, path: Path) -> Gallery:
        network = NETWORKS[self.used]
        return opened(path, embedder_id=network.embedder_id, embedding_length=network.length, sealer=self.sealer())


def check(gallery: Gallery, model: Model) -> None:
    found = {
        one.name: (one.embeddings, one.enrolments, one.stored, one.note, one.consent, list(one.groups))
        for one in gallery.list_identities()
    }
    assert found == {
        name: (
            sum(model.used in networks for networks in one.enrolments), len(one.enrolments),
            sum(map(len, one.enrolments)), one.note, one.consent, one.groups,
        )
        for name, one in model.people.items()
    }  # fmt: skip
    index = gallery.load_index()
    assert (len(index), index.refused_rows) == (sum(row[0] for row in found.values()), 0)
    assert index.lacking == sum(row[1] > 0 == row[0] for row in found.values())
    for name, one in model.people.items():
        faces = gallery.faces(name)
        ids = [{embedding.embedder_id for embedding in face.embeddings} for face in faces]
        assert ids == [{NETWORKS[number].embedder_id for number in networks} for networks in one.enrolments]
    assert {one.embedder_id for one in gallery.embedders()} == {NETWORKS[number].embedder_id for number in model.known}
    assert not gallery.verify_audit().fault


def step(path: Path, model: Model, what: str, *values: Any) -> None:
    if what == "rekey":
        to = values[0]
        sealer = Model(key=to).sealer(model.key) if to is not None else model.sealer()
        if sealer is not None:
            rekey_gallery(path, sealer, to_plain=to is None)
            model.key = to
        return
    if what == "switch":
        # A gallery with people serves no embedder that it does not know.
        if values[0] in model.known or not any(one.enrolments for one in model.people.values()):
            model.used = values[0]
        return
    with model.open(path) as gallery:
        act(gallery, model, what, *values)
        check(gallery, model)


def made(model: Model, count: int) -> list[EnrolledFace]:
    return enrolled(NETWORKS[model.used], images(count, model.seed))


def half_done(gallery: Gallery, model: Model, name: str) -> None:
    with gallery.change():
        gallery.enrol(name, made(model, 1))
        raise ZeroDivisionError


def embed_for_the_other(gallery: Gallery, model: Model) -> None:
    """Faces are kept of everybody."""
    other = 1 - model.used
    missing = [one for person in model.people.values() for one in person.enrolments if other not in one]
    done = apply_to(gallery, settings_of(gallery.path), MODELS[other])
    assert (done.embeddings, done.left_out) == (len(missing), ())
    if missing:
        model.known.add(other)
    for one in missing:
        one.add(other)


def prune_the_other(gallery: Gallery, model: Model) -> None:
    other = 1 - model.used
    both = [one for person in model.people.values() for one in person.enrolments if one == {0, 1}]
    alone = [one for person in model.people.values() for one in person.enrolments if one == {other}]
    is_needed = model.used in model.known
    done = prune_from(gallery, {NETWORKS[model.used].embedder_id})
    assert sum(done.removed.values()) == len(both) * is_needed
    if is_needed:
        for one in both:
            one.remove(other)
        if not alone:
            model.known.discard(other)


def act(gallery: Gallery, model: Model, what: str, *values: Any) -> None:
    known = model.people.get(values[0]) if values else None
    model.seed += 1
    if what == "enrol":
        name, count, consent = values
        gallery.enrol(name, made(model, count), consent=consent)
        person = model.people.setdefault(name, Person())
        person.enrolments += [{model.used} for _ in range(count)]
        person.consent = consent
        model.known.add(model.used)
    elif what == "copy":
        copied(gallery)
    elif what == "fail":
        with pytest.raises(ZeroDivisionError):
            half_done(gallery, model, values[0])
    elif what == "embed":
        embed_for_the_other(gallery, model)
    elif what == "prune":
        prune_the_other(gallery, model)
    elif known is not None and what == "note":
        gallery.set_note(values[0], values[1])
        known.note = values[1]
    elif known is not None and what == "limit":
        gallery.set_access(values[0], groups=values[1])
        known.groups = list(values[1])
    elif known is not None and what == "remove":
        del model.people[values[0]]
        gallery.remove(values[0])


def copied(gallery: Gallery) -> None:
    """An export has everything, and brings nothing that is here already."""
    other = gallery.path.with_name(f"{gallery.path.name}.copy")
    export_gallery(gallery, other)
    if gallery.embedder_id in {one.embedder_id for one in gallery.embedders()}:
        assert import_gallery(gallery, other).embeddings == 0
    other.unlink()


@given(steps=st.lists(STEPS, min_size=1, max_size=12))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_gallery_lives_through_anything(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    if not MODELS:
        MODELS.extend(models_of(tmp_path_factory.mktemp("bundles"), network) for network in NETWORKS)
    path, model = tmp_path_factory.mktemp("life") / "gallery.sqlite", Model()
    opened(path).close()
    for one in steps:
        step(path, model, *one)
    with model.open(path) as gallery:
        check(gallery, model)
        for name in list(model.people):
            assert erase(gallery, name).is_verified
        assert not gallery.verify_audit().fault
    close_all()
