#!/bin/sh
# Takes the Swarm of a folder down, whatever state it is in, and everything that it left.
#
#   sh down.sh FOLDER
set -u

folder=$1

# What runs is named by files called `pid`. With the first process of a machine goes all that runs
# on it, and with that its network and its mounts.
for file in "$folder"/*/pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    # A number may be somebody else's by now: the command line of ours names the folder.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$folder"; then
        kill -KILL "$pid" 2>/dev/null
    fi
done

# The load runs outside of the machines, and on when whoever started it was killed. There is one Swarm at a
# time: as long as there is a folder, what is in the control group is its own.
if [ -e "$folder" ]; then
    find /sys/fs/cgroup -path '*/minitwit-swarm/outside/cgroup.procs' \
        -exec sh -c 'xargs -r kill -KILL <"$1"' sh {} \; 2>/dev/null
fi

# Control groups and files can be removed when what used them has ended, which takes a moment.
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
echo "something is left of $folder, or of the control groups minitwit-swarm" >&2
exit 1
