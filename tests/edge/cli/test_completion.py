from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.edge.cli.conftest import Command

pytest.importorskip("shtab", reason="shtab is not installed (pip install 'ostiary[cli]')")

ASK = """
source "$1"
complete -p ostiary
shift
function=$(complete -p ostiary | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(ostiary "$@") COMP_CWORD=$#
$function ostiary "${@: -1}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_shell_gets_a_script(ostiary: Command, shell: str) -> None:
    result = ostiary("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert "ostiary" in result.out
    assert "gallery" in result.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["gal"], {"gallery"}),
        (["gallery", "sh"], {"show"}),
        (["identify", "--ann"], {"--annotate"}),
        (["identify", "pic"], {"pictures", "picture.jpg"}),
        (["identify", "--bundle", "pic"], {"pictures"}),
        (["completion", "z"], {"zsh"}),
    ],
)
def test_bash_completes(home: Path, ostiary: Command, typed: list[str], offered: set[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    (home / "pictures").mkdir()
    (home / "picture.jpg").touch()
    script = home / "ostiary.bash"
    script.write_text(ostiary("completion", "bash").out, encoding="utf-8")
    done = subprocess.run(["bash", "-c", ASK, "ask", script, *typed], capture_output=True, text=True, check=True)
    first, *found = done.stdout.splitlines()
    assert first.startswith("complete")
    assert {word.rstrip("/") for word in found} == offered
    assert done.stderr == ""


def test_an_unknown_shell_is_refused(ostiary: Command) -> None:
    result = ostiary("completion", "fish")
    assert result.code == 2
    assert "'bash', 'zsh', 'tcsh'" in result.err or "bash, zsh, tcsh" in result.err
