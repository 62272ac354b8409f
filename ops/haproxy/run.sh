#!/bin/sh
# Runs HAProxy on the files in the folder `current`, and has it read them again when that link
# points elsewhere: new workers take the sockets over, so no connection is refused meanwhile.
set -eu

folder=${EDGE_FOLDER:-/edge}
export EDGE_FILES="$folder/current"

# The gateways that the workers know. What was true in an earlier container need not be any longer.
servers=$folder/servers
forget_servers() {
    # The version of its form, and not one gateway.
    echo 1 >"$servers"
}
forget_servers

# Writes down which gateways the workers know, for those that come after them. In Bash, which can speak TCP
# and take lines apart: places without an address would only be warned of, in two lines each.
note_servers() {
    # shellcheck disable=SC2016 # Bash is to expand them.
    if timeout 2 bash -c '
        exec 3<>/dev/tcp/127.0.0.1/8405 && echo "show servers state" >&3 || exit
        while read -ra server; do
            [[ ${server[4]-} == - ]] || echo "${server[*]}"
        done <&3' >"$servers.new"; then
        mv "$servers.new" "$servers"
    else
        echo "cannot note which gateways there are: requests are refused until DNS tells it again" >&2
        forget_servers
    fi
}

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
        note_servers
        kill -USR2 "$master"
        running=$newest
    fi
    # In the background, so that a signal is heard at once.
    sleep 1 &
    wait $! || true
done
wait "$master"
