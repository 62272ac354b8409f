#!/bin/sh
# The first process of a machine that is made of namespaces (network, mounts, processes, host name). When it is
# killed, the kernel kills all processes of the machine and removes its network and its mounts.
#
#   sh node.sh NAME ADDRESS OUTSIDE FOLDER
set -eu

name=$1
address=$2
outside=$3
folder=$4

hostname "$name"
# Each machine needs its own /run, because Docker's sockets and network namespaces have fixed names there.
mount -t tmpfs -o mode=755 tmpfs /run
# Volumes are in memory. On a shared disk, each commit of the database would wait for the writes of other
# programs.
mkdir -p "$folder/data/volumes"
mount -t tmpfs -o mode=711,size=2g tmpfs "$folder/data/volumes"
ip link set lo up
# `machine.rs` connects the cable.
until ip link set eth0 up 2>/dev/null; do
    sleep 0.02
done
ip address add "$address/24" dev eth0
iptables -w -P FORWARD ACCEPT

# The three machines share about two processors. The load outside of the machines has the highest priority, then the
# containers of the machines, then the Engines. Without priorities, all containers of all machines together would
# have the same weight as one thread of an Engine that starts a container. A low weight is not enough for the
# Engines, because a thread that wakes up waits for the end of the running thread's time slice, and a request wakes
# up dozens of threads. A thread of an idle control group yields at once.
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
# All requests arrive at the first machine, which also has the database.
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

# There is no network outside. Docker forwards queries for unknown names to the switch, which refuses them. Without a
# response, the queries would take seconds.
dockerd \
    --host "unix://$folder/docker.sock" \
    --data-root "$folder/data" \
    --pidfile /run/dockerd.pid \
    --cgroup-parent "/minitwit-swarm/$name" \
    --exec-opt native.cgroupdriver=cgroupfs \
    --storage-driver overlay2 \
    --dns "$outside" \
    --log-level warn &
# `wait` also collects processes whose parents have ended.
while kill -0 $! 2>/dev/null; do
    wait || true
done
