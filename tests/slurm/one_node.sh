#!/usr/bin/env bash
# one_node.sh COMMAND...: run COMMAND beside a real munged, slurmctld and slurmd of our own on this machine, all in a temporary folder, and
# take them away again. Needs root and the packages slurm-wlm and munge; exits 77 with one line where it cannot start.
set -uo pipefail
skip() { echo "skip: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip 'a Slurm of our own needs root'
for tool in munged slurmctld slurmd sbatch; do command -v $tool > /dev/null || skip "$tool is not installed (apt-get install slurm-wlm munge)"; done
id munge > /dev/null 2>&1 || skip 'there is no user munge'
pidof slurmctld slurmd > /dev/null && skip 'a Slurm runs here already'

place=$(mktemp -d /tmp/relearn-slurm.XXXXXX)
chmod 755 "$place"
ended() {
    # slurmd leaves its jobs running when it ends, by design: they end first, a script that traps SIGTERM by KillWait's SIGKILL.
    if [ -s "$place/slurmctld.pid" ]; then
        timeout 5 scancel --quiet --user=root
        for _ in $(seq 100); do
            [ -z "$(timeout 5 squeue --noheader --states=all --format=%T 2> /dev/null | grep -E 'PENDING|RUNNING|COMPLETING|SUSPENDED')" ] && break
            sleep 0.2
        done
    fi
    for name in slurmd slurmctld munged; do
        [ -s "$place/$name.pid" ] && kill "$(cat "$place/$name.pid")" 2> /dev/null
    done
    for _ in $(seq 50); do
        alive=0
        for name in slurmd slurmctld munged; do [ -s "$place/$name.pid" ] && kill -0 "$(cat "$place/$name.pid")" 2> /dev/null && alive=1; done
        [ $alive = 0 ] && break
        sleep 0.1
    done
    [ -n "${RELEARN_KEEP_SLURM:-}" ] && echo "left in $place" || rm -rf "$place"
}
trap ended EXIT

# munge insists on its own folders. Its socket is ours too, so that a munged of the machine stays as it is.
mkdir -p "$place/munge" "$place/socket" "$place/state" "$place/spool"
dd if=/dev/urandom of="$place/munge/key" bs=1 count=1024 status=none
chmod 600 "$place/munge/key"
chown -R munge: "$place/munge" "$place/socket"
runuser -u munge -- munged --key-file="$place/munge/key" --pid-file="$place/munge/pid" --log-file="$place/munge/log" \
    --seed-file="$place/munge/seed" --socket="$place/socket/munge" --force 2> "$place/munged.err" || skip "munged does not start: $(tail -n 1 "$place/munged.err")"
cp "$place/munge/pid" "$place/munged.pid"

host=$(hostname -s) cores=$(nproc) memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 / 2))
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
export SLURM_CONF=$place/slurm.conf
cat > "$SLURM_CONF" <<CONF
ClusterName=relearn-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$place/socket/munge,cred_expire=5
CryptoType=crypto/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
MinJobAge=600
KillWait=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld -c > "$place/slurmctld.out" 2>&1 || skip "slurmctld does not start: $(tail -n 1 "$place/slurmctld.out")"
slurmd > "$place/slurmd.out" 2>&1 || skip "slurmd does not start: $(tail -n 1 "$place/slurmd.out")"
for _ in $(seq 100); do
    sinfo -h -o %T 2> /dev/null | grep -q idle && break
    sleep 0.2
done
sinfo -h -o %T 2> /dev/null | grep -q idle || skip "the node does not come up: $(tail -n 2 "$place/slurmctld.log" "$place/slurmd.log" | tr '\n' ' ')"
"$@"
