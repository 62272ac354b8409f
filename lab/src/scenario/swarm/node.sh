#!/bin/sh
# A node of the Swarm: the first process of a machine that is made of namespaces (network, mounts,
# processes, host name). When it is killed, the kernel kills all that runs on the machine, and nothing
# is left of it: no process, no network, no mount.
#
#   sh node.sh NAME ADDRESS OUTSIDE FOLDER
set -eu

name=$1
address=$2
outside=$3
folder=$4

hostname "$name"
# What Docker keeps under fixed names is this machine's own: sockets, network namespaces.
mount -t tmpfs -o mode=755 tmpfs /run
# Volumes are in memory: on a disk that others use too, each commit of the database would wait for what
# they write.
mkdir -p "$folder/data/volumes"
mount -t tmpfs -o mode=711,size=2g tmpfs "$folder/data/volumes"
ip link set lo up
# The cable is plugged in from outside.
until ip link set eth0 up 2>/dev/null; do
    sleep 0.02
done
ip address add "$address/24" dev eth0
iptables -w -P FORWARD ACCEPT

# Who comes first for the processors, of which three machines have two cores or so between them: users,
# outside, before the machines; on the machines what serves, before every Engine. Left alone, all
# containers of all machines would weigh as much as one thread of one Engine that starts another
# container. A weight alone would not do for the Engines: what wakes up has to wait for the end of
# a slice of whatever runs, however little that weighs, and a request wakes up dozens of threads, of
# the kernel's too. What is idle makes way at once.
group() { # GROUP
    mkdir -p "$1"
    [ -e "$1/cpu.shares" ] || echo +cpu >"$1/../cgroup.subtree_control"
}
weigh() { # GROUP SHARES, where a process has 1024
    group "$1"
    if [ -e "$1/cpu.shares" ]; then
        echo "$2" >"$1/cpu.shares"
    else
        echo "$(($2 * 100 / 1024))" >"$1/cpu.weight"
    fi
}
processors=/sys/fs/cgroup
[ -e "$processors/cpu" ] && processors=$processors/cpu
weigh "$processors/minitwit-swarm" 16384
weigh "$processors/minitwit-swarm/outside" 4096
# The first one is entered by all users and has the database.
[ "$name" = n1 ] && share=4096 || share=1024
weigh "$processors/minitwit-swarm/$name" "$share"
engines=$processors/minitwit-swarm-engines
group "$engines"
if [ -e "$engines/cpu.idle" ]; then
    echo 1 >"$engines/cpu.idle"
else
    weigh "$engines" 16 # Linux before 5.15
fi
mkdir -p "$engines/$name"
echo $$ >"$engines/$name/cgroup.procs"

# There is no world outside. A name that Docker does not know is asked of the switch, which refuses:
# no answer at all would hold up whoever asks for seconds.
dockerd \
    --host "unix://$folder/docker.sock" \
    --data-root "$folder/data" \
    --pidfile /run/dockerd.pid \
    --cgroup-parent "/minitwit-swarm/$name" \
    --exec-opt native.cgroupdriver=cgroupfs \
    --storage-driver overlay2 \
    --dns "$outside" \
    --log-level warn &
# To wait is also to take away the processes whose parents have gone.
while kill -0 $! 2>/dev/null; do
    wait || true
done
