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

# mosquitto from the distribution when it is missing and we may install it; otherwise callers fall back or skip.
ensure_mosquitto() {
    if command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ]; then return 0; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    say "installing mosquitto"
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto) >/dev/null 2>&1
}
