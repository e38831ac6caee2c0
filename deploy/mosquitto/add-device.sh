#!/bin/sh
# A user for a device or for the home, with a random password that is printed once.
#
#   add-device.sh NAME [FOLDER]     NAME is device.name of ostiary.yaml, or `home`; FOLDER is /etc/mosquitto
#
# Afterwards: systemctl reload mosquitto
set -eu
umask 077
[ $# -ge 1 ] || { echo "usage: add-device.sh NAME [FOLDER]" >&2; exit 2; }
name=$1 folder=${2:-/etc/mosquitto}
case $name in
    '' | *[!A-Za-z0-9._-]*) echo "add-device.sh: $name: expected letters, digits, dots, dashes and underscores" >&2; exit 2 ;;
esac
password=$(openssl rand -hex 24)
users=$folder/ostiary.users
[ -e "$users" ] || : > "$users"
mosquitto_passwd -b "$users" "$name" "$password"
rules=$folder/ostiary.acl
if [ "$name" != home ] && ! grep -qx "user $name" "$rules"; then
    printf '\nuser %s\ntopic write homeassistant/device/ostiary-%s/config\n' "$name" "$name" >> "$rules"
fi
echo "$password"
