"""What people may ask of who keeps their faces, as commands."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge.gallery.encryption.sealing import key_id_of, read_keys
from tests.edge.cli.conftest import Command


def configured(home: Path, text: str) -> Path:
    path = home / "box.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def show(ostiary: Command, gallery: Path, *options: object) -> Any:
    [row] = ostiary("gallery", "show", "--json", "--gallery", gallery, *options, "Grace Hopper").rows
    return row


def test_limits_and_consent_are_set_shown_listed_and_carried(ostiary: Command, home: Path, gallery: Path) -> None:
    changes = [
        "--groups",
        "staff, night",
        "--zones",
        "hall",
        "--schedule",
        "mon-fri 08:00-18:00",
        "--consent",
        "in writing",
    ]
    result = ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *changes)
    assert (result.code, "(groups staff night, zones hall, mon-fri 08:00-18:00)" in result.out) == (0, True)
    row = show(ostiary, gallery)
    assert (row["groups"], row["zones"], row["schedule"]) == (["staff", "night"], ["hall"], "mon-fri 08:00-18:00")
    assert row["consent"] == "in writing"
    text = ostiary("gallery", "show", "--gallery", gallery, "Grace Hopper").out
    assert all(line in text for line in ("  groups   staff, night\n", "  zones    hall\n", "  consent  in writing\n"))
    assert ostiary("gallery", "export", "--gallery", gallery, home / "file").code == 0
    assert ostiary("gallery", "import", "--gallery", home / "other", home / "file").code == 0
    moved = show(ostiary, home / "other")
    assert {name: moved[name] for name in moved if name != "sources"} == {
        name: row[name] for name in row if name != "sources"
    }
    assert ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", "--groups", "", "--schedule", "").code == 0
    assert (show(ostiary, gallery)["groups"], show(ostiary, gallery)["zones"]) == ([], ["hall"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["--name", "New", "--groups", "night shift"], "group 'night shift'"),
        (["--name", "New", "--zones", "a/b"], "zone 'a/b'"),
        (["--name", "New", "--schedule", "always"], "schedule 'always'"),
        (["--name", "New", "--consent", "x" * 2001], "consent of 2001 characters"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(ostiary: Command, gallery: Path, changes: list[str], says: str) -> None:
    before = show(ostiary, gallery)
    result = ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", *changes)
    assert (result.code, says in result.err) == (2, True)
    assert show(ostiary, gallery) == before


def test_enrolment_takes_limits_and_asks_for_consent(
    ostiary: Command, home: Path, gallery: Path, collins_file: Path
) -> None:
    config = configured(home, "privacy:\n  require_consent: true\n")
    enroll = ["enroll", "--config", config, "--gallery", gallery, "--name", "Eileen Collins", collins_file]
    refused = ostiary(*enroll)
    assert (refused.code, refused.out) == (2, "")
    assert "no note of consent" in refused.err
    assert "privacy.require_consent asks for it: --consent TEXT" in refused.err
    limits = ["--groups", "crew", "--zones", "deck", "--schedule", "sat 09:00-13:00", "--valid-until", "2090-01-01"]
    assert ostiary(*enroll, "--schedule", "whenever", "--consent", "yes").code == 2
    assert [row["name"] for row in ostiary("gallery", "list", "--json", "--gallery", gallery).rows] == ["Grace Hopper"]
    assert ostiary(*enroll, *limits, "--consent", "asked on 2026-01-31").code == 0
    [row] = ostiary("gallery", "show", "--json", "--gallery", gallery, "Eileen Collins").rows
    assert (row["groups"], row["zones"], row["schedule"]) == (["crew"], ["deck"], "sat 09:00-13:00")
    assert (row["consent"], row["valid_until"]) == ("asked on 2026-01-31", "2090-01-01T00:00:00Z")
    [log, *_] = ostiary("gallery", "audit", "--json", "--gallery", gallery, "--who", "Eileen Collins").rows[::-1]
    assert (log["action"], log["embeddings"], log["actor"]["kind"]) == ("enrolled", 1, "local")


def test_removal_gives_a_receipt(ostiary: Command, gallery: Path) -> None:
    wanted = show(ostiary, gallery)["id"]
    result = ostiary("gallery", "remove", "--json", "--yes", "--gallery", gallery, "Grace Hopper")
    [receipt] = result.rows
    assert result.code == 0
    assert {name: receipt[name] for name in ("id", "name", "embeddings", "faces", "scrubbed", "verified", "found")} == {
        "id": wanted, "name": "Grace Hopper", "embeddings": 1, "faces": 0, "scrubbed": True, "verified": True, "found": [],
    }  # fmt: skip
    assert str(gallery) in receipt["checked"]
    assert ostiary("gallery", "list", "--json", "--gallery", gallery).rows == []
    assert b"Hopper" not in gallery.read_bytes()
    log = ostiary("gallery", "audit", "--gallery", gallery).out
    assert "Hopper" not in log
    assert f"removed somebody ({wanted}), 1 embedding  by local" in log


def test_a_copy_beside_it_is_found_and_told(ostiary: Command, gallery: Path) -> None:
    copy = gallery.with_name(f"{gallery.name}.bak")
    copy.write_bytes(gallery.read_bytes())
    result = ostiary("gallery", "remove", "--yes", "--gallery", gallery, "Grace Hopper")
    assert result.code == 1
    assert f"FOUND name in {copy}" in result.out
    assert f"FOUND vector in {copy}" in result.out
    assert "nothing is left" not in result.out
    assert "not covered: exports and copies of the gallery in other places;\n" in result.out


def test_the_log_is_shown_and_verified(ostiary: Command, gallery: Path) -> None:
    assert ostiary("gallery", "set", "--gallery", gallery, "Grace Hopper", "--disable").code == 0
    [newest, oldest] = ostiary("gallery", "audit", "--json", "--gallery", gallery).rows
    assert (newest["action"], oldest["action"], oldest["name"]) == ("disabled", "enrolled", "Grace Hopper")
    assert len(ostiary("gallery", "audit", "--limit", 1, "--gallery", gallery).out.splitlines()) == 1
    verified = ostiary("gallery", "audit", "--verify", "--json", "--gallery", gallery)
    [check] = verified.rows
    assert (verified.code, check["ok"], check["rows"]) == (0, True, 2)
    assert ostiary("gallery", "audit", "--verify", "--anchor", check["head"], "--gallery", gallery).code == 0
    wrong = ostiary("gallery", "audit", "--verify", "--anchor", "00" * 31, "--gallery", gallery)
    assert (wrong.code, wrong.out.startswith("the audit log is not whole: no row has the digest")) == (4, True)


def test_everything_about_one_person_goes_into_a_file(ostiary: Command, home: Path, gallery: Path) -> None:
    result = ostiary("gallery", "person", "--json", "--gallery", gallery, "grace hopper", "-o", home / "hers.zip")
    [row] = result.rows
    assert (result.code, row["name"], row["embeddings"], row["audit_rows"]) == (0, "Grace Hopper", 1, 2)
    assert stat.S_IMODE((home / "hers.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(home / "hers.zip") as archive:
        assert json.loads(archive.read("ostiary-person/person.json"))["note"] == "admiral"
    assert ostiary("gallery", "person", "--gallery", gallery, "Ada", "-o", home / "x.zip").code == 2
    assert not (home / "x.zip").exists()


def test_encryption_is_turned_on_rotated_and_taken_away(
    ostiary: Command, home: Path, gallery: Path, hopper_file: Path
) -> None:
    keys = home / "template-key"
    config = configured(home, f"privacy:\n  key_file: {keys}\ngallery: {gallery}\n")

    def known() -> bool:
        [row] = ostiary("identify", "--config", config, "--json", hopper_file).rows
        return bool(row["faces"][0]["identity"])

    assert ostiary("keys", "template", "-o", keys).code == 0
    refused = ostiary("gallery", "list", "--config", config)
    assert (refused.code, "ostiary gallery rekey" in refused.err) == (4, True)
    first = ostiary("gallery", "rekey", "--config", config)
    assert (first.code, "(before: not encrypted): 1 identity, 1 embedding" in first.out) == (0, True)
    assert b"Hopper" not in gallery.read_bytes()
    assert known()
    assert "encrypted with key" in ostiary("gallery", "list", "--gallery", gallery).err
    old = keys.read_text(encoding="ascii")
    keys.write_text(ostiary("keys", "template").out + old, encoding="ascii")
    assert known()
    [second] = ostiary("gallery", "rekey", "--json", "--config", config).rows
    assert (second["before"], second["after"]) == ([key_id_of(read_keys(keys)[1])], key_id_of(read_keys(keys)[0]))
    keys.write_text(keys.read_text(encoding="ascii").splitlines()[0], encoding="ascii")
    assert known()
    assert ostiary("gallery", "rekey", "--plain", "--config", config).code == 0
    assert b"Hopper" in gallery.read_bytes()
    assert ostiary("gallery", "list", "--gallery", gallery).code == 0


def test_rekey_without_a_key_says_what_is_missing(ostiary: Command, gallery: Path) -> None:
    result = ostiary("gallery", "rekey", "--gallery", gallery)
    assert (result.code, "no key is configured; expected privacy.key_file" in result.err) == (2, True)


def test_retention_by_hand(ostiary: Command, home: Path, gallery: Path) -> None:
    config = configured(home, f"gallery: {gallery}\nprivacy:\n  erase_expired_after_d: 30\n")
    assert ostiary("gallery", "set", "--config", config, "Grace Hopper", "--valid-until", "2020-01-01").code == 0
    planned = ostiary("gallery", "retain", "--dry-run", "--config", config)
    assert (planned.code, planned.out.startswith("would be erased: Grace Hopper (")) == (0, True)
    assert len(ostiary("gallery", "list", "--json", "--config", config).rows) == 1
    [row] = ostiary("gallery", "retain", "--trust-clock", "--json", "--config", config).rows
    assert (len(row["erased"]), row["embeddings"], row["scrubbed"]) == (1, 1, True)
    assert ostiary("gallery", "list", "--json", "--config", config).rows == []
    assert b"Hopper" not in gallery.read_bytes()


@pytest.mark.parametrize("words", [
    ["audit"], ["person", "Ada", "-o", "ada.zip"], ["retain", "--trust-clock"], ["rekey", "--plain"],
])  # fmt: skip
def test_what_only_looks_makes_no_file(ostiary: Command, home: Path, words: list[str]) -> None:
    result = ostiary("gallery", *words)
    assert (result.code, "no gallery yet" in result.err) == (2, True)
    assert list(home.rglob("*")) == []
