# shellcheck shell=bash
# Programs that the lab started and left running: each is recorded as "PID START" in the state folder, and
# only a process that is still the recorded one is ever stopped.

# started_at PID: prints when the process started, in clock ticks since boot (proc(5), field 22 of stat).
started_at() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The second field is the program's name in brackets, and may hold spaces.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s\n' "${20}"
}

# start_recorded NAME LOG COMMAND…: starts a command in a session of its own, holding no descriptor of ours.
start_recorded() {
    local name=$1 log=$2 pid
    shift 2
    setsid "$@" </dev/null >"$log" 2>&1 9>&- &
    pid=$!
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$LAB/$name.pid"
    disown "$pid"
}

# recorded_pid NAME: prints the pid, if the recorded process still runs.
recorded_pid() {
    local pid start
    [[ -s $LAB/$1.pid ]] || return 1
    read -r pid start <"$LAB/$1.pid" || return 1
    [[ $(started_at "$pid") == "$start" ]] || return 1
    # A process that has ended but was not yet waited for is gone all the same.
    ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null || return 1
    printf '%s\n' "$pid"
}

# stop_recorded NAME SECONDS: ends the recorded process and waits for it; 1 if it is still there after that.
stop_recorded() {
    local pid tries=$(($2 * 5))
    if pid=$(recorded_pid "$1"); then
        kill -TERM "$pid"
        while recorded_pid "$1" >/dev/null; do
            ((tries-- > 0)) || return 1
            sleep 0.2
        done
    fi
    rm -f "$LAB/$1.pid"
}
