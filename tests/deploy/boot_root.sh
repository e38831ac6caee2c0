#!/bin/sh
# boot_root.sh FOLDER: inside namespaces of its own, start the systemd of the Debian in $BOX_ROOT, which stays as it is: everything
# that is written goes to memory. FOLDER is /run/box there.
set -eu
folder=$1
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/box
mount --bind "$folder" /mnt/box
mount -t overlay -o "lowerdir=$BOX_ROOT,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind /sys sys && mount -o remount,bind,ro sys
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=0755 tmpfs dev
for device in "null c 1 3" "zero c 1 5" "full c 1 7" "random c 1 8" "urandom c 1 9" "tty c 5 0"; do
    # shellcheck disable=SC2086  # three words
    mknod -m 0666 dev/${device%% *} ${device#* }
done
mkdir -p run/box dev/shm
chmod 1777 dev/shm
mount --move /mnt/box run/box
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/box.conf
# What would set up a machine, and the machine's clock, are not wanted.
cp -r run/box/units/. etc/systemd/system/
for generator in usr/lib/systemd/system-generators/*; do ln -sf /dev/null "etc/systemd/system-generators/${generator##*/}"; done 2>/dev/null || true
mkdir -p old
pivot_root . old
umount -l old
mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
export container=box
exec /lib/systemd/systemd --system --unit=box.target --log-target=journal --log-level=info --show-status=no
