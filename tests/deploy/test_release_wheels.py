"""Wheels for another machine: which are taken, and which are refused without running anything of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import sys_tags

from deploy.release.licences import licence_of
from deploy.release.locks import read_lock
from deploy.release.target import Target, all_targets, target_named
from deploy.release.wheel import check_wheel, rank, tags_in_name
from deploy.release.wheelhouse import collect
from edge.errors import OstiaryError, RejectedError, UnavailableError, UsageError
from tests.support.wheels import TinyWheel, binary, library, lock_of, tiny_checkout

pytestmark = pytest.mark.once
ARM64, ARMHF, TRIXIE = (target_named(*it) for it in (("arm64", "bookworm"), ("armhf", "bookworm"), ("arm64", "trixie")))
DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("target", "tag", "fits"),
    [
        (ARM64, "py3-none-any", True),
        (ARM64, "py2.py3-none-any", True),
        (ARM64, "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64", True),
        (ARM64, "cp37-abi3-manylinux_2_28_aarch64", True),
        (ARM64, "cp311-cp311-manylinux_2_36_aarch64", True),
        (ARM64, "cp311-cp311-manylinux_2_37_aarch64", False),
        (ARM64, "cp311-cp311-musllinux_1_2_aarch64", False),
        (ARM64, "cp311-cp311-manylinux_2_17_x86_64", False),
        (ARM64, "cp312-cp312-manylinux_2_17_aarch64", False),
        (ARM64, "cp312-abi3-manylinux_2_17_aarch64", False),
        (ARM64, "cp311-cp311d-manylinux_2_17_aarch64", False),
        (ARM64, "pp311-pypy311_pp73-manylinux_2_17_aarch64", False),
        (TRIXIE, "cp313-cp313-manylinux_2_41_aarch64", True),
        (TRIXIE, "cp313-cp313t-manylinux_2_28_aarch64", False),
        (ARMHF, "cp311-cp311-manylinux_2_34_armv7l", True),
        (ARMHF, "cp311-cp311-manylinux_2_34_aarch64", False),
        (ARMHF, "cp311-cp311-linux_armv6l", False),
    ],
)  # fmt: skip
def test_a_tag_fits_a_target_or_not(target: Target, tag: str, fits: bool) -> None:  # noqa: FBT001  a column of the table
    tags = tags_in_name(Path(f"name-1.0-{tag}.whl"))[2]
    assert (rank(tags, target) is not None) is fits


def test_tags_are_those_of_a_real_python_on_that_debian() -> None:
    own = list(sys_tags())
    target = next(
        (
            it
            for it in all_targets()
            if it.machine == "x86_64" and own[0].interpreter == f"cp{it.python.replace('.', '')}"
        ),
        None,
    )
    if target is None:
        pytest.skip("this Python is no Debian's")
    # musl apart, and a C library of this machine that is newer or older than that Debian's.
    common = [tag for tag in own if tag in set(target.tags)]
    assert len(common) > 400
    assert [tag for tag in target.tags if tag in set(common)] == common


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        (binary(ARM64, machine="x86_64"), "a library for x86_64; expected aarch64"),
        (binary(ARM64, machine="riscv64"), "a library for machine 243"),
        (binary(ARM64, machine="armv7l"), "a library for armv7l"),
        (binary(ARM64, glibc=37), "it needs glibc 2.37; expected at most 2.36, which bookworm has"),
        (TinyWheel(tag="cp311-cp311-win_amd64"), "tags cp311-cp311-win_amd64; expected one of bookworm-arm64"),
        (TinyWheel(inside="cp311-cp311-manylinux_2_17_x86_64"), "tags cp311-cp311-manylinux_2_17_x86_64"),
        (TinyWheel(inside="x"), "damaged"),
    ],
)  # fmt: skip
def test_a_wheel_of_another_machine_is_refused(tmp_path: Path, wheel: TinyWheel, words: str) -> None:
    with pytest.raises(RejectedError) as refused:
        check_wheel(wheel.write(tmp_path), ARM64)
    assert words in str(refused.value)


def test_what_libraries_ask_for_is_read_from_them(tmp_path: Path) -> None:
    assert check_wheel(binary(ARM64, glibc=34).write(tmp_path), ARM64).glibc == (2, 34)
    assert check_wheel(TinyWheel().write(tmp_path), ARM64).glibc is None
    assert check_wheel(binary(ARMHF, "tflite").write(tmp_path), ARMHF).glibc == (2, 17)


@given(cut=st.integers(min_value=0, max_value=100))
def test_a_wheel_cut_off_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = binary(ARM64).write(tmp_path_factory.mktemp("cut"))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * cut // 101])
    with pytest.raises(RejectedError, match="damaged"):
        check_wheel(path, ARM64)


@pytest.mark.parametrize("name", ["x.whl", "x-1.0.whl", "x-1.0-py3-none.whl"])
def test_a_name_that_is_no_wheels(tmp_path: Path, name: str) -> None:
    path = TinyWheel().write(tmp_path).rename(tmp_path / name)
    with pytest.raises(RejectedError, match="not the name of a wheel"):
        check_wheel(path, ARM64)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (f"# why\nB==1 --hash=sha256:{DIGEST}\n\na_x==2 \\\n    --hash=sha256:{DIGEST}\n", ["a-x", "b"]),
        (f"a==1 ; sys_platform == 'win32' --hash=sha256:{DIGEST}", []),
        (f"a==1 ; python_full_version >= '3.12' --hash=sha256:{DIGEST}\na==2 ; python_full_version < '3.12' --hash=sha256:{DIGEST}", ["a"]),
        (f"a==1 ; platform_machine == 'aarch64' --hash=sha256:{DIGEST}", ["a"]),
        (f"a==1 ; platform_machine == 'x86_64' --hash=sha256:{DIGEST}", []),
    ],
)  # fmt: skip
def test_markers_are_judged_by_the_target(tmp_path: Path, text: str, names: list[str]) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(text)
    assert [pin.name for pin in read_lock(lock, ARM64)] == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a==1", "a without a digest"),
        ("a>=1 --hash=sha256:" + DIGEST, "a without one exact version"),
        ("a==1.* --hash=sha256:" + DIGEST, "a without one exact version"),
        ("a==1 --hash=sha256:12", "a without a digest"),
        ("-r other.txt", "not a requirement"),
        (f"a==1 --hash=sha256:{DIGEST}\nA==2 --hash=sha256:{DIGEST}", "a twice, as 1 and 2"),
        ("\0", "not a requirement"),
    ],
)
def test_a_lock_that_does_not_pin_is_refused(tmp_path: Path, text: str, words: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_lock(lock, ARM64)


def test_a_lock_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a lock"):
        read_lock(tmp_path / "none.txt", ARM64)


def test_the_real_locks_have_what_each_target_runs(tmp_path: Path) -> None:
    for target in all_targets():
        names = {pin.name for pin in read_lock(Path(__file__).parents[2] / target.lock, target)}
        provided = {it.project for it in target.provided}
        assert {target.tflite, "cryptography", "tuf", "paho-mqtt"} <= names
        assert {"numpy", "opencv-python-headless", "pyyaml"} <= names | provided
        assert not names & provided


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_wheels_are_fetched_once_and_a_damaged_one_again(tmp_path: Path, index: Path) -> None:
    wheels = [binary(ARM64).write(index), TinyWheel().write(index)]
    checkout, cache = tiny_checkout(tmp_path / "checkout", ARM64, *wheels), tmp_path / "cache"
    first = collect(ARM64, tmp_path / "one", checkout=checkout, cache=cache)
    assert [(it.name, it.path.parent.name) for it in first] == [("binary", "one"), ("tiny", "one")]
    for wheel in wheels:
        wheel.rename(tmp_path / wheel.name)
    # Nobody to ask: everything is there.
    second = collect(ARM64, tmp_path / "two", checkout=checkout, cache=cache)
    assert [it.sha256 for it in second] == [it.sha256 for it in first]
    kept = cache / ARM64.label / wheels[0].name
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(RejectedError, match="no wheel for bookworm-arm64"):
        collect(ARM64, tmp_path / "three", checkout=checkout, cache=cache)
    (tmp_path / wheels[0].name).rename(wheels[0])
    third = collect(ARM64, tmp_path / "four", checkout=checkout, cache=cache)
    assert [it.sha256 for it in third] == [it.sha256 for it in first]
    assert not list((cache / ARM64.label).glob(".fetch-*"))


def test_the_choice_among_several_wheels_does_not_hang_on_what_was_built_before(tmp_path: Path, index: Path) -> None:
    plain = TinyWheel("both").write(index)
    best = TinyWheel("both", tag=f"cp311-cp311-manylinux_2_28_{ARM64.machine}").write(index)
    checkout = tiny_checkout(tmp_path / "checkout", ARM64, best)
    lock = checkout / ARM64.lock
    lock.write_text(lock.read_text().rstrip() + " \\" + lock_of(plain).partition("\\")[2])
    cache = tmp_path / "cache" / ARM64.label
    cache.mkdir(parents=True)
    shutil.copyfile(plain, cache / plain.name)
    shutil.copyfile(best, cache / best.name)
    (taken,) = collect(ARM64, tmp_path / "out", checkout=checkout, cache=cache.parent)
    assert taken.path.name == best.name


def test_a_wheel_that_is_missing_is_named_with_those_there_are(tmp_path: Path, index: Path) -> None:
    wheel = TinyWheel("rare", tag="cp311-cp311-manylinux_2_17_x86_64").write(index)
    checkout = tiny_checkout(tmp_path / "checkout", ARMHF, wheel)
    with pytest.raises(RejectedError) as refused:
        collect(ARMHF, tmp_path / "out", checkout=checkout, cache=tmp_path / "cache")
    assert str(refused.value).startswith("rare 1.0: no wheel for bookworm-armhf; expected tags like cp311-cp311-")
    assert "cp311-cp311-manylinux_2_17_x86_64" in str(refused.value)


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, index: Path) -> None:
    checkout = tiny_checkout(tmp_path / "checkout", ARM64, TinyWheel().write(index))
    TinyWheel(licence="License: other").write(index)
    with pytest.raises(OstiaryError, match="pip could not fetch") as refused:
        collect(ARM64, tmp_path / "out", checkout=checkout, cache=tmp_path / "cache")
    assert "tiny" in str(refused.value)


def test_without_a_network(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tiny_checkout(tmp_path / "checkout", ARM64, TinyWheel().write(tmp_path))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        collect(ARM64, tmp_path / "out", checkout=checkout, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("wheel", "expression", "texts"),
    [
        (TinyWheel(), "MIT", {"LICENSE"}),
        (TinyWheel(licence="License: Apache 2.0", files=()), "Apache-2.0", {"Apache-2.0.txt"}),
        (TinyWheel(licence="Classifier: License :: OSI Approved :: MIT License"), "MIT", {"LICENSE"}),
        (TinyWheel(licence="License: Free as in beer"), "NOASSERTION", {"LICENSE"}),
        (TinyWheel(licence="License-Expression: mit or apache-2.0"), "MIT OR Apache-2.0", {"LICENSE"}),
        (TinyWheel(files=(("tiny/COPYING", b"x"), ("tiny/licence.py", b"x"))), "MIT", {"tiny/COPYING"}),
        (TinyWheel(files=(("../../LICENSE.txt", b"x"),)), "MIT", {"LICENSE.txt"}),
        (TinyWheel(files=(("/etc/LICENSE.txt", b"x"),)), "MIT", {"etc/LICENSE.txt"}),
    ],
)  # fmt: skip
def test_licences_of_wheels(tmp_path: Path, wheel: TinyWheel, expression: str, texts: set[str]) -> None:
    found = licence_of(check_wheel(wheel.write(tmp_path), ARM64), b"Apache's text")
    assert (found.expression, {name for name, _ in found.texts}) == (expression, texts)


def test_a_wheel_without_the_text_of_its_licence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"no text of its licence \(MIT\)"):
        licence_of(check_wheel(TinyWheel(files=()).write(tmp_path), ARM64), b"Apache's text")


@pytest.mark.parametrize(("name", "debian"), [("riscv64", "bookworm"), ("arm64", "sid"), ("armhf", "trixie"), ("", "")])
def test_targets_that_nothing_can_be_made_for(name: str, debian: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        target_named(name, debian)


def test_the_tiny_library_is_what_readelf_would_call_one() -> None:
    assert library("aarch64")[:20] == bytes.fromhex("7f454c46020101000000000000000000 0300b700")
