#!/bin/sh
# watch-door.sh [HOST [PORT]]: one line for everybody who may come in. Needs mosquitto-clients and jq.
# -R leaves out retained messages: an event is never one, and what somebody else left there must open nothing.
exec mosquitto_sub -h "${1:-localhost}" -p "${2:-1883}" -q 1 -R -t 'ostiary/+/event' |
    jq --unbuffered -r 'select(.allowed and (.replayed | not) and .age_ms < 2000)
        | "\(.captured_at) \(.device) lets in \(.identity.id) \(.identity.name | @json)"'
