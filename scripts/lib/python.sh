# shellcheck shell=bash
# The virtual environment: an active one or the clone's own .venv, filled from pyproject.toml's groups.

# python_up GROUP: afterwards $PYTHON is an interpreter that has the group's packages, its folder first on PATH.
python_up() {
    local group=$1 lacking venv=$CLONE/.venv
    if [[ -n ${VIRTUAL_ENV:-} && $VIRTUAL_ENV != "$venv" ]] && group_lacks "$VIRTUAL_ENV/bin/python" "$group" >/dev/null; then
        use_python "$VIRTUAL_ENV"
        say python "the active $VIRTUAL_ENV has all packages, used as it is"
        return
    fi
    if lacking=$(group_lacks "$venv/bin/python" "$group"); then
        use_python "$venv"
        say python "$venv has all packages"
        return
    fi
    if [[ ! -x $venv/bin/python || -z $lacking ]]; then
        create_venv "$venv"
    fi
    say python "installing the packages of the group $group into $venv"
    fill_venv "$venv" "$group"
    use_python "$venv"
}

# group_lacks PYTHON GROUP: succeeds if nothing is missing, else prints the missing requirements; fails
# without a word if the interpreter itself is missing, broken or too old.
group_lacks() {
    local lacking
    lacking=$("$1" "$CLONE/scripts/lib/group.py" "$CLONE/pyproject.toml" "$2" 2>/dev/null) || return 1
    [[ -z $lacking ]] || {
        printf '%s\n' "$lacking"
        return 1
    }
}

# python_packages: prints what a machine without any python3 has to install.
python_packages() {
    command -v python3 >/dev/null || printf 'python3 python3-venv\n'
}

use_python() {
    PYTHON=$1/bin/python
    export PYTHON PATH="$1/bin:$PATH" VIRTUAL_ENV=$1
}

# create_venv FOLDER
create_venv() {
    local candidate
    install_missing python python3 python3-venv ca-certificates
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        say python "creating $1 with $("$candidate" --version)"
        logged python "remove $1 if it is broken, then run this command again" "$candidate" -m venv "$1"
        return
    done
    fail python "no python3 of version 3.11 or newer with the venv module" 'install one, then run this command again'
}

# fill_venv FOLDER GROUP
fill_venv() {
    local python=$1/bin/python next='see that the package index can be reached (pip config list), then run this command again'
    # pip < 24.2 trusts only the authorities it carries, not the machine's (a company's proxy).
    if [[ -z ${PIP_CERT:-} && -s /etc/ssl/certs/ca-certificates.crt ]]; then
        export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
    "$python" -m pip --version >/dev/null 2>&1 || logged python "$next" "$python" -m ensurepip
    logged python "$next" "$python" -m pip install --upgrade 'pip>=25.1'
    logged python "$next" "$python" -m pip install --group "$CLONE/pyproject.toml:$2"
}
