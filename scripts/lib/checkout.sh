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
