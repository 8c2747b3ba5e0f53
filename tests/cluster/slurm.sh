#!/usr/bin/env bash
# A real SLURM of some nodes on this one machine, for tests: munged, slurmctld and slurmd on loopback, all state in DIR.
#
#   eval "$(tests/cluster/slurm.sh up DIR [NODES] [PROCESSORS_OF_A_NODE])"     starts it and sets SLURM_CONF
#   tests/cluster/slurm.sh down DIR                                            stops what `up` started
#
# Needs root, and slurm-wlm and munge of Debian or Ubuntu. Each node says that it has one GPU; nothing checks that.
set -euo pipefail

configure() {
    local dir=$1 nodes=$2 cpus=$3 host port=${SLURM_BASE_PORT:-6817} memory_mb
    host=$(hostname -s)
    memory_mb=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    mkdir -p "$dir"/{state,spool,log,run}
    chmod 755 "$dir" "$dir/run"
    [ -f "$dir/munge.key" ] || (umask 077; dd if=/dev/urandom of="$dir/munge.key" bs=1 count=1024 status=none)
    printf 'CgroupAutomount=no\nConstrainCores=no\n' > "$dir/cgroup.conf"
    echo "NodeName=n[1-$nodes] Name=gpu File=/dev/null" > "$dir/gres.conf"
    cat > "$dir/slurm.conf" <<CONF
ClusterName=wsitest
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
MpiDefault=none
GresTypes=gpu
ReturnToService=2
KillWait=2
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
MinJobAge=60
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
PropagateResourceLimits=NONE
CONF
    for ((node = 1; node <= nodes; node++)); do
        mkdir -p "$dir/spool/n$node"
        echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 10 + node)) CPUs=$cpus" \
            "RealMemory=$((memory_mb / nodes)) Gres=gpu:1 State=UNKNOWN" >> "$dir/slurm.conf"
    done
    echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=01:00:00 State=UP OverSubscribe=NO" >> "$dir/slurm.conf"
}

start() {
    local dir=$1 nodes=$2
    munged --force --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" --pid-file="$dir/run/munged.pid" \
        --log-file="$dir/log/munged.log" --seed-file="$dir/run/munged.seed" > /dev/null 2>&1
    slurmctld -f "$SLURM_CONF" >&2
    for ((node = 1; node <= nodes; node++)); do slurmd -N "n$node" -f "$SLURM_CONF" >&2; done
    for ((tries = 0; tries < 150; tries++)); do
        if [ "$(sinfo -h -t idle -o %D 2> /dev/null | head -1)" = "$nodes" ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    echo "SLURM's nodes did not become idle" >&2
    tail -n 5 "$dir"/log/*.log >&2
    stop "$dir"
    exit 1
}

stop() {
    local dir=$1 file pid
    timeout 10 scancel --user="$(id -un)" 2> /dev/null || true
    sleep 0.5
    for file in "$dir"/run/slurmd.*.pid "$dir"/run/slurmctld.pid "$dir"/run/munged.pid; do
        [ -f "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2> /dev/null || continue
        for ((tries = 0; tries < 100; tries++)); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2> /dev/null || true
    done
}

action=${1:?up or down} dir=$(readlink -m "${2:?a folder for its state}")
export SLURM_CONF=$dir/slurm.conf
case $action in
    up) nodes=${3:-2}; configure "$dir" "$nodes" "${4:-$(nproc)}"; start "$dir" "$nodes" ;;
    down) stop "$dir" ;;
    *) echo "up or down, found $action" >&2; exit 2 ;;
esac
