# shellcheck shell=bash
# Debian packages: which are missing, and how to get them without replacing or starting anything.

# Debian 12 has no buildx and Compose v1; these come from Debian 13 there.
FROM_TRIXIE=' docker.io docker-cli docker-buildx docker-compose docker-registry '

# present PACKAGE: whether the machine has what we need the package for, wherever it came from.
present() {
    case $1 in
    ca-certificates) [[ $(uname) != Linux || -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt ]] ;;
    docker-buildx) docker buildx version ;;
    docker-compose) docker compose version ;;
    python3-venv) python3 -c 'import ensurepip, venv' ;;
    docker.io) command -v dockerd ;;
    docker-cli) command -v docker ;;
    busybox-static) command -v busybox ;;
    iproute2) command -v ip ;;
    util-linux-extra) command -v pivot_root ;; # in util-linux up to Debian 13
    openssh-client) command -v ssh ;;
    openssh-server) command -v sshd ;;
    procps) command -v ps ;;
    xfsprogs) command -v mkfs.xfs ;;
    btrfs-progs) command -v mkfs.btrfs ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# missing PACKAGE…: prints those that are not there, one per line.
missing() {
    local package
    for package in "$@"; do
        present "$package" || printf '%s\n' "$package"
    done
}

# os_release KEY: prints one value of /etc/os-release.
os_release() {
    [[ -r /etc/os-release ]] && (
        # shellcheck source=/dev/null
        . /etc/os-release && printf '%s\n' "${!1:-}"
    )
}

# can_install: whether packages may be installed here: Debian 12 or newer, apt, root.
can_install() {
    local version
    [[ $EUID == 0 && $(os_release ID) == debian ]] && command -v apt-get >/dev/null || return 1
    version=$(os_release VERSION_ID)
    at_least "${version:-99}" 12 # testing has no number
}

# install_missing TOPIC PACKAGE…: installs what is missing of these, or says exactly what to install.
install_missing() {
    local topic=$1 wanted
    shift
    wanted=$(missing "$@" | tr '\n' ' ')
    [[ -n $wanted ]] || return 0
    read -r -a wanted <<<"$wanted"
    can_install || refuse_install "$topic" "${wanted[@]}"
    say "$topic" "installing ${wanted[*]}"
    keep_certificates apt_install "$topic" "${wanted[@]}"
}

# refuse_install TOPIC PACKAGE…
refuse_install() {
    local topic=$1 why='this machine has no apt'
    shift
    if command -v apt-get >/dev/null; then
        if [[ $(os_release ID) == debian ]]; then why='only root may install packages'; else why='this is not Debian 12 or newer'; fi
    fi
    if [[ $why == only* ]]; then
        fail "$topic" "missing: $* ($why)" "run this command once as root, or as root: scripts/lab install $*"
    fi
    fail "$topic" "missing, by the names of Debian's packages: $* ($why)" \
        "install them your own way (Docker: Engine >= $ENGINE_NEEDED, buildx >= $BUILDX_NEEDED, Compose >= $COMPOSE_NEEDED, https://docs.docker.com/engine/install/), then run this command again"
}

# apt_install TOPIC PACKAGE…: installs the packages, some of them from trixie on Debian 12. Nothing is removed
# for them, and no service starts by itself, now or at the next boot.
apt_install() {
    local topic=$1 package own=() trixie=() policy=/usr/sbin/policy-rc.d
    local next='mend what apt-get complains about, then run this command again'
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
    local install=("${apt[@]}" install --no-install-recommends --no-remove)
    shift
    for package in "$@"; do
        if [[ $(os_release VERSION_CODENAME) == bookworm && $FROM_TRIXIE == *" $package "* ]]; then
            trixie+=("$package")
        else
            own+=("$package")
        fi
    done
    # apt-get waits for other apt-gets, dpkg for nobody: one of ours at a time.
    exec 8>/run/onevm-packages.lock
    flock 8
    logged "$topic" "$next" dpkg --configure -a
    logged "$topic" "$next" "${apt[@]}" update
    if ((${#trixie[@]} > 0)) && add_trixie "$topic"; then
        logged "$topic" "$next" "${apt[@]}" update
    fi
    if [[ -e $policy ]] && ! grep -q 'by onevm' "$policy"; then
        policy=
    else
        printf '#!/bin/sh\n# by onevm: only while it installs packages\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    (
        trap '[[ -z $policy ]] || rm -f "$policy"' EXIT
        ((${#own[@]} == 0)) || logged "$topic" "$next" "${install[@]}" "${own[@]}"
        ((${#trixie[@]} == 0)) || logged "$topic" "$next" "${install[@]}" -t trixie "${trixie[@]}"
    )
    exec 8>&-
    not_at_boot "$@"
}

# not_at_boot PACKAGE…: the packages' services are for us to start, not for the machine.
not_at_boot() {
    local package
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
        docker.io) systemctl disable --quiet docker.service docker.socket containerd.service ;;
        docker-registry) systemctl disable --quiet docker-registry.service ;;
        openssh-server) systemctl disable --quiet ssh.service ;;
        caddy) systemctl disable --quiet caddy.service ;;
        esac 2>/dev/null || true
    done
}

# keep_certificates COMMAND…: runs a command that may install the package ca-certificates, which writes
# /etc/ssl/certs/ca-certificates.crt anew. An authority that someone put there by hand (a company's proxy)
# would be lost: it is put where the package looks for local ones.
keep_certificates() {
    local bundle=/etc/ssl/certs/ca-certificates.crt local_folder=/usr/local/share/ca-certificates before
    if [[ ! -s $bundle || -x /usr/sbin/update-ca-certificates ]]; then
        "$@"
        return
    fi
    before=$(mktemp)
    cat "$bundle" >"$before"
    "$@"
    if [[ -x /usr/sbin/update-ca-certificates ]]; then
        awk -v folder="$local_folder" '
            /-----BEGIN CERTIFICATE-----/ { block = "" ; inside = 1 }
            inside { block = block $0 "\n" }
            /-----END CERTIFICATE-----/ {
                inside = 0
                if (FILENAME == ARGV[1]) known[block] = 1
                else if (!(block in known)) printf "%s", block > (folder "/kept-" (++kept) ".crt")
            }' "$bundle" "$before"
        update-ca-certificates >/dev/null 2>&1
    fi
    rm -f "$before"
}
