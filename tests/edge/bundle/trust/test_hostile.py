"""Metadata that anybody may write: whatever it is, the answer is a sentence, and what was trusted stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.bundle.trust import Trust
from edge.bundle.trust.chain import first_root, read_metadata
from edge.bundle.trust.offer import signed_list
from edge.bundle.trust.update import issued_at
from edge.errors import BundleError, RepositoryError
from tests.edge.bundle.trust.conftest import Door
from tests.support.repositories import Owner

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json")


@pytest.fixture(scope="module")
def published(made_once: Door, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Owner]:
    """A second state of the repository, with a second root."""
    folder, owner = tmp_path_factory.mktemp("hostile"), made_once.owner.copy()
    shutil.copytree(made_once.repository, folder / "repository")
    owner.hashes = False
    owner.rotate("targets")
    owner.publish(folder / "repository")
    return folder / "repository", owner


def spots(data: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key."""
    if isinstance(data, dict):
        rows: list[tuple[Any, Any]] = [(data, key) for key in data]
    else:
        rows = [(data, number) for number in range(len(data))] if isinstance(data, list) else []
    return rows + [spot for holder, key in rows for spot in spots(holder[key])]


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes cut or changed, or a document with one value for another."""
    how = draw(st.sampled_from(["cut", "byte", "value", "gone", "deep", "other"]))
    if how == "cut":
        return data[: draw(st.integers(0, len(data) - 1))]
    if how == "byte":
        position = draw(st.integers(0, len(data) - 1))
        return data[:position] + bytes([draw(st.integers(0, 255))]) + data[position + 1 :]
    if how == "deep":
        return b'{"signed":' * 20_000 if draw(st.booleans()) else b"[" * 200_000
    if how == "other":
        return json.dumps(draw(JSON)).encode()
    document = json.loads(data)
    holder, key = draw(st.sampled_from(spots(document)))
    if how == "gone":
        del holder[key]
    else:
        holder[key] = draw(JSON)
    return json.dumps(document).encode()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_whatever_is_written_the_answer_is_a_sentence(
    made_once: Door, published: tuple[Path, Owner], tmp_path: Path, draw: st.DataObject
) -> None:
    repository, _ = published
    name = draw.draw(st.sampled_from(NAMES))
    data = draw.draw(spoilt((repository / "metadata" / name).read_bytes()))
    for folder in (tmp_path / "repository", tmp_path / "state"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository, tmp_path / "repository")
    shutil.copytree(made_once.folder / "trust" / ".trusted", tmp_path / "state", symlinks=True)
    (tmp_path / "repository" / "metadata" / name).write_bytes(data)
    trust = Trust(made_once.folder / "trust", device="front", state=tmp_path / "state")
    try:
        listed = trust.offers(str(tmp_path / "repository"))
    except (BundleError, RepositoryError) as error:
        complaint = error
    else:
        # Other spelling of the same, or a signature that nobody needs.
        complaint = BundleError("", where="-")
        assert [one.bundle_id for one in listed] == ["door-1"]
    assert complaint.where
    assert "Error" not in str(complaint)
    assert trust.check(made_once.installed).bundle_id == "door-1"


@settings(max_examples=60)
@given(data=st.binary(max_size=60) | JSON.map(lambda one: json.dumps(one).encode()))
def test_a_root_of_trust_of_any_bytes(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"damaged, or no root of trust|altered after"):
        first_root(data, "root.json")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_a_root_of_trust_that_was_spoilt(made_once: Door, draw: st.DataObject) -> None:
    data = (made_once.folder / "trust" / "root.json").read_bytes()
    changed = draw.draw(spoilt(data))
    try:
        root = first_root(changed, "root.json")
    except BundleError:
        return
    # What nobody signed may differ: blanks, the order, a signature that is not needed.
    found, kept = read_metadata(changed), read_metadata(data)
    assert found is not None
    assert kept is not None
    assert root == kept.signed


@given(fields=JSON, withdrawn=JSON)
def test_fields_beside_the_targets(fields: Any, withdrawn: Any) -> None:
    listed = signed_list({}, {"x": fields, "x-ostiary-withdrawn": withdrawn}, "here")
    assert all(isinstance(key, str) and isinstance(why, str) for key, why in listed.withdrawn.items())


@given(said=JSON)
def test_a_date_of_signing_that_is_none(said: Any) -> None:
    class Timestamp:
        unrecognized_fields = {"x-ostiary-issued": said}  # noqa: RUF012

    assert issued_at(Timestamp()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [16_385, 600_000, 20_000_000])
def test_huge_metadata(door: Door, size: int) -> None:
    for name in ("2.root.json", "timestamp.json"):
        path = door.repository / "metadata" / name
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes(b" " * size)
        expected = "damaged" if name == "2.root.json" and size <= 512_000 else "longer than what was signed"
        assert door.refused().startswith(expected)
        path.unlink() if kept is None else path.write_bytes(kept)


def test_a_specification_of_the_future(door: Door) -> None:
    owner = door.owner
    path = owner.publish(door.repository) / "metadata" / "timestamp.json"
    data = json.loads(path.read_bytes())
    data["signed"]["spec_version"] = "2.0.0"
    path.write_text(json.dumps(data))
    assert door.refused() == "damaged, or no signed metadata"
