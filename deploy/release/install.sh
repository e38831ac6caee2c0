#!/bin/sh
# Installs this release on a @DEBIAN@ @ARCHITECTURE@ box: sudo ./install.sh
# The Debian package does the same and more; this is for who wants no package. Nothing is downloaded. Run it again to upgrade
# or to repair; `sudo ./install.sh --remove` takes the program away and leaves /etc/ostiary and /var/lib/ostiary alone.
set -eu
prefix=/usr/lib/ostiary

die() { echo "install.sh: $1" >&2; echo "  $2" >&2; exit "${3:-2}"; }

# systemctl does nothing where systemd does not run: in a container, or while an image is made.
reload() { if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; }

[ "$(id -u)" = 0 ] || die "it writes to /usr and /etc" "sudo $0"
if dpkg-query -W -f '${Status}' ostiary 2>/dev/null | grep -q ' installed$'; then
    die "the Debian package ostiary is installed" "Upgrade with the .deb, or first: apt remove ostiary"
fi
if [ "${1-}" = --remove ]; then
    if [ -d /run/systemd/system ]; then systemctl disable --now ostiary 2>/dev/null || true; fi
    rm -rf $prefix $prefix.old
    rm -f /etc/systemd/system/ostiary.service /etc/systemd/system/ostiary@.service /usr/local/bin/ostiaryctl
    rm -f /usr/lib/sysusers.d/ostiary.conf /usr/lib/tmpfiles.d/ostiary.conf
    reload
    echo "removed; /etc/ostiary and /var/lib/ostiary are still there"
    exit 0
fi
[ $# = 0 ] || die "no argument $1" "$0 [--remove]"

cd "$(dirname "$0")"
found=$(dpkg --print-architecture)
[ "$found" = @ARCHITECTURE@ ] || die "this box is $found, the release is for @ARCHITECTURE@" "Take the release for $found."
found=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=none
[ "$found" = @PYTHON@ ] || die "Python $found is here, the release is for @PYTHON@ (Debian @DEBIAN@)" "Take the release for this Debian."
# shellcheck disable=SC2043  # one package or several
for package in @PACKAGES@; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || die "$package is not installed" "apt install @PACKAGES@"
done
sha256sum --quiet --strict -c SHA256SUMS || die "a file is not what it was when the release was made" "Copy the release again." 4

# The old program stays until the new one is whole.
rm -rf $prefix.old
if [ -e $prefix ]; then mv $prefix $prefix.old; fi
undo() { rm -rf $prefix; if [ -e $prefix.old ]; then mv $prefix.old $prefix; fi; }
trap undo EXIT
trap 'exit 130' INT TERM HUP
# Only what was checked: a file that somebody has put beside them is left alone.
wheels=$(sed -n 's/^[0-9a-f]*  \(wheels\/.*\.whl\)$/\1/p' SHA256SUMS)
python3 -m venv --system-site-packages $prefix
# shellcheck disable=SC2086  # names of wheels have no spaces
$prefix/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps --ignore-installed $wheels
$prefix/bin/ostiary --version
trap - EXIT INT TERM HUP
rm -rf $prefix.old

install -D -m 0644 systemd/ostiary.sysusers /usr/lib/sysusers.d/ostiary.conf
install -D -m 0644 systemd/ostiary.tmpfiles /usr/lib/tmpfiles.d/ostiary.conf
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers ostiary.conf
elif ! id ostiary >/dev/null 2>&1; then
    useradd --system --home-dir /var/lib/ostiary --shell /usr/sbin/nologin --user-group ostiary
    usermod --append --groups video ostiary
fi
install -d -m 0750 -g ostiary /etc/ostiary
install -d -m 0700 -o ostiary -g ostiary /var/lib/ostiary
# Somebody's settings are never written over.
if [ ! -e /etc/ostiary/ostiary.yaml ]; then install -m 0640 -g ostiary config/ostiary.yaml /etc/ostiary/ostiary.yaml; fi
install -D -m 0644 -t /etc/systemd/system systemd/ostiary.service systemd/ostiary@.service
install -D -m 0755 systemd/ostiaryctl /usr/local/bin/ostiaryctl
reload
echo "installed. Now: edit /etc/ostiary/ostiary.yaml; sudo ostiaryctl check; sudo systemctl enable --now ostiary"
