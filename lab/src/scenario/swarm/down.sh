#!/bin/sh
# Takes the Swarm of a folder down in any state, and removes all its files.
#
#   sh down.sh FOLDER
set -u

folder=$1

# Files with the name `pid` have the ids of the running processes. The end of a machine's first process ends all
# its processes, its network and its mounts.
for file in "$folder"/*/pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    # Another process can have the same id. Only the command lines of the Swarm's processes contain the folder.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$folder"; then
        kill -KILL "$pid" 2>/dev/null
    fi
done

# The load runs outside of the machines, and goes on when its parent process is killed. There is only one Swarm at
# a time, so all processes of the control group belong to the Swarm while its folder exists.
if [ -e "$folder" ]; then
    find /sys/fs/cgroup -path '*/minitwit-swarm/outside/cgroup.procs' \
        -exec sh -c 'xargs -r kill -KILL <"$1"' sh {} \; 2>/dev/null
fi

# Control groups and files can be removed only after the end of their processes, which takes a moment.
groups() {
    find /sys/fs/cgroup -depth -type d -path '*/minitwit-swarm*' 2>/dev/null
}
attempts=500
while [ "$attempts" -gt 0 ]; do
    groups | xargs -r rmdir 2>/dev/null
    rm -rf "$folder" 2>/dev/null
    [ ! -e "$folder" ] && [ -z "$(groups)" ] && exit 0
    attempts=$((attempts - 1))
    sleep 0.02
done
echo "$folder or a control group minitwit-swarm cannot be removed" >&2
exit 1
