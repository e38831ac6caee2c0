# Sourced by arm64-root and test-arm, after setup.sh: Debian 12 of another architecture in a folder.
# shellcheck shell=bash

# qemu_name ARCHITECTURE: what QEMU calls it.
qemu_name() {
    if [ "$1" = armhf ]; then echo qemu-arm; else echo qemu-aarch64; fi
}

# ensure_arm ARCHITECTURE: debootstrap and the emulator, installed where they are missing; false, with the reason on standard
# output, where programs of that architecture cannot be run here.
ensure_arm() {
    local register=/proc/sys/fs/binfmt_misc name
    name=$(qemu_name "$1")
    if [ "$(id -u)" != 0 ]; then echo "making an ARM system needs root" && return 1; fi
    ensure_command debootstrap debootstrap || { echo "debootstrap is missing (apt install debootstrap)" && return 1; }
    if [ "$1" = arm64 ] && [ "$(uname -m)" = aarch64 ]; then return 0; fi
    # The static build: it runs wherever it is, also inside a folder.
    ensure_command "$name-static" qemu-user-static || { echo "$name-static is missing (apt install qemu-user-static)" && return 1; }
    # The kernel starts programs of the other architecture through it (binfmt_misc).
    [ -e $register/register ] || mount -t binfmt_misc binfmt_misc $register 2>/dev/null || {
        echo "the kernel's binfmt_misc cannot be mounted here: a container needs --privileged" && return 1
    }
    if [ ! -e "$register/$name" ]; then
        ensure_command update-binfmts binfmt-support && update-binfmts --enable "$name" >/dev/null 2>&1 || true
    fi
    # F: the kernel opened the emulator when it was registered, and finds it from inside a folder, too.
    grep -qs '^flags:.*F' "$register/$name" || { echo "the kernel does not know $name-static (update-binfmts --enable $name)" && return 1; }
}

# make_arm_system ARCHITECTURE FOLDER PACKAGES: made once, and whole or not at all. PACKAGES is a list with commas.
make_arm_system() (
    architecture=$1 folder=$2 packages=$3 part=$2.part log=$2.log
    if [ "$(cat "$folder/.made-of" 2>/dev/null)" = "$packages" ] || { [ "$packages" = python3 ] && [ -x "$folder/usr/bin/python3" ]; }; then exit 0; fi
    say "making a Debian 12 for $architecture in $folder"
    # A run that broke off may have left its mounts.
    undo() { umount -l "$part/proc" 2>/dev/null || true; }
    undo
    trap undo EXIT
    trap 'exit 130' INT TERM HUP
    rm -rf --one-file-system "$part"
    { _unpack_system && _configure_system; } || {
        tail -5 "$log" >&2
        echo "an ARM system could not be made; $log has everything that was said" >&2
        exit 3
    }
    undo
    # Whatever else somebody has there stays.
    if [ -e "$folder/.made-of" ]; then rm -rf --one-file-system "$folder"; elif [ -d "$folder" ]; then rmdir "$folder"; fi
    echo "$packages" >"$part/.made-of"
    mv "$part" "$folder"
)

# This machine's own dpkg does what needs no program of the other architecture: emulated, that is most of the time.
_unpack_system() {
    local mirror
    debootstrap --foreign --arch="$architecture" --variant=minbase --include="$packages" bookworm "$part" >"$log" 2>&1 || return 1
    # `name version http://.../debian/pool/...`, a line for each package.
    mirror=$(sed -n '1s|^.* \(.*\)/pool/.*$|\1|p' "$part/debootstrap/deburis")
    rm -rf "$part/debootstrap"
    # In a container debootstrap makes a link of it, which leads to this machine's own.
    if [ -L "$part/proc" ]; then rm "$part/proc" && mkdir "$part/proc"; fi
    echo "deb $mirror bookworm main" >"$part/etc/apt/sources.list"
    cp "$part/usr/share/base-passwd/passwd.master" "$part/etc/passwd"
    cp "$part/usr/share/base-passwd/group.master" "$part/etc/group"
    mkdir -p "$part/var/lib/dpkg/info" "$part/var/lib/dpkg/updates" "$part/etc/dpkg/dpkg.cfg.d"
    : >"$part/var/lib/dpkg/status"
    printf '%s\n' "$(dpkg --print-architecture)" "$architecture" >"$part/var/lib/dpkg/arch"
    # Not a system to keep: no page of it is read, and if power fails it is made again.
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' \
        'path-exclude=/usr/share/doc/*' 'path-include=/usr/share/doc/*/copyright' >"$part/etc/dpkg/dpkg.cfg.d/quick"
    DEBIAN_FRONTEND=noninteractive LC_ALL=C dpkg --root="$part" --force-unsafe-io --force-depends --force-architecture \
        --path-exclude='/usr/share/man/*' --path-exclude='/usr/share/locale/*' --path-exclude='/usr/share/doc/*' \
        --unpack "$part"/var/cache/apt/archives/*.deb >>"$log" 2>&1 || return 1
    rm -f "$part"/var/cache/apt/archives/*.deb "$part/var/lib/dpkg/arch"
}

_configure_system() {
    local inside=(chroot "$part" env -i DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin)
    mount -t proc proc "$part/proc" || return 1
    # What the others count on.
    "${inside[@]}" dpkg --force-depends --configure base-passwd base-files >>"$log" 2>&1 || return 1
    "${inside[@]}" dpkg --configure -a >>"$log" 2>&1 || return 1
    "${inside[@]}" dpkg --audit >>"$log" 2>&1
}
