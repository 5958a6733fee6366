# shellcheck shell=bash
# The registry: the one that answers at $ONEVM_LAB_REGISTRY, or else one of our own, plain HTTP on loopback.

REGISTRY_CONTAINER=onevm-lab-registry

# registry_reply: prints the status line of GET /v2/; needs no curl. 1 if nothing listens there.
registry_reply() (
    exec 3<>"/dev/tcp/${REGISTRY%:*}/${REGISTRY##*:}" || exit 1
    printf 'GET /v2/ HTTP/1.0\r\nHost: %s\r\n\r\n' "$REGISTRY" >&3
    line='(no reply)'
    read -r -t 10 line <&3 || true
    printf '%s\n' "${line%$'\r'}"
) 2>/dev/null

# registry_answers: 401 is a registry too, one that wants a login.
registry_answers() {
    case $(registry_reply) in
    'HTTP/1.'?' 200'* | 'HTTP/1.'?' 401'*) return 0 ;;
    *) return 1 ;;
    esac
}

registry_up() {
    local reply
    if registry_answers; then
        if recorded_pid registry >/dev/null || [[ -s $LAB/registry.container ]]; then
            say registry "$REGISTRY answers, started here earlier"
        else
            say registry "$REGISTRY answers, used as it is"
        fi
        return
    fi
    if reply=$(registry_reply); then
        fail registry "something that is no registry listens on $REGISTRY: ${reply:-no reply}" \
            'choose another address: ONEVM_LAB_REGISTRY=127.0.0.1:5056'
    fi
    case ${REGISTRY%:*} in
    127.* | localhost) ;;
    *) fail registry "no registry answers at $REGISTRY" 'start it, or unset ONEVM_LAB_REGISTRY for one on this machine' ;;
    esac
    if present docker-registry || can_install; then
        install_missing registry docker-registry
        registry_start
    else
        registry_start_container
    fi
}

registry_start() {
    local log
    log=$(log_of registry)
    mkdir -p "$LAB/registry"
    cat >"$LAB/registry.yml" <<-END
	version: 0.1
	log: {level: warn}
	storage:
	  filesystem: {rootdirectory: "$LAB/registry"}
	  delete: {enabled: true}
	http: {addr: "$REGISTRY"}
	END
    say registry "starting docker-registry on $REGISTRY (log: $log)"
    start_recorded registry "$log" docker-registry serve "$LAB/registry.yml"
    if ! await_registry; then
        say registry 'docker-registry does not answer; its last lines:'
        show_tail "$log"
        stop_recorded registry 10 || true
        fail registry "the whole log: $log" 'mend that, then run this command again'
    fi
}

registry_start_container() {
    say registry "starting the container $REGISTRY_CONTAINER (registry:2) on $REGISTRY"
    docker rm -f "$REGISTRY_CONTAINER" >/dev/null 2>&1 || true
    logged registry 'install docker-registry (Debian) or see that registry:2 can be pulled, then run this command again' \
        docker run -d --name "$REGISTRY_CONTAINER" -p "$REGISTRY:5000" -e REGISTRY_STORAGE_DELETE_ENABLED=true \
        -v "$REGISTRY_CONTAINER:/var/lib/registry" registry:2
    printf '%s\n' "$REGISTRY_CONTAINER" >"$LAB/registry.container"
    await_registry || fail registry "$REGISTRY does not answer" "see docker logs $REGISTRY_CONTAINER"
}

# await_registry: until it answers, at most 30 s; at once if the recorded process has ended.
await_registry() {
    local tries=150
    until registry_answers; do
        [[ -s $LAB/registry.container ]] || recorded_pid registry >/dev/null || return 1
        ((tries-- > 0)) || return 1
        sleep 0.2
    done
}

registry_down() {
    if recorded_pid registry >/dev/null; then
        say registry "stopping docker-registry; its images stay in $LAB/registry"
        stop_recorded registry 20 || fail registry 'docker-registry still runs after 20 s' "see $LAB/log/registry.log"
    elif [[ -s $LAB/registry.container ]]; then
        say registry "removing the container $REGISTRY_CONTAINER; its volume of that name stays"
        docker rm -f "$REGISTRY_CONTAINER" >/dev/null
    elif registry_answers; then
        say registry "$REGISTRY was not started here: left as it is"
    else
        say registry 'not running'
    fi
    rm -f "$LAB/registry.pid" "$LAB/registry.container"
}

registry_status() {
    local by='not started here' pid
    if ! registry_answers; then
        say registry "none answers at $REGISTRY"
        return 1
    fi
    if pid=$(recorded_pid registry); then by="started here, pid $pid"; fi
    if [[ -s $LAB/registry.container ]]; then by="started here, container $REGISTRY_CONTAINER"; fi
    say registry "$REGISTRY answers ($by)"
}
