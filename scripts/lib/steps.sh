# shellcheck shell=bash
# How a script works and talks: where its things are, one stamped line per step on stderr, everything
# else in a log whose tail is shown when the step fails.

CLONE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
LAB=${ONEVM_LAB_DIR:-$CLONE/.lab}
case $LAB in /*) ;; *) LAB=$PWD/$LAB ;; esac
REGISTRY=${ONEVM_LAB_REGISTRY:-127.0.0.1:5055}
export ONEVM_LAB_DIR=$LAB ONEVM_LAB_REGISTRY=$REGISTRY
# dockerd, sshd and iptables live where an ordinary user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# say TOPIC TEXT
say() {
    printf '%s  %-10s  %s\n' "$(date +%H:%M:%S)" "$1" "$2" >&2
}

# fail TOPIC WHAT NEXT: an explained end.
fail() {
    say "$1" "$2"
    printf '%22snext: %s\n' '' "$3" >&2
    exit 1
}

# show_tail FILE [LINES]
show_tail() {
    tail -n "${2:-20}" "$1" | sed 's/^/    | /' >&2
}

# log_of TOPIC: prints the path of the topic's log; its folder is there afterwards.
log_of() {
    mkdir -p "$LAB/log"
    printf '%s\n' "$LAB/log/$1.log"
}

# logged TOPIC NEXT COMMAND…: runs a command quietly, or ends with the tail of its log and the next step.
logged() {
    local topic=$1 next=$2 log code=0
    shift 2
    log=$(log_of "$topic")
    "$@" </dev/null >"$log" 2>&1 || code=$?
    if ((code != 0)); then
        say "$topic" "failed with exit code $code: $*"
        show_tail "$log"
        fail "$topic" "the whole log: $log" "$next"
    fi
}

# bounded SECONDS COMMAND…: with a time limit where the machine has `timeout` (macOS has not).
bounded() {
    if command -v timeout >/dev/null; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

# at_least HAVE NEED: compares versions; a leading v does not count.
at_least() {
    [[ -n $1 && $(printf '%s\n%s\n' "$2" "${1#v}" | sort -V | head -n 1) == "$2" ]]
}

CHILD=

# child COMMAND…: runs a command in a process group of its own, so that `stop_child` in a trap ends all of
# it at once, and a trap need not wait until it is done. Its standard input is empty.
child() {
    local code=0
    set -m
    "$@" </dev/null &
    CHILD=$!
    set +m
    wait "$CHILD" || code=$?
    CHILD=
    return "$code"
}

# stop_child SIGNAL: passes a signal on to the running child, and waits for its end.
stop_child() {
    [[ -n $CHILD ]] || return 0
    kill "-$1" -- "-$CHILD" 2>/dev/null || true
    wait "$CHILD" 2>/dev/null || true
    CHILD=
}
