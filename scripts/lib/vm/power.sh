# shellcheck shell=bash
# A VM's processes: one tree under `init`, which dies as one.
# shellcheck disable=SC2153,SC2154 # NAME, VM, lib: see lab-vm

# vm_pid: prints this machine's pid of the VM's first process, if it runs.
vm_pid() { recorded_pid "vm/$NAME/init"; }

vm_socket() { printf 'unix:///proc/%d/root/run/docker.sock' "$(vm_pid)"; }

# inside COMMAND…: runs a command in the VM as root.
inside() {
    env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        "$(cat "$VM/python")" -I -S "$lib/vm/swapless.py" "$(cat "$VM/swap")" \
        nsenter --target "$(vm_pid)" --mount --net --pid --uts --ipc -- "$@" 9>&-
}

# power_on: nothing of this script's environment (proxies, credentials) goes along.
power_on() {
    local tries=100 python
    if vm_pid >/dev/null; then return; fi
    power_off
    link_down
    cgroups_down
    mount_cgroups
    choose_link
    say "$NAME" "starting (state and logs: $VM)"
    : >"$DISK/var/log/sshd.log"
    python=$(python3 -c 'import sys; print(sys.executable)')
    printf '%s\n' "$python" >"$VM/python"
    start_recorded "vm/$NAME/start" "$VM/init.log" env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 \
        "$python" -I -S "$lib/vm/swapless.py" "$(cat "$VM/swap")" unshare --mount --net --pid --uts --ipc --fork --kill-child \
        bash "$lib/vm/init" "$NAME" "$VM" "$CLONE" "$(link_name)" "$python" "$lib/vm/forward.py" "$(gateway)" "$(registry_port || true)"
    until vm_pid >/dev/null; do
        { recorded_pid "vm/$NAME/start" >/dev/null && ((tries-- > 0)); } || vm_failed 'it did not start'
        sleep 0.05
    done
}

# power_off: as in a power cut. The first process is gone only after all others are (pid_namespaces(7)).
power_off() {
    local part pid tries=300
    for part in init start; do
        if pid=$(recorded_pid "vm/$NAME/$part"); then kill -KILL "$pid" 2>/dev/null || true; fi
    done
    for part in init start; do
        while recorded_pid "vm/$NAME/$part" >/dev/null; do
            ((tries-- > 0)) || fail "$NAME" "its processes do not end (pid $(cat "$VM/$part.pid"))" 'run this command again'
            sleep 0.05
        done
        rm -f "$VM/$part.pid"
    done
    line_end
}

# cgroups_down: those of its containers, which nobody removed if the engine was killed.
cgroups_down() {
    local group
    [[ -s $VM/link ]] || return 0
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$(link_name)" 2>/dev/null | while IFS= read -r group; do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

# swap_down: a file that is swap cannot be deleted.
swap_down() {
    local file
    for file in "$DISK"/swapfile*; do [[ ! -f $file ]] || swapoff "$file" 2>/dev/null || true; done
}

await_services() {
    local tries=300
    until grep -q '^Server listening' "$DISK/var/log/sshd.log" && bounded 10 docker -H "$(vm_socket)" version >/dev/null 2>&1; do
        vm_pid >/dev/null || vm_failed 'it has ended'
        ((tries-- > 0)) || vm_failed 'its engine or its sshd does not answer'
        sleep 0.1
    done
    registry_port >/dev/null && registry_answers || return 0
    tries=50
    until vm_registry_answers; do
        ((tries-- > 0)) || vm_failed "it does not reach the registry $REGISTRY"
        sleep 0.1
    done
}

# vm_registry_answers: asked in its network, with this machine's files.
vm_registry_answers() (
    # shellcheck disable=SC2016 # for the other shell
    nsenter --target "$(vm_pid)" --net bash -c '. "$1/steps.sh"; . "$1/registry.sh"; registry_answers' bash "$lib"
)

# vm_failed WHAT
vm_failed() {
    local log
    say "$NAME" "$1; the last lines of its logs:"
    for log in "$VM"/{init,forward}.log "$DISK"/var/log/{sshd,docker}.log; do
        [[ ! -s $log ]] || show_tail "$log" 8
    done
    fail "$NAME" "the logs: $VM/*.log, $DISK/var/log" "scripts/lab vm down $NAME removes it"
}

vm_status() {
    local engine store
    if ! vm_pid >/dev/null; then
        say "$NAME" "not running; scripts/lab vm up $NAME boots it, vm down $NAME removes it"
        return 1
    fi
    engine=$(bounded 10 docker -H "$(vm_socket)" version --format '{{.Server.Version}}' 2>/dev/null) || engine='does not answer'
    store=$(cat "$VM/store")
    say "$NAME" "$(vm_address), Docker $engine (image store: $store)$(! link_is_cut || printf ', cut off'), first process $(vm_pid)"
    say "$NAME" "ssh_config: $VM/ssh_config; disk: $DISK; its engine from here: $(vm_socket)"
    [[ $engine != does* ]]
}
