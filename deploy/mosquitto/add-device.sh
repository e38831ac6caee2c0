#!/bin/sh
# A user for a device or for the home, with a random password that is printed once.
#
#   add-device.sh NAME [FOLDER [GROUP...]]    NAME is device.name of ostiary.yaml, or `home`, or `gallery` for who publishes people;
#                                             FOLDER is /etc/mosquitto; GROUPs are those of sync.groups
#
# Afterwards: systemctl reload mosquitto
set -eu
umask 077
[ $# -ge 1 ] || { echo "usage: add-device.sh NAME [FOLDER [GROUP...]]" >&2; exit 2; }
name=$1 folder=${2:-/etc/mosquitto}
case $name in
    '' | *[!A-Za-z0-9._-]*) echo "add-device.sh: $name: expected letters, digits, dots, dashes and underscores" >&2; exit 2 ;;
esac
case $name in home | gallery) is_door= ;; *) is_door=yes ;; esac
shift $(($# > 1 ? 2 : 1))
[ $# -eq 0 ] || [ -n "$is_door" ] || { echo "add-device.sh: $name: groups are for doors" >&2; exit 2; }
for group in "$@"; do
    case $group in
        '' | *[!A-Za-z0-9_-]*) echo "add-device.sh: $group: expected letters, digits, dashes and underscores" >&2; exit 2 ;;
    esac
done
password=$(openssl rand -hex 24)
users=$folder/ostiary.users
[ -e "$users" ] || : > "$users"
mosquitto_passwd -b "$users" "$name" "$password"
rules=$folder/ostiary.acl
if [ -n "$is_door" ] && ! grep -qx "user $name" "$rules"; then
    printf '\nuser %s\ntopic write homeassistant/device/ostiary-%s/config\n' "$name" "$name" >> "$rules"
fi
for group in "$@"; do
    printf '\nuser %s\ntopic read ostiary/gallery/%s/#\n' "$name" "$group" >> "$rules"
done
echo "$password"
