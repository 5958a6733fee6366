# shellcheck shell=bash
# The clone as git sees it.

# trust_checkout: git refuses a checkout of another owner (a folder mounted into a container, run as root);
# whoever runs its scripts trusts it, so for this process and its children git may read it.
trust_checkout() {
    local count=${GIT_CONFIG_COUNT:-0}
    [[ -e $CLONE/.git && ! -O $CLONE ]] || return 0
    export GIT_CONFIG_COUNT=$((count + 1))
    export "GIT_CONFIG_KEY_$count=safe.directory" "GIT_CONFIG_VALUE_$count=$CLONE"
}

# example_checkout: a release is named after a commit, so a copy without a history (a tarball) gets one: of a
# copy of the example in the state folder, to leave the clone as it is. Sets $CONFIG, empty for services.toml.
example_checkout() {
    local copy=$LAB/example
    CONFIG=
    if git -C "$CLONE" rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
        return
    fi
    say example "this folder has no git history; using a copy with one: $copy/shop"
    mkdir -p "$copy/shop"
    cp -R "$CLONE/examples/shop/." "$copy/shop/"
    sed 's|"examples/shop"|"shop"|' "$CLONE/services.toml" >"$copy/services.toml"
    (
        cd "$copy/shop" || exit
        [[ -d .git ]] || git init --quiet
        git add --all
        git diff --cached --quiet ||
            git -c user.name=quickstart -c user.email=quickstart@localhost commit --quiet --message 'Copy the example'
    )
    # shellcheck disable=SC2034 # read by quickstart
    CONFIG=config=$copy/services.toml
}
