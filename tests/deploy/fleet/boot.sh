#!/bin/sh
# boot.sh FOLDER: inside namespaces of its own, make a box whose whole root is a copy in memory of BOX_ROOT, and start systemd in it.
# FOLDER becomes /run/box. Nothing that is written in the box is written to the machine.
set -eu
folder=$1
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$BOX_ROOT,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mkdir -p proc sys dev run tmp var/tmp mnt
echo "${folder##*/}" > etc/hostname
# Where a package of the tests' own finds the program.
for part in "$BOX_SITE=site" "$BOX_PYTHON=python" "$BOX_APP=app"; do
    mkdir -p "opt/box/${part#*=}"
    mount --bind "${part%=*}" "opt/box/${part#*=}"
done
mount -t proc proc proc
mount -t tmpfs -o mode=0755 tmpfs run
mkdir -p run/box run/log/journal run/lock
mount --bind "$folder" run/box
for place in tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$place"; done
mount -t tmpfs -o mode=0755 tmpfs var/log
# None of the machine's own units: they would set up the machine. The journal's alone are wanted.
cp usr/lib/systemd/system/systemd-journald.service usr/lib/systemd/system/systemd-journald.socket run/box/units
for place in etc/systemd/system usr/lib/systemd/system usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=0755 tmpfs "$place"
done
cp -r run/box/units/. etc/systemd/system/
# Nor may anything in the box change the machine's kernel or devices.
mount --rbind /sys sys
for place in sys proc/sys; do mount --bind "$place" "$place" && mount -o remount,bind,ro "$place"; done
mount -t tmpfs -o mode=0755 tmpfs dev
mknod -m 0666 dev/null c 1 3 && mknod -m 0666 dev/zero c 1 5 && mknod -m 0666 dev/full c 1 7
mknod -m 0666 dev/random c 1 8 && mknod -m 0666 dev/urandom c 1 9 && mknod -m 0666 dev/tty c 5 0
mkdir dev/shm && ln -s /proc/self/fd dev/fd && ln -s fd/0 dev/stdin && ln -s fd/1 dev/stdout && ln -s fd/2 dev/stderr
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/box.conf
mkdir mnt/old
pivot_root . mnt/old
cd /
umount -l /mnt/old
# Credentials reach a service by propagation; outside a container systemd itself sees to it.
mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
export container=box
exec /lib/systemd/systemd --system --unit=box.target --log-target=journal --log-level=info --show-status=no
