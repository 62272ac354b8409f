#!/bin/sh
# Validates HAProxy's configuration and certificate and installs them for the HAProxy on this node.
# If they are not valid, this task fails, so its update is rolled back and the edge is not changed.
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
# The rename is atomic, so the link always exists.
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
