#!/bin/sh
# A user at the centre for the bridge of a site, with rules for the doors of that site and no others. Prints its password, once.
#
#   add-site.sh FOLDER SITE DOOR... [@GROUP...]     FOLDER is /etc/mosquitto; DOORs are device.name of each, unlike any other's of
#                                                   the fleet; GROUPs are those of people that the site's doors take (sync.groups)
#
# Again with another list of doors: the rules are made anew and the password stays. Afterwards: systemctl reload mosquitto
set -eu
umask 077
[ $# -ge 3 ] || { echo "usage: add-site.sh FOLDER SITE DOOR... [@GROUP...]" >&2; exit 2; }
folder=$1 site=$2
shift 2
for name in "$site" "$@"; do
    case ${name#@} in
        '' | *[!A-Za-z0-9._-]* | gallery) echo "add-site.sh: $name: expected letters, digits, dots, dashes and underscores, and not gallery" >&2; exit 2 ;;
    esac
done
users=$folder/ostiary.users rules=$folder/ostiary.acl user=site-$site
if ! grep -q "^$user:" "$users" 2> /dev/null; then
    password=$(openssl rand -hex 24)
    [ -e "$users" ] || : > "$users"
    mosquitto_passwd -b "$users" "$user" "$password"
    echo "$password"
fi
made=$(mktemp "$folder/.acl.XXXXXX")
trap 'rm -f "$made"' EXIT
# What stands between these two lines is of the site.
sed "/^# begin $user\$/,/^# end $user\$/d" "$rules" > "$made"
{
    echo "# begin $user"
    echo "user $user"
    echo "topic write ostiary-sites/$site/bridge"
    for door in "$@"; do
        case $door in @*) echo "topic read ostiary/gallery/${door#@}/#" && continue ;; esac
        for end in event history status camera/+/status presence enabled health cmd/+/reply; do
            echo "topic write ostiary/$door/$end"
        done
        echo "topic read ostiary/$door/cmd/+"
    done
    echo "# end $user"
} >> "$made"
# The owner stays: mosquitto reads it as its own user.
cat "$made" > "$rules"
