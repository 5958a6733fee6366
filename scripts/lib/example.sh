# shellcheck shell=bash
# The example shop as quickstart deploys it: from services.toml as it is, where that fits this machine.

STACK=shop
SHOP_PORT=${SHOP_PORT:-8080}
ADDRESS=http://127.0.0.1:$SHOP_PORT
# The Compose file reads both.
export SHOP_PORT SHOP_REGISTRY=$REGISTRY

# example_config: sets $CONFIG to the `config=` argument for doit; empty where services.toml fits as it is.
example_config() {
    local checkout=$CLONE/examples/shop copy=$LAB/example
    CONFIG=
    if ! git -C "$CLONE" rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
        checkout=$copy/shop
        example_copy "$checkout"
    elif [[ $REGISTRY == 127.0.0.1:5055 && $SHOP_PORT == 8080 ]]; then
        return
    fi
    mkdir -p "$copy"
    sed -e "s|\"examples/shop\"|\"$checkout\"|" -e "s|\"127.0.0.1:5055/|\"$REGISTRY/|" -e "s|http://127.0.0.1:8080/|$ADDRESS/|" \
        "$CLONE/services.toml" >"$copy/services.toml"
    # shellcheck disable=SC2034 # read by quickstart
    CONFIG=config=$copy/services.toml
    say example "this machine's services.toml: $copy/services.toml"
}

# example_copy FOLDER: a release is named after a commit, so where the clone has no history (a tarball) a copy
# of the example gets one; the clone itself stays as it is.
example_copy() {
    say example "this folder has no git history; using a copy of the example that has one: $1"
    mkdir -p "$1"
    cp -R "$CLONE/examples/shop/." "$1/"
    (
        cd "$1" || exit
        [[ -d .git ]] || git init --quiet
        git add --all
        git diff --cached --quiet ||
            git -c user.name=quickstart -c user.email=quickstart@localhost commit --quiet --message 'Copy the example'
    )
}

# example_port_free: refuses an address that something else than the shop listens on.
example_port_free() {
    [[ -z $(docker ps -q --filter "label=com.docker.compose.project=$STACK") ]] || return 0
    ! (exec 3<>"/dev/tcp/127.0.0.1/$SHOP_PORT") 2>/dev/null ||
        fail "$STACK" "something else listens on 127.0.0.1:$SHOP_PORT" 'stop it, or choose another port: SHOP_PORT=8081 scripts/quickstart'
}

# example_page: prints the address and how the page that answers there begins.
example_page() {
    local page
    page=$("$PYTHON" "$CLONE/scripts/lib/page.py" "$ADDRESS" 8 2>&1) || fail "$STACK" "$ADDRESS does not answer: ${page##*$'\n'}" \
        'look at the containers: doit status, docker compose -p shop logs'
    say "$STACK" "$ADDRESS answers:"
    printf '%s\n' "$page" | sed 's/^/    | /' >&2
}

# example_down: the shop's containers and networks; volumes stay.
example_down() {
    bounded 20 docker version >/dev/null 2>&1 || return 0
    say "$STACK" "removing the containers of the Compose project $STACK; its volumes stay (docker volume ls)"
    logged "$STACK" 'mend that, then run this command again' docker compose -p "$STACK" down --remove-orphans
}
