# Sourced by demo, test and check: virtual environments and a broker. Everything lies under the checkout.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }

# The first Python that Ostiary runs on; $PYTHON overrules.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "ostiary needs Python 3.11 to 3.13; found: $(python3 --version 2>&1 || echo none). Set PYTHON to one." >&2
    exit 2
}

# make_venv FOLDER LOCK...: an environment with these locks and the checkout, made again only when one of them changed.
make_venv() {
    local folder=$1 python stamp lock
    shift
    python=$(find_python)
    stamp=$(cat pyproject.toml "$@" | sha256sum)
    if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
    say "installing into $folder ($("$python" --version))"
    if ! "$python" -m venv --clear "$folder" >/dev/null 2>&1; then
        [ "$(id -u)" = 0 ] || { echo "Python's venv module is missing: apt install python3-venv" >&2; exit 2; }
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        "$python" -m venv --clear "$folder"
    fi
    for lock in "$@"; do
        # The portraits' packages are wanted for one picture each: not for all that they depend on.
        "$folder/bin/pip" install -qq --disable-pip-version-check --no-deps --require-hashes -r "$lock"
    done
    "$folder/bin/pip" install -qq --disable-pip-version-check --no-deps --editable .
    echo "$stamp" > "$folder/.stamp"
}

# The environment of ostiary-convert. PyTorch's CPU build where pip's indexes have one; without it the tests of TorchScript and
# torch.export are skipped: the build with CUDA is several GB.
make_convert_venv() {
    make_venv .venv-convert requirements/convert.txt requirements/portraits.txt
    if [ -e .venv-convert/.torch ]; then return; fi
    .venv-convert/bin/pip install -qq --disable-pip-version-check --no-deps --only-binary :all: "torch==2.13.0+cpu" 2>/dev/null ||
        say "no CPU build of PyTorch 2.13 here: its tests are skipped (point PIP_EXTRA_INDEX_URL to an index that has it)"
    touch .venv-convert/.torch
}

# mosquitto from the distribution when it is missing and we may install it; otherwise callers fall back or skip.
ensure_mosquitto() {
    # Debian puts it where a user's PATH does not look.
    [ -x /usr/sbin/mosquitto ] || ensure_command mosquitto mosquitto
}

# ensure_command PROGRAM PACKAGE: PROGRAM from the distribution's PACKAGE where it is missing and we may install it.
ensure_command() {
    if command -v "$1" >/dev/null; then return 0; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    say "installing $2"
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2") >/dev/null 2>&1
}
