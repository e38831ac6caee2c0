"""A gallery and two real bundles: the default one, and one with another network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edge.bundle import load_bundle
from edge.gallery import open_gallery
from edge.gallery.synced import Synced
from tests.edge.cli.conftest import Command
from tests.support.bundles import make_bundle
from tests.support.data import astronaut, grace_hopper
from tests.support.tiny import MODELS, spec_of

OTHER = "tiny-1"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The default detector with a network of four values."""
    bundle = load_bundle()
    spec = dataclasses.asdict(spec_of("embedder.tflite"))
    return make_bundle(
        tmp_path / "other",
        detector_file=bundle.path(bundle.manifest.detector.artifacts["model"]),
        embedder_file=MODELS / "float32.tflite",
        overrides={"bundle_id": "other-1", "embedder": spec},
    )


@pytest.fixture
def box(home: Path, ostiary: Command) -> Path:
    """Two people with their aligned faces, one without; gives the configuration."""
    config = home / "ostiary.yaml"
    text = f"gallery: {home / 'gallery.sqlite'}\nupdates: {{re_embed: true}}\nenrol: {{keep_aligned: true}}\n"
    # Of two people a network of four values makes nearly the same.
    text += "decide: {margin: 0.0}\n"
    config.write_text(text)
    for name, path in (("Grace", grace_hopper()), ("Eileen", astronaut())):
        assert ostiary("enroll", "--config", config, "--name", name, path).code == 0
    return config


def seen(ostiary: Command, config: Path, *options: object) -> list[str | None]:
    result = ostiary("identify", "--json", "--config", config, *options, grace_hopper(), astronaut())
    faces = [face for row in result.rows for face in row["faces"]]
    assert all(face["similarity"] > 0.999 for face in faces)
    return [face["identity"] and face["identity"]["name"] for face in faces]


def test_everybody_is_embedded_again_from_kept_faces_and_the_way_back_is_open(
    ostiary: Command, box: Path, other: Path
) -> None:
    refused = ostiary("identify", "--config", box, "--bundle", other, grace_hopper())
    assert (refused.code, "re-embed --bundle" in refused.err) == (4, True)
    [tried] = ostiary("gallery", "re-embed", "--config", box, "--bundle", other, "--dry-run", "--json").rows
    assert (tried["required"], tried["allowed"], tried["faces"], len(tried["people"])) == (True, True, 2, 2)
    assert (
        "2 faces of 2 would be embedded for tiny-1"
        in ostiary("gallery", "re-embed", "--config", box, "--bundle", other, "--dry-run").out
    )
    done = ostiary("gallery", "re-embed", "--config", box, "--bundle", other)
    assert (done.code, done.out) == (0, "2 embeddings of tiny-1 made, of 2 identities\n")
    assert seen(ostiary, box, "--bundle", other) == ["Grace", "Eileen"]
    assert seen(ostiary, box) == ["Grace", "Eileen"]
    listed = ostiary("gallery", "list", "--config", box, "--bundle", other).out.splitlines()
    assert listed[0].endswith(f"2 identities, embedder tiny-1 (and of {load_bundle().manifest.embedder.embedder_id})")
    assert ostiary("gallery", "re-embed", "--config", box, "--bundle", other).out.startswith("0 embeddings")


def test_who_was_enrolled_with_one_bundle_alone_is_named(ostiary: Command, box: Path, other: Path, home: Path) -> None:
    ostiary("gallery", "re-embed", "--config", box, "--bundle", other)
    box.write_text(box.read_text().replace("keep_aligned: true", "keep_aligned: false"))
    assert ostiary("enroll", "--config", box, "--bundle", other, "--name", "New", astronaut()).code == 0
    assert "NOT RECOGNIZED" not in ostiary("gallery", "list", "--config", box, "--bundle", other).out
    listed = ostiary("gallery", "list", "--config", box).out
    assert [line.split()[1] for line in listed.splitlines() if "NOT RECOGNIZED: no embedding of this" in line] == [
        "New"
    ]
    row = {row["name"]: row for row in ostiary("gallery", "list", "--json", "--config", box).rows}["New"]
    assert (row["embeddings"], row["enrolments"], row["stored"], row["matched"]) == (0, 1, 1, False)
    checked = {row["what"]: row for row in ostiary("check", "--json", "--config", box).rows}["gallery"]
    assert "1 person NOT RECOGNIZED for want of an embedding" in checked["says"]
    assert checked["exit_code"] == 0
    lost = ostiary("gallery", "re-embed", "--config", box)
    assert (lost.code, "would not be recognized any more (New): no aligned face was kept" in lost.err) == (4, True)
    left = ostiary("gallery", "re-embed", "--config", box, "--leave-out").out
    assert left.splitlines()[1].endswith("New: no aligned face was kept (enrol.keep_aligned)")
    assert "WOULD NOT BE RECOGNIZED" in ostiary("gallery", "re-embed", "--config", box, "--dry-run").out


def test_prune_keeps_what_the_bundle_in_use_needs(ostiary: Command, box: Path, other: Path) -> None:
    ostiary("gallery", "re-embed", "--config", box, "--bundle", other)
    would = ostiary("gallery", "prune", "--config", box, "--dry-run").out
    assert would == "would be erased: 2 embeddings of tiny-1\n"
    [row] = ostiary("gallery", "prune", "--config", box, "--json").rows
    assert (row["removed"], row["left"], row["scrubbed"]) == ({OTHER: 2}, {}, True)
    assert ostiary("gallery", "prune", "--config", box).out.startswith("nothing to erase")
    assert seen(ostiary, box) == ["Grace", "Eileen"]
    assert ostiary("identify", "--config", box, "--bundle", other, grace_hopper()).code == 4


def test_without_leave_it_is_refused(ostiary: Command, box: Path, other: Path) -> None:
    box.write_text(box.read_text().replace("re_embed: true", "re_embed: false"))
    assert "does not allow it" in ostiary("gallery", "re-embed", "--config", box, "--bundle", other, "--dry-run").out
    result = ostiary("gallery", "re-embed", "--config", box, "--bundle", other)
    assert (result.code, "updates.re_embed: true" in result.err) == (4, True)


def test_somebody_of_a_group_is_listed_erased_and_readmitted(ostiary: Command, box: Path, home: Path) -> None:
    spec = load_bundle().manifest.embedder
    options = {"embedder_id": spec.embedder_id, "embedding_length": spec.embedding_length}
    with open_gallery(home / "gallery.sqlite", **options) as gallery:
        record = dataclasses.replace(gallery.get("Grace"), origin="staff")
        faces = gallery.faces("Grace")
        gallery.remove("Grace")
        with gallery.change() as connection:
            gallery.identities.insert(connection, record)
            gallery.embeddings.insert(connection, record.id, faces, 1.0)
            gallery.synced.put(connection, Synced("staff", record.id, 3, "published"))
    assert "(of group staff)" in ostiary("gallery", "list", "--config", box).out
    result = ostiary("gallery", "set", "--config", box, "Grace", "--disable")
    assert (result.code, "published by the group 'staff'" in result.err) == (2, True)
    assert f"gallery readmit {record.id}" in ostiary("gallery", "remove", "--config", box, "-y", "Grace").out
    assert ostiary("gallery", "list", "--config", box, "--refused").out == f"  {record.id}  group staff\n"
    assert json.loads(ostiary("gallery", "list", "--config", box, "--refused", "--json").out)["group"] == "staff"
    assert ostiary("gallery", "readmit", "--config", box, record.id).code == 0
    assert ostiary("gallery", "list", "--config", box, "--refused").out == ""
    again = ostiary("gallery", "readmit", "--config", box, record.id)
    assert (again.code, "is not refused" in again.err) == (2, True)
