# shellcheck shell=bash
# A VM's link to this machine, and to nothing else: a veth pair with two addresses of 198.18.0.0/15, the range for
# tests between two hosts (RFC 2544). The number of the link is that of the subnet: onevm3 is 198.18.3.0/30.
# shellcheck disable=SC2153,SC2154 # NAME, VM, lib: see lab-vm

vm_address() { printf '198.18.%d.2' "$(cat "$VM/link")"; }
gateway() { printf '198.18.%d.1' "$(cat "$VM/link")"; }
link_name() { printf 'onevm%d' "$(cat "$VM/link")"; }

# link_is_ours: whether the machine's link of that number belongs to this VM, and not to another lab's.
link_is_ours() {
    [[ -s $VM/link && $(cat "/sys/class/net/$(link_name)/ifalias" 2>/dev/null) == "$VM" ]]
}

# choose_link: the number of the last boot if it is still free, else the first free one.
choose_link() {
    local number routes
    routes=$(ip -4 route show table all)
    for number in $(cat "$VM/link" 2>/dev/null) {0..255}; do
        [[ ! -e /sys/class/net/onevm$number && $routes != *" 198.18.$number."* && $routes != *"198.18.$number.0/"* ]] || continue
        printf '%s\n' "$number" >"$VM/link"
        return
    done
    fail "$NAME" 'no subnet of 198.18.0.0/16 is free' 'scripts/lab vm status, scripts/lab vm down'
}

# link_up: the neighbours are written down, so that after a cut packets vanish and nobody says "no route".
link_up() {
    local pid name number here there
    if link_is_ours; then
        # A line that was killed lets nothing through.
        recorded_pid "vm/$NAME/line" >/dev/null || line_down
        return
    fi
    pid=$(vm_pid)
    name=$(link_name)
    number=$(cat "$VM/link")
    here=$(printf '02:00:c6:12:%02x:01' "$number")
    there=$(printf '02:00:c6:12:%02x:02' "$number")
    ip link add "$name" address "$here" type veth peer name eth0 address "$there" netns "$pid"
    ip link set "$name" alias "$VM" addrgenmode none up
    ip address add "$(gateway)/30" dev "$name"
    ip neighbour replace "$(vm_address)" lladdr "$there" dev "$name" nud permanent
    inside ip link set eth0 addrgenmode none up
    inside ip address add "$(vm_address)/30" dev eth0
    inside ip neighbour replace "$(gateway)" lladdr "$here" dev eth0 nud permanent
    write_ssh_config
}

# link_down: where the VM has just died the kernel is removing it at this moment.
link_down() {
    if link_is_ours; then ip link delete "$(link_name)" 2>/dev/null || ! link_is_ours; fi
}

# registry_port: prints the port of a registry on this machine's loopback; 1 if it is elsewhere.
registry_port() {
    case $REGISTRY in
    127.0.0.1:* | localhost:*) printf '%s\n' "${REGISTRY##*:}" ;;
    *) return 1 ;;
    esac
}

# forward_up: the half on this machine of the way to the registry; the other half is in the VM, see init.
forward_up() {
    local port
    port=$(registry_port) || {
        say "$NAME" "it does not reach the registry $REGISTRY, which is not on this machine's loopback"
        return
    }
    recorded_pid "vm/$NAME/forward" >/dev/null ||
        start_recorded "vm/$NAME/forward" "$VM/forward.log" python3 -I -S "$lib/vm/forward.py" "$(gateway):$port" "127.0.0.1:$port"
}

forward_down() {
    stop_recorded "vm/$NAME/forward" 10 || fail "$NAME" 'the way to the registry still stands after 10 s' "see $VM/forward.log"
}

# RULES: nothing in, nothing out; out of the way of the chains that the engine keeps.
IN=(raw PREROUTING -i eth0 -j DROP)
OUT=(mangle POSTROUTING -o eth0 -j DROP)

# rule ACTION TABLE CHAIN…
rule() { inside iptables -w -t "$2" "$1" "${@:3}" 2>/dev/null; }

link_is_cut() { rule -C "${IN[@]}"; }

link_cut() {
    rule -C "${OUT[@]}" || rule -I "${OUT[@]}"
    rule -C "${IN[@]}" || rule -I "${IN[@]}"
}

link_heal() {
    rule -D "${IN[@]}" || true
    rule -D "${OUT[@]}" || true
    ! link_is_cut || fail "$NAME" 'it is still cut' "scripts/lab vm inside $NAME iptables -t raw -S"
}

# link_slow [--delay TIME] [--rate RATE]: in the units of tc(8), for each direction.
link_slow() {
    local delay='' rate='' shape words
    while (($# > 1)); do
        case $1 in
        --delay) delay=$2 ;;
        --rate) rate=$2 ;;
        *) break ;;
        esac
        shift 2
    done
    if (($# > 0)) || [[ -z $delay$rate ]]; then usage >&2 && exit 1; fi
    if [[ -n $delay ]]; then
        shape=(netem delay "$delay" ${rate:+rate "$rate"})
    else
        shape=(tbf rate "$rate" burst 64kb latency 400ms)
    fi
    if words=$(shaped "$(link_name)" 2>&1) && words=$(shaped eth0 there 2>&1); then
        line_down
        return
    fi
    link_fast
    if [[ -z $delay ]]; then fail "$NAME" "tc refuses: ${shape[*]}" "tc says: $words"; fi
    # This kernel has no netem.
    line_up "$delay" "$rate" || {
        link_fast
        [[ ! -s $VM/line.log ]] || show_tail "$VM/line.log" 8
        fail "$NAME" "it cannot be slow like that: ${shape[*]}" \
            'a delay needs a kernel with netem (sch_netem), or with TAP devices (tun), cls_u32 and act_mirred'
    }
}

# there COMMAND…: in its network, but with this machine's programs.
there() { nsenter --target "$(vm_pid)" --net -- "$@"; }

# shaped DEVICE [there]
shaped() { "${@:2}" tc qdisc replace dev "$1" root "${shape[@]}"; }

link_fast() {
    tc qdisc delete dev "$(link_name)" root 2>/dev/null || true
    there tc qdisc delete dev eth0 root 2>/dev/null || true
    line_down
}

# line_up DELAY RATE: takes the packets of both directions through a process that delays them; see line.py.
line_up() {
    local tries=200
    start_recorded "vm/$NAME/line" "$VM/line.log" python3 -I -S "$lib/vm/line.py" "$(vm_pid)" "$(link_name)" eth0 "$1" "$2"
    until grep -q '^ready' "$VM/line.log"; do
        { recorded_pid "vm/$NAME/line" >/dev/null && ((tries-- > 0)); } || return 1
        sleep 0.05
    done
    diverted "$(link_name)" && diverted eth0 there
}

# diverted DEVICE [there]: what leaves it goes to the line.
diverted() {
    "${@:2}" ip link set "$1-slow" addrgenmode none txqueuelen 10000 up &&
        "${@:2}" tc qdisc add dev "$1" clsact &&
        "${@:2}" tc filter add dev "$1" egress protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev "$1-slow"
}

# line_down: the link is what it was before what is still on the line arrives, so nothing is lost.
line_down() {
    [[ -e $VM/line.pid ]] || return 0
    tc qdisc delete dev "$(link_name)" clsact 2>/dev/null || true
    there tc qdisc delete dev eth0 clsact 2>/dev/null || true
    line_end
}

# line_end: without the link, or before it goes.
line_end() {
    stop_recorded "vm/$NAME/line" 10 || fail "$NAME" 'its slow line does not end' "see $VM/line.log"
}
