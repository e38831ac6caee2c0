"""`ostiary gallery publish` and the keys for it, over a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.cli import publish as module
from edge.config.settings import Settings, Sync
from edge.errors import ConfigError
from edge.sync.keys import read_publishers
from edge.sync.opening import membership_of
from edge.sync.secrets import read_secrets
from tests.edge.gallery.support import faces, opened
from tests.support.mosquitto import HOST, Mosquitto, mosquitto

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def office(tmp_path: Path, say: Say) -> Path:
    """A folder with a gallery of two people, a key and its public line."""
    (tmp_path / "ostiary.yaml").write_text(f"gallery: {tmp_path}/gallery.sqlite\n", encoding="utf-8")
    with opened(tmp_path / "gallery.sqlite") as gallery:
        for number, name in enumerate(("Ada", "Grace")):
            gallery.enrol(name, faces(1, seed=number))
    code, line, _ = say("keys", "new", "office", "--sync-groups", "staff", "-o", tmp_path / "key")
    assert code == 0
    (tmp_path / "keys").write_text(line, encoding="utf-8")
    return tmp_path


def publish(
    say: Say, office: Path, broker: Mosquitto | None, *words: object, group: str = "staff"
) -> tuple[int, str, str]:
    port = [] if broker is None else ["--host", HOST, "--port", broker.port]
    fixed = ["--config", office / "ostiary.yaml", "--group", group, "--key", office / "key"]
    return say("gallery", "publish", *fixed, *port, *words)


def test_a_group_from_its_beginning_to_a_removal(say: Say, office: Path, broker: Mosquitto) -> None:
    code, _, problem = publish(say, office, broker, "--all")
    assert code == 2
    assert "knows no group 'staff'" in problem
    code, out, err = publish(say, office, broker, "--all", "--new")
    assert code == 0
    assert "group staff: 2 published, 0 unchanged, 0 removed; 2 identities, revision " in out
    assert "not sealed" in err
    _, out, _ = publish(say, office, broker, "Ada", "--dry-run", "--force")
    assert "1 would be published" in out
    _, line, _ = say("keys", "group-secret", "staff", "-o", office / "secret")
    assert line == ""
    code, out, err = publish(say, office, broker, "--all", "--secret", office / "secret", "--json")
    row = json.loads(out)
    assert (code, len(row["published"]), row["sealed"], row["identities"], err) == (0, 2, True, 2, "")
    code, out, _ = publish(say, office, broker, "--remove", "Ada", "--json")
    assert (json.loads(out)["identities"], len(json.loads(out)["removed"])) == (1, 1)
    # Nothing but the head: whoever looks sees that the publisher is there.
    _, out, _ = publish(say, office, broker)
    assert "0 published, 0 unchanged, 0 removed; 1 identity" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--all", "Ada"), "both --all and names"), (("Nobody",), "nobody called 'Nobody'"),
        (("Ada", "--remove", "Ada"), "both published and removed"), (("--remove", "Nobody"), "nobody called 'Nobody'"),
        (("--all", "--secret", "key"), "no secret of a group"), (("--keys", "missing"), "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(
    say: Say, office: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(office)
    found, _, problem = publish(say, office, None, *words)
    assert (found, told in problem) == (2, True), problem


def test_groups_and_keys_that_cannot_be_meant(say: Say, office: Path) -> None:
    assert publish(say, office, None, group="a/b")[0] == 2
    for words in (("--sync-groups", "a/b"), ("--sync-groups", ","), ("--sync-groups", "a", "--verbs", "list")):
        assert say("keys", "new", "x", *words, "-o", office / "other")[0] == 2
    assert say("keys", "group-secret", "a b")[0] == 2
    assert not (office / "other").exists()


def test_a_broker_that_is_away_is_told(
    say: Say, office: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    code, _, problem = say(
        "gallery", "publish", "--config", office / "ostiary.yaml", "--group", "staff", "--key", office / "key",
        "--host", HOST, "--port", 1,
    )  # fmt: skip
    assert code == 3
    assert problem.count("trying again") == 2


def test_what_a_box_needs_to_belong_to_a_group(say: Say, office: Path) -> None:
    keys = office / "keys"
    assert read_publishers(keys).names("staff") == ("office",)
    assert membership_of(Settings()) is None
    with pytest.raises(ConfigError, match="no keys of publishers"):
        membership_of(Settings(sync=Sync(groups=("staff",))))
    with pytest.raises(ConfigError, match="no key may publish in group guests"):
        membership_of(Settings(sync=Sync(groups=("staff", "guests"), keys_file=keys)))
    say("keys", "group-secret", "staff", "-o", office / "secret")
    found = membership_of(Settings(sync=Sync(groups=("staff",), keys_file=keys, secrets_file=office / "secret")))
    assert found is not None
    assert set(found.sealers) == set(read_secrets(office / "secret")) == {"staff"}
