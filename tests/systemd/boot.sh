#!/bin/sh
# boot.sh FOLDER: inside namespaces of its own, make a box around FOLDER (which becomes /run/box) and start systemd in it.
# Everything that is written here is written to memory; the machine's own files lie beneath, untouched.
set -eu
folder=$1
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/box
mount --bind "$folder" /mnt/box
mkdir /mnt/site /mnt/python /mnt/app
mount --bind "$BOX_SITE" /mnt/site
mount --bind "$BOX_PYTHON" /mnt/python
mount --bind "$BOX_APP" /mnt/app
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/box /run/log/journal
mount --move /mnt/box /run/box
for place in etc usr/lib; do
    layers=/run/layers/$place
    mkdir -p "$layers/upper" "$layers/work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$layers/upper,workdir=$layers/work" overlay "/$place"
done
mkdir -p /usr/lib/ostiary/site /usr/lib/ostiary/python /usr/lib/ostiary/app /usr/lib/ostiary/bin
for part in site python app; do mount --move "/mnt/$part" "/usr/lib/ostiary/$part"; done
umount /mnt
install -m 0755 /run/box/python /run/box/ostiary /usr/lib/ostiary/bin/
for place in /var/lib /var/log /var/cache /home; do mount -t tmpfs -o mode=0755 tmpfs "$place"; done
for place in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$place"; done
# None of the machine's own units: they would set up the machine. The journal's alone are wanted.
cp /usr/lib/systemd/system/systemd-journald.service /usr/lib/systemd/system/systemd-journald.socket /run/box/units
for place in /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=0755 tmpfs "$place"
done
cp -r /run/box/units/. /etc/systemd/system/
# Nor may anything in the box change the machine's kernel or devices.
for place in /sys /proc/sys; do mount --bind "$place" "$place" && mount -o remount,bind,ro "$place"; done
mount -t tmpfs -o mode=0755 tmpfs /dev
mknod -m 0666 /dev/null c 1 3 && mknod -m 0666 /dev/zero c 1 5 && mknod -m 0666 /dev/full c 1 7
mknod -m 0666 /dev/random c 1 8 && mknod -m 0666 /dev/urandom c 1 9 && mknod -m 0666 /dev/tty c 5 0
# For the device list of the unit to refuse: everybody may open it otherwise.
mknod -m 0666 /dev/fuse c 10 229
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/box.conf
systemd-sysusers /run/box/ostiary.sysusers
systemd-tmpfiles --create /run/box/ostiary.tmpfiles
# Credentials reach a service by propagation; outside a container systemd itself sees to it.
mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
export container=box
exec /lib/systemd/systemd --system --unit=box.target --log-target=journal --log-level=info --show-status=no
