#!/bin/sh
# Runs HAProxy with the files of the folder `current`, and reloads HAProxy when this link changes. New
# workers take over the sockets, so no connection is refused during a reload.
set -eu

folder=${EDGE_FOLDER:-/edge}
export EDGE_FILES="$folder/current"

# The file with the state of the gateways, which is reset because an earlier container may have left
# outdated state.
servers=$folder/servers
reset_servers() {
    # The file contains only the version of its format, and no gateway.
    echo 1 >"$servers"
}
reset_servers

# Saves the state of the workers' gateways for the next workers. Bash is used because it can connect
# to TCP ports. Slots without an address are skipped, because HAProxy would log two warnings for each.
save_servers() {
    # shellcheck disable=SC2016 # The inner Bash expands the variables.
    if timeout 2 bash -c '
        exec 3<>/dev/tcp/127.0.0.1/8405 && echo "show servers state" >&3 || exit
        while read -ra server; do
            [[ ${server[4]-} == - ]] || echo "${server[*]}"
        done <&3' >"$servers.new"; then
        mv "$servers.new" "$servers"
    else
        echo "cannot save the state of the gateways, so requests are rejected until DNS has answered" >&2
        reset_servers
    fi
}

until [ -f "$EDGE_FILES/haproxy.cfg" ]; do
    sleep 0.2
done

running=$(readlink "$EDGE_FILES")
haproxy -W -db -f "$EDGE_FILES/haproxy.cfg" &
master=$!
# Complete the current requests and accept no new connections.
trap 'kill -USR1 "$master"' TERM INT USR1

while kill -0 "$master" 2>/dev/null; do
    newest=$(readlink "$EDGE_FILES")
    if [ "$newest" != "$running" ]; then
        echo "loading the files of $newest"
        save_servers
        kill -USR2 "$master"
        running=$newest
    fi
    # Sleep in the background, so that a signal is handled immediately.
    sleep 1 &
    wait $! || true
done
wait "$master"
