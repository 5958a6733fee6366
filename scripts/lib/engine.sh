# shellcheck shell=bash
# The Docker engine: the one that answers, or else one of our own.

ENGINE_NEEDED=26
BUILDX_NEEDED=0.13
COMPOSE_NEEDED=2.26

engine_version() {
    bounded 20 docker version --format '{{.Server.Version}}' 2>/dev/null
}

# engine_up: afterwards an engine answers and the command-line tools are new enough.
engine_up() {
    local version
    if version=$(engine_version); then
        check_version 'Docker Engine' "$version" "$ENGINE_NEEDED"
        install_missing engine docker-buildx docker-compose
        check_tools
        if recorded_pid engine >/dev/null; then
            say engine "Docker $version answers, started here earlier"
        else
            say engine "Docker $version answers, used as it is"
        fi
        return
    fi
    engine_elsewhere
    if ! can_install && present docker-cli && ! { [[ $EUID == 0 ]] && present docker.io; }; then
        fail engine 'Docker is installed but does not answer' \
            'start it (systemctl start docker, or Docker Desktop), see that your user may use it (docker version), then run this command again'
    fi
    install_missing engine docker.io docker-cli docker-buildx docker-compose iptables
    check_version dockerd "$(dockerd --version | sed -n 's/^Docker version \([^,]*\),.*/\1/p')" "$ENGINE_NEEDED"
    check_tools
    mount_cgroups
    engine_start
}

# engine_elsewhere: refuses to start an engine that the docker command would not talk to.
engine_elsewhere() {
    local context
    [[ -z ${ONEVM_LAB_DOCKERD_ARGS:-} ]] || return 0
    [[ -z ${DOCKER_HOST:-} ]] || fail engine "no engine answers at DOCKER_HOST=$DOCKER_HOST" \
        "start that one, or unset DOCKER_HOST for an engine of this machine"
    context=$(docker context show 2>/dev/null) || context=default
    [[ $context == default ]] || fail engine "no engine answers in the docker context $context" \
        "start that one, or choose this machine's: docker context use default"
}

check_tools() {
    check_version 'docker buildx' "$(docker buildx version 2>/dev/null | awk '{ print $2 }')" "$BUILDX_NEEDED"
    check_version 'docker compose' "$(docker compose version --short 2>/dev/null)" "$COMPOSE_NEEDED"
}

# check_version NAME HAVE NEED
check_version() {
    at_least "$2" "$3" || fail engine "$1 is too old: ${2:-unknown}, needed is $3 or newer" \
        'upgrade it the way it was installed, then run this command again'
}

engine_start() {
    local log args tries=300
    log=$(log_of engine)
    read -r -a args <<<"${ONEVM_LAB_DOCKERD_ARGS:-}" || true
    # After a crash the old pid may be another program's by now, and dockerd would refuse to start.
    if [[ -s /var/run/docker.pid && $(cat "/proc/$(cat /var/run/docker.pid)/comm" 2>/dev/null) != dockerd ]]; then
        rm -f /var/run/docker.pid
    fi
    say engine "starting dockerd (log: $log)"
    start_recorded engine "$log" dockerd ${args[@]+"${args[@]}"}
    until engine_version >/dev/null; do
        recorded_pid engine >/dev/null || engine_failed "$log" 'dockerd has ended'
        ((tries-- > 0)) || engine_failed "$log" 'dockerd does not answer'
        sleep 0.2
    done
    say engine "Docker $(engine_version) answers"
}

# engine_failed LOG WHAT
engine_failed() {
    say engine "$2; its last lines:"
    show_tail "$1"
    stop_recorded engine 30 || true
    fail engine "the whole log: $1" \
        'a container needs to be privileged for this; or start Docker yourself, then run this command again'
}

engine_down() {
    local running
    if recorded_pid engine >/dev/null; then
        running=$(docker ps -q 2>/dev/null | wc -l)
        say engine "stopping dockerd$( ((running == 0)) || printf ' and its %d running containers' "$running")"
        stop_recorded engine 90 || fail engine 'dockerd still runs after 90 s' "see $LAB/log/engine.log, then run this command again"
        unmount_cgroups
        say engine 'its images and volumes stay in /var/lib/docker'
    elif engine_version >/dev/null; then
        say engine 'not started here: left as it is'
    else
        say engine 'not running'
    fi
    rm -f "$LAB/engine.pid"
}

engine_status() {
    local version by='not started here' pid
    if ! version=$(engine_version); then
        say engine 'no engine answers'
        return 1
    fi
    if pid=$(recorded_pid engine); then by="started here, pid $pid"; fi
    say engine "Docker $version answers ($by)"
}

# mount_cgroups: a bare container or chroot has none, and no service manager that would mount them.
mount_cgroups() {
    local root=/sys/fs/cgroup groups
    mountpoint -q /sys || mount -t sysfs sysfs /sys || true
    if ! mountpoint -q $root; then
        say engine "mounting cgroups on $root"
        # Hierarchies of version 1 that are in use, as "cpu,cpuacct" where they are mounted together.
        groups=$(awk '!/^#/ && $4 == 1 && $2 > 0 { all[$2] = all[$2] sep[$2] $1; sep[$2] = "," } END { for (id in all) print all[id] }' /proc/cgroups)
        if [[ -z $groups ]]; then
            mount -t cgroup2 cgroup2 $root
        else
            mount_cgroups_1 $root "$groups"
        fi
        printf '%s\n' $root >"$LAB/cgroups.mounted"
    fi
    # Version 2 hands controllers down only from a group without processes (as in docker's own `dind`).
    if [[ -f $root/cgroup.subtree_control && ! -d /run/systemd/system && ! -s $root/cgroup.subtree_control ]]; then
        mkdir -p $root/init
        xargs -rn1 <$root/cgroup.procs >$root/init/cgroup.procs 2>/dev/null || true
        sed -e 's/ / +/g' -e 's/^/+/' <$root/cgroup.controllers >$root/cgroup.subtree_control 2>/dev/null || true
    fi
}

# mount_cgroups_1 ROOT GROUPS
mount_cgroups_1() {
    local root=$1 group name
    mount -t tmpfs -o mode=755 cgroup "$root"
    for group in $2; do
        mkdir -p "$root/$group"
        mount -t cgroup -o "$group" cgroup "$root/$group" || rmdir "$root/$group"
        for name in ${group//,/ }; do
            [[ $name == "$group" ]] || ln -sfn "$group" "$root/$name"
        done
    done
    mkdir -p "$root/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/systemd" || rmdir "$root/systemd"
}

unmount_cgroups() {
    [[ -s $LAB/cgroups.mounted ]] || return 0
    umount -R "$(cat "$LAB/cgroups.mounted")" 2>/dev/null || say engine "$(cat "$LAB/cgroups.mounted") stays mounted"
    rm -f "$LAB/cgroups.mounted"
}
