"""What is stored about somebody, for that person."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import GalleryError, UsageError
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.privacy.person import export_person
from edge.gallery.store import Gallery
from tests.edge.gallery.support import EMBEDDER, faces, opened

KEY = bytes(range(32))


def png() -> bytes:
    done, data = cv2.imencode(".png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert done
    return data.tobytes()


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def gallery(tmp_path: Path, request: pytest.FixtureRequest) -> Gallery:
    made = opened(tmp_path / "gallery.sqlite", sealer=None if request.param is None else Sealer([request.param]))
    made.enrol("Bob", faces(1, 9, source="bob.jpg"), note="of no concern")
    made.enrol("Zoë", faces(1, png=png(), source="a.jpg"), note="note", consent="in writing")
    made.add_embeddings("Zoë", faces(1, 1, source="b.jpg"))
    made.set_access("Zoë", groups=["staff"], zones=["hall"], schedule="mon 08:00-09:00")
    made.set_validity("Zoë", valid_from=None, valid_until=4e9)
    return made


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name.removeprefix("ostiary-person/"): archive.read(name) for name in archive.namelist()}


def test_it_holds_everything_of_that_person_and_nothing_of_others(gallery: Gallery, tmp_path: Path) -> None:
    done = export_person(gallery, "zoë", tmp_path / "zoe.zip")
    assert stat.S_IMODE((tmp_path / "zoe.zip").stat().st_mode) == 0o600
    found = parts(tmp_path / "zoe.zip")
    assert sorted(found) == ["README.txt", "audit.json", "embeddings.json", "faces/1.png", "person.json"]
    person = json.loads(found["person.json"])
    record = gallery.get("Zoë")
    assert (person["id"], person["name"], person["note"], person["consent"]) == (record.id, "Zoë", "note", "in writing")
    assert (person["groups"], person["zones"], person["schedule"]) == (["staff"], ["hall"], "mon 08:00-09:00")
    assert (person["valid_from"], person["valid_until"]) == (None, "2096-10-02T07:06:40Z")
    rows = json.loads(found["embeddings.json"])
    assert [(row["source"], row["face"]) for row in rows] == [("a.jpg", "faces/1.png"), ("b.jpg", None)]
    for row, face in zip(rows, gallery.faces("Zoë"), strict=True):
        assert np.allclose(row["vector"], face.embedding.vector, rtol=0, atol=1e-6)
    assert found["faces/1.png"] == png()
    log = json.loads(found["audit.json"])
    assert [row["action"] for row in log] == [
        "exported",
        "access_changed",
        "access_changed",
        "embeddings_added",
        "enrolled",
    ]
    assert {row["id"] for row in log} == {record.id}
    readme = found["README.txt"].decode()
    assert all(word in readme for word in ("Zoë", record.id, "2 embedding(s)", "1 small picture(s)", EMBEDDER))
    assert (done.embeddings, done.faces, done.audit_rows) == (2, 1, 5)
    assert not any(b"Bob" in data or b"of no concern" in data for data in found.values())


def test_it_is_whole_or_not_at_all(gallery: Gallery, tmp_path: Path) -> None:
    path = tmp_path / "old.zip"
    path.write_text("older")
    with gallery.change() as connection:
        connection.execute("UPDATE embeddings SET checksum = 0 WHERE id = 2")
    before = len(gallery.audit())
    with pytest.raises(GalleryError, match="damaged"):
        export_person(gallery, "Zoë", path)
    with pytest.raises(UsageError, match="nobody called"):
        export_person(gallery, "Eve", path)
    with pytest.raises(UsageError, match="the gallery itself"):
        export_person(gallery, "Bob", gallery.path)
    with pytest.raises(GalleryError, match=r"cannot be written.*(?s:.*)Choose another place"):
        export_person(gallery, "Bob", tmp_path / "nowhere" / "x.zip")
    assert (path.read_text(), len(gallery.audit())) == ("older", before)
    assert not list(tmp_path.glob(".*"))
