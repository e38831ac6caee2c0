"""`ostiary-convert sign`, and a box that believes what it signs."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convert.cli import main, make_parser
from convert.signing.actions import Signing, add, refresh
from convert.signing.commit import NEXT, commit, finish
from convert.signing.keys import Passphrase, load_keys
from edge.bundle.trust import Trust
from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE, BundleError, OstiaryError, UsageError
from tests.support.repositories import tiny_bundle

ROLES = ("root", "targets", "snapshot", "timestamp")
PARSER = make_parser()
"""Building it takes longer than most commands."""


@dataclass
class Owner:
    """A folder with keys and a repository; `sign` is the command, and a box is asked what it thinks of it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def sign(self, *words: str | Path, expect: int = EXIT_OK) -> str:
        """Standard output, or the complaint."""
        args, code, complaint = PARSER.parse_args(["sign", *map(str, words)]), EXIT_OK, ""
        try:
            code = args.run(args)
        except OstiaryError as error:
            code, complaint = error.exit_code, str(error)
        assert code == expect, complaint
        shown = self.capsys.readouterr()
        return complaint or shown.out

    def key(self, name: str) -> str:
        """A new key file; its id."""
        return self.sign("keys", self.keys / f"{name}.pem").split()[0]

    def all(self) -> tuple[str, Path]:
        return ("--with", self.keys)

    def some(self, *names: str) -> list[str | Path]:
        return [word for name in names for word in ("--with", self.keys / f"{name}.pem")]

    def bundle(self, number: int) -> Path:
        return tiny_bundle(self.folder / "bundles" / f"door-{number}", f"door-{number}")

    def add(self, number: int, *words: str | Path) -> str:
        return self.sign("add", self.repository, self.bundle(number), "--version", str(number), *(words or self.all()))

    def refused(self, verb: str, *words: str | Path, code: int = EXIT_USAGE) -> str:
        """A verb on the repository, and the complaint."""
        return self.sign(verb, self.repository, *words, expect=code)

    def shown(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.sign("show", self.repository, "--json"))
        return found

    def box(self, name: str = "box") -> Trust:
        """With the first root of the repository; the same each time."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        if not (folder / "root.json").exists():
            shutil.copy(self.repository / "metadata" / "1.root.json", folder / "root.json")
        return Trust(folder, device="front", machine="aarch64")

    def offers(self, name: str = "box") -> list[str]:
        return [one.bundle_id for one in self.box(name).offers(str(self.repository))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, and an empty repository."""
    folder = tmp_path_factory.mktemp("owner")
    keys = [folder / "keys" / f"{role}.pem" for role in ROLES]
    assert main(["sign", "keys", *map(str, keys)]) == EXIT_OK
    pairs = [word for role, key in zip(ROLES, keys, strict=True) for word in ("--key", f"{role}={key}")]
    assert main(["sign", "init", str(folder / "repository"), *pairs]) == EXIT_OK
    return folder


@pytest.fixture
def owner(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Owner:
    return Owner(Path(shutil.copytree(made, tmp_path / "owner")), capsys)


def test_from_nothing_to_a_box(owner: Owner) -> None:
    assert owner.offers() == []
    assert owner.add(1, "--device", "front*", "--machine", "aarch64", "--description", "first", *owner.all()) == (
        "signed: targets 2, snapshot 2, timestamp 2\n"
    )
    into = owner.folder / "into"
    into.mkdir()
    offer = owner.box().fetch(str(owner.repository), None, into)
    assert (offer.bundle_id, offer.version, offer.devices, offer.machines, offer.description) == (
        "door-1", 1, ("front*",), ("aarch64",), "first",
    )  # fmt: skip
    assert owner.box().check(into) == offer


def test_keys_are_for_their_owner_alone(owner: Owner) -> None:
    assert {oct(path.stat().st_mode & 0o777) for path in owner.keys.iterdir()} == {"0o600"}
    assert "is there already" in owner.sign("keys", owner.keys / "root.pem", expect=EXIT_USAGE)
    (owner.keys / "root.pem").chmod(0o644)
    assert "others may read it (mode 0644)" in owner.refused("add", owner.bundle(1), "--version", "1", *owner.all())


def test_a_locked_key_opens_with_its_passphrase_alone(owner: Owner) -> None:
    words, wrong, empty = (owner.folder / name for name in ("words", "wrong", "empty"))
    words.write_text("open sesame\nnot this\n")
    wrong.write_text("open says me")
    empty.write_text("\n")
    locked = owner.keys / "new.pem"
    owner.sign("keys", locked, "--passphrase-file", words)
    assert b"ENCRYPTED" in locked.read_bytes()
    rotate = ["rotate", "--role", "targets", "--key", locked, *owner.all(), "--passphrase-file"]
    assert "does not open with this passphrase" in owner.refused(*rotate, wrong)
    assert "an empty passphrase" in owner.refused(*rotate, empty)
    assert "is locked by a passphrase" in owner.refused(*rotate[:-1])
    owner.sign(rotate[0], owner.repository, *rotate[1:], words)
    assert load_keys([locked], Passphrase(words))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "not a private key"), (b"-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n", "not a private key"), (None, "cannot be read")],
)  # fmt: skip
def test_what_is_no_key_is_refused(owner: Owner, content: bytes | None, complaint: str) -> None:
    path = owner.folder / "other.pem"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    assert complaint in owner.refused("refresh", "--with", path)


def test_a_key_of_another_kind_is_refused(owner: Owner) -> None:
    from securesystemslib.signer import CryptoSigner

    path = owner.folder / "ecdsa.pem"
    path.write_bytes(CryptoSigner.generate_ecdsa().private_bytes)
    path.chmod(0o600)
    assert "a key of another kind" in owner.refused("refresh", "--with", path)


def test_offline_and_online_keys_are_apart(owner: Owner) -> None:
    """Who signs a bundle needs no online key, and boxes learn of it when those sign."""
    owner.add(1)
    assert owner.add(2, *owner.some("targets")) == "signed: targets 3\n"
    assert owner.shown()["published"] is False
    assert owner.offers() == ["door-1"]
    assert owner.add(3, *owner.some("targets")) == "signed: targets 4\n"
    assert (
        owner.sign("refresh", owner.repository, *owner.some("snapshot", "timestamp"))
        == "signed: snapshot 3, timestamp 3\n"
    )
    assert owner.offers() == ["door-3", "door-2", "door-1"]
    assert "no signature for targets" in owner.refused(
        "add", owner.bundle(4), "--version", "4", *owner.some("timestamp")
    )
    assert "no signature for timestamp" in owner.refused("refresh", *owner.some("targets"))


def test_refresh_signs_what_is_due(owner: Owner) -> None:
    assert owner.sign("refresh", owner.repository, *owner.all()) == "signed: timestamp 2\n"
    signers = load_keys([owner.keys], Passphrase())
    now = datetime.now(UTC)
    later = {days: replace(Signing.today(signers), now=now + timedelta(days=days)) for days in (14, 16, 200)}
    assert refresh(owner.repository, later[14]).signed == ["timestamp 3"]
    assert refresh(owner.repository, later[16]).signed == ["snapshot 2", "timestamp 4"]
    assert refresh(owner.repository, later[200]).signed == ["targets 2", "snapshot 3", "timestamp 5"]
    online = {key: signers[key] for key in signers if key in _ids(owner, "timestamp")}
    assert refresh(owner.repository, replace(later[200], signers=online)).signed == ["timestamp 6"]


def _ids(owner: Owner, role: str) -> list[str]:
    found: list[str] = owner.shown()["roles"][role]["keys"]  # type: ignore[index]
    return found


def test_lifetimes_are_kept_from_one_signature_to_the_next(owner: Owner) -> None:
    owner.sign(
        "refresh",
        owner.repository,
        *owner.all(),
        "--days",
        "timestamp=90",
        "--days",
        "root=100",
        "--days",
        "targets=50",
    )
    owner.sign("refresh", owner.repository, *owner.all())
    roles = owner.shown()["roles"]
    assert [roles[role]["days_left"] for role in ROLES] == [99, 49, 29, 89]  # type: ignore[index]
    assert [roles[role]["version"] for role in ROLES] == [2, 2, 2, 3]  # type: ignore[index]
    assert owner.offers() == []


def test_a_withdrawn_bundle_is_refused_by_boxes_with_its_reason(owner: Owner) -> None:
    owner.add(1)
    owner.add(2)
    into = owner.folder / "into"
    into.mkdir()
    box = owner.box()
    box.fetch(str(owner.repository), "door-1", into)
    owner.sign("withdraw", owner.repository, "door-1", "--reason", "knows nobody", *owner.all())
    assert "withdrawn: door-1, version 1  knows nobody" in owner.sign("show", owner.repository)
    assert owner.shown()["withdrawn"][0]["bundle_id"] == "door-1"  # type: ignore[index]
    assert box.check(into).bundle_id == "door-1"
    assert owner.offers() == ["door-2"]
    with pytest.raises(BundleError, match=r"withdrawn by its signer \(knows nobody\)"):
        box.check(into)
    assert not list((owner.repository / "targets" / "door-1").iterdir())
    assert "no bundle 'door-1'" in owner.refused("withdraw", "door-1", *owner.all(), code=EXIT_REJECTED)
    owner.add(1)
    owner.offers()
    assert box.check(into).bundle_id == "door-1"


@pytest.mark.parametrize("role", ROLES)
def test_rotation_of_every_role_is_followed_by_boxes(owner: Owner, role: str) -> None:
    owner.add(1)
    assert owner.offers() == ["door-1"]
    owner.key("new")
    owner.sign("rotate", owner.repository, "--role", role, "--key", owner.keys / "new.pem", *owner.all())
    (owner.keys / f"{role}.pem").unlink()
    owner.add(2)
    assert owner.offers() == ["door-2", "door-1"]
    assert owner.offers("fresh box") == ["door-2", "door-1"]


def test_a_rotation_that_boxes_could_not_follow_is_refused(owner: Owner) -> None:
    """With the new key of targets, but nobody to tell boxes of what it signs."""
    owner.add(1)
    owner.key("new")
    before = files(owner.repository)
    words = ["rotate", "--role", "targets", "--key", owner.keys / "new.pem"]
    assert "no signature for snapshot" in owner.refused(*words, *owner.some("root"))
    assert "no signature for timestamp" in owner.refused(*words, *owner.some("root", "snapshot"))
    assert "no signature for root" in owner.refused(*words, *owner.some("targets", "snapshot", "timestamp"))
    assert files(owner.repository) == before
    assert owner.offers() == ["door-1"]


def test_a_revoked_key_counts_no_longer(owner: Owner) -> None:
    owner.add(1)
    new = owner.key("second")
    second = owner.keys / "second.pem"
    owner.sign("rotate", owner.repository, "--role", "targets", "--key", second, "--keep", *owner.all())
    old = next(one for one in _ids(owner, "targets") if one != new)
    assert "0 keys that begin with 'zz'" in owner.refused("revoke", "--role", "targets", "--key", "zz", *owner.all())
    owner.sign("revoke", owner.repository, "--role", "targets", "--key", old[:12], *owner.all())
    assert _ids(owner, "targets") == [new]
    assert owner.offers() == ["door-1"]
    assert "no signature for targets" in owner.refused("add", owner.bundle(2), "--version", "2", *owner.some("targets"))
    assert "0 key(s) would be left for targets" in owner.refused(
        "revoke", "--role", "targets", "--key", new[:9], *owner.all()
    )


def test_a_threshold_waits_for_others(owner: Owner) -> None:
    owner.key("second")
    second = owner.keys / "second.pem"
    words = ["--role", "targets", "--key", second, "--keep", "--threshold", "2"]
    owner.sign("rotate", owner.repository, *words, *owner.all())
    both = ("targets", "second")
    assert owner.add(1, *owner.some("targets", "snapshot", "timestamp")) == "signed: nothing yet\n"
    assert owner.shown()["waits_for_signatures"] == ["targets"]
    assert owner.offers() == []
    assert "no signature for targets" in owner.refused("approve", *owner.some("targets"))
    assert owner.sign("approve", owner.repository, *owner.some("second")) == "signed: targets 3\n"
    owner.sign("refresh", owner.repository, *owner.some("snapshot", "timestamp"))
    assert owner.offers() == ["door-1"]
    assert owner.add(2, *owner.some(*both, "snapshot", "timestamp")) == "signed: targets 4, snapshot 4, timestamp 4\n"
    assert "nothing waits for a signature" in owner.refused("approve", *owner.all())


def test_a_root_of_two_holders(owner: Owner) -> None:
    owner.key("second")
    owner.sign(
        "rotate",
        owner.repository,
        "--role",
        "root",
        "--key",
        owner.keys / "second.pem",
        "--keep",
        "--threshold",
        "2",
        *owner.all(),
    )
    owner.key("new")
    words = ["rotate", owner.repository, "--role", "timestamp", "--key", owner.keys / "new.pem"]
    assert owner.sign(*words, *owner.some("root")) == "signed: nothing yet\n"
    assert owner.offers() == []
    assert owner.sign("approve", owner.repository, *owner.some("second", "new")) == "signed: root 3, timestamp 2\n"
    assert owner.offers() == []
    assert "waits for signatures" not in owner.sign("show", owner.repository)


def test_the_same_name_or_version_is_not_taken_twice(owner: Owner) -> None:
    owner.add(1)
    assert "bundle door-1 is listed already" in owner.refused("add", owner.bundle(1), "--version", "2", *owner.all())
    other = tiny_bundle(owner.folder / "other", "door-1", content=b"other")
    assert "with other content" in owner.refused("add", other, "--version", "2", *owner.all())
    assert "version 1 is door-1 already" in owner.refused("add", owner.bundle(2), "--version", "1", *owner.all())
    owner.sign("add", owner.repository, owner.bundle(2), "--version", "1", "--device", "garage", *owner.all())
    for words in (["--version", "0"], ["--version", "3", "--device", "a b"], ["--version", "3", "--machine", "*"]):
        owner.refused("add", owner.bundle(3), *words, *owner.all())


@pytest.mark.parametrize("name", ["active", "..", "-x", "previous"])
def test_a_name_that_no_box_takes_is_refused(owner: Owner, name: str) -> None:
    bundle = tiny_bundle(owner.folder / "odd", name)
    assert "is no name for a folder" in owner.refused("add", bundle, "--version", "1", *owner.all(), code=EXIT_REJECTED)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--key", "root"], "--key 'root'"), (["--key", "king=x.pem"], "--key 'king=x.pem'"),
        (["--key", "root={keys}/root.pem"], "0 key(s) for targets"),
        (["--key", "root={keys}/root.pem", "--threshold", "root=2"], "1 key(s) for root"),
        (["--key", "root={keys}/root.pem", "--threshold", "root=0"], "--threshold root=0"),
        (["--key", "root={keys}/root.pem", "--days", "timestamp=soon"], "--days timestamp=soon"),
    ],
)  # fmt: skip
def test_a_repository_that_cannot_be_meant(owner: Owner, words: list[str], complaint: str) -> None:
    given = [word.replace("{keys}", str(owner.keys)) for word in words]
    assert complaint in owner.sign("init", owner.folder / "new", *given, expect=EXIT_USAGE)
    assert not (owner.folder / "new").exists()


def test_a_repository_is_not_made_over_something(owner: Owner) -> None:
    pairs = [word for role in ROLES for word in ("--key", f"{role}={owner.keys / role}.pem")]
    assert "something is there already" in owner.sign("init", owner.repository, *pairs, expect=EXIT_USAGE)
    assert "no repository there" in owner.sign("show", owner.keys, expect=EXIT_USAGE)


@pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"signed": {"_type": "mirror"}, "signatures": []}', None])
def test_a_damaged_repository_is_told(owner: Owner, name: str, content: bytes | None) -> None:
    path = owner.repository / "metadata" / name
    if content is None:
        path.write_bytes((path.parent / ("timestamp.json" if name != "timestamp.json" else "1.root.json")).read_bytes())
    else:
        path.write_bytes(content)
    assert str(path) in owner.sign("show", owner.repository, expect=EXIT_REJECTED)


def test_show_tells_a_person(owner: Owner) -> None:
    owner.add(1, "--device", "front-*", "--machine", "armv7l", *owner.all())
    owner.sign("refresh", owner.repository, *owner.all(), "--days", "timestamp=1")
    page = owner.sign("show", owner.repository)
    assert [line.split()[:2] for line in page.splitlines()[:5]] == [
        ["role", "version"], ["root", "1"], ["targets", "2"], ["snapshot", "2"], ["timestamp", "3"],
    ]  # fmt: skip
    assert page.splitlines()[-1].split() == ["door-1", "1", "0.0", "front-*", "armv7l"]


def test_one_at_a_time(owner: Owner) -> None:
    import fcntl

    descriptor = os.open(owner.repository / ".lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "in use by another process" in owner.refused("refresh", *owner.all())
    finally:
        os.close(descriptor)


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the lock."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class CutError(Exception):
    """The power is gone."""


def test_what_is_cut_off_at_any_moment_is_finished_or_never_was(owner: Owner, tmp_path: Path) -> None:
    owner.add(1)
    before = tmp_path / "before"
    shutil.copytree(owner.repository, before)
    owner.sign("withdraw", owner.repository, "door-1", *owner.all())
    after = files(owner.repository)
    was = files(before)
    changed = {name: data for name, data in after.items() if was.get(name) != data}
    gone = tuple(set(was) - set(after))
    outcomes = set()
    for moment in range(100):
        place = tmp_path / str(moment)
        shutil.copytree(before, place)
        left = moment

        def step(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise CutError

        try:
            commit(place, changed, gone, step=step)
        except CutError:
            finish(place)
        found = files(place)
        assert found in (was, after), moment
        assert not (place / NEXT).exists()
        outcomes.add(found == after)
        if left > 0:
            break
    assert moment > 8
    assert outcomes == {True, False}


def test_what_is_cut_off_is_finished_by_the_next_command(owner: Owner) -> None:
    signing = Signing.today(load_keys([owner.keys], Passphrase()))
    add(owner.repository, owner.bundle(1), {"version": 1}, signing)
    metadata = owner.repository / "metadata"
    draft = owner.repository / NEXT / "metadata"
    draft.mkdir(parents=True)
    (metadata / "timestamp.json").rename(draft / "timestamp.json")
    (owner.repository / NEXT / ".ready").write_text('{"gone": []}')
    assert refresh(owner.repository, signing).signed == ["timestamp 3"]
    assert owner.offers() == ["door-1"]


def test_files_are_readable_for_a_web_server(owner: Owner) -> None:
    owner.add(1)
    assert {oct(path.stat().st_mode & 0o777) for path in owner.repository.glob("*/**/*") if path.is_file()} == {"0o644"}


def test_a_bundle_that_is_unsound_is_not_signed(owner: Owner) -> None:
    bundle = owner.bundle(1)
    (bundle / "embedder.tflite").write_bytes(b"nine")
    before = files(owner.repository)
    assert "embedder.tflite" in owner.refused("add", bundle, "--version", "1", *owner.all(), code=EXIT_REJECTED)
    assert files(owner.repository) == before


def test_dates_are_signed_with_what_they_date(owner: Owner) -> None:
    """A box with a clock behind the signature says so."""
    signing = replace(Signing.today(load_keys([owner.keys], Passphrase())), now=datetime.now(UTC) + timedelta(hours=2))
    refresh(owner.repository, signing)
    with pytest.raises(BundleError, match="this box's clock is behind"):
        owner.offers()


def test_the_command_complains_as_the_others_do(owner: Owner) -> None:
    assert main(["sign", "show", str(owner.keys)]) == EXIT_USAGE
    assert owner.capsys.readouterr().err.startswith("ostiary-convert: ")


def test_a_folder_without_keys(owner: Owner) -> None:
    with pytest.raises(UsageError, match="no key in it"):
        load_keys([owner.repository], Passphrase())
