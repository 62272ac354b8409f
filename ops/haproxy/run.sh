#!/bin/sh
# Runs HAProxy on the files in the folder `current`, and has it read them again when that link
# points elsewhere: new workers take the sockets over, so no connection is refused meanwhile.
set -eu

folder=${EDGE_FOLDER:-/edge}
export EDGE_FILES="$folder/current"

until [ -f "$EDGE_FILES/haproxy.cfg" ]; do
    sleep 0.2
done

running=$(readlink "$EDGE_FILES")
haproxy -W -db -f "$EDGE_FILES/haproxy.cfg" &
master=$!
# Finish what is under way, accept nothing new.
trap 'kill -USR1 "$master"' TERM INT USR1

while kill -0 "$master" 2>/dev/null; do
    newest=$(readlink "$EDGE_FILES")
    if [ "$newest" != "$running" ]; then
        echo "reading the files of $newest"
        kill -USR2 "$master"
        running=$newest
    fi
    # In the background, so that a signal is heard at once.
    sleep 1 &
    wait $! || true
done
wait "$master"
