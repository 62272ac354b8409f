#!/bin/sh
# Hands HAProxy's configuration and certificate to the HAProxy that runs on this node, if they are
# valid: a mistake ends this task, so that its update is rolled back and the edge never hears of it.
set -eu

folder=${EDGE_FOLDER:-/edge}
configuration=${EDGE_CONFIGURATION:-/etc/edge/haproxy.cfg}
certificate=${EDGE_CERTIFICATE:-/run/secrets/edge_certificate}

next=$(mktemp -d "$folder/files.XXXXXX")
trap 'rm -rf "$next"' EXIT
cp "$configuration" "$next/haproxy.cfg"
cp "$certificate" "$next/certificate.pem"
EDGE_FILES=$next haproxy -c -f "$next/haproxy.cfg"

previous=$(readlink "$folder/current" || true)
ln -s "$(basename "$next")" "$next.link"
# A rename, so that there is always one or the other.
mv -T "$next.link" "$folder/current"
trap - EXIT
echo "installed $(basename "$next")"

for old in "$folder"/files.*; do
    case $(basename "$old") in
    "$(basename "$next")" | "$previous") ;;
    *) rm -rf "$old" ;;
    esac
done

if [ "${1:-}" = once ]; then
    exit 0
fi
trap 'exit 0' TERM INT USR1
while :; do
    sleep 3600 &
    wait $! || true
done
