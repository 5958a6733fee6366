# shellcheck shell=bash
# Debian 13's packages on Debian 12: the machine's own source entry, for another suite, with low priority.

TRIXIE_SOURCE=/etc/apt/sources.list.d/onevm-trixie.sources
TRIXIE_PIN=/etc/apt/preferences.d/onevm-trixie

# add_trixie TOPIC: adds the source unless the machine has one; 1 if there was nothing to add.
add_trixie() {
    local site entry file
    if apt-cache policy | grep -q 'n=trixie'; then
        return 1
    fi
    # base-files comes from Debian itself, so its source is the one to copy, whatever else is configured.
    site=$(apt-cache policy base-files | awk '$3 == "bookworm/main" { print $2; exit }')
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -r $file && -n $site ]] || continue
        entry=$(trixie_from_line "$site" <"$file")
        [[ -z $entry ]] || break
    done
    if [[ -z ${entry:-} ]]; then
        for file in /etc/apt/sources.list.d/*.sources; do
            [[ -r $file && -n $site ]] || continue
            entry=$(trixie_from_stanza "$site" <"$file")
            [[ -z $entry ]] || break
        done
    fi
    [[ -n ${entry:-} ]] || fail "$1" "no apt source for bookworm/main found, to derive one for trixie from" \
        "add a source for Debian 13 (trixie) to /etc/apt/sources.list.d yourself, then run this command again"
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$TRIXIE_PIN"
    case $file in
    *.sources) printf '%s\n' "$entry" >"$TRIXIE_SOURCE" ;;
    *) printf '%s\n' "$entry" >"${TRIXIE_SOURCE%.sources}.list" ;;
    esac
    say "$1" "added Debian 13 as an apt source of priority 100, like $file"
}

# trixie_from_line SITE: the one-line entry (sources.list(5)) on stdin for bookworm at the site, made for trixie.
trixie_from_line() {
    awk -v site="$1" '
        $1 == "deb" {
            line = $0
            sub(/#.*/, "", line)
            options = match(line, /\[[^]]*\]/) ? substr(line, RSTART, RLENGTH) " " : ""
            sub(/\[[^]]*\]/, "", line)
            split(line, word)
            address = word[2]
            sub(/\/+$/, "", address)
            if (address == site && word[3] == "bookworm" && line ~ /[ \t]main([ \t]|$)/) {
                print "deb " options word[2] " trixie main"
                exit
            }
        }'
}

# trixie_from_stanza SITE: the same for deb822; fields such as Signed-By come along, with continuation lines.
trixie_from_stanza() {
    awk -v site="$1" '
        function has(text, wanted,    words, count, i) {
            count = split(text, words, " ")
            for (i = 1; i <= count; i++) {
                sub(/\/+$/, "", words[i])
                if (words[i] == wanted) return 1
            }
            return 0
        }
        BEGIN { RS = ""; FS = "\n" }
        {
            delete value
            kept = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^#/) continue
                if ($i ~ /^[ \t]/) { value[name] = value[name] " " $i }
                else {
                    name = tolower(substr($i, 1, index($i, ":") - 1))
                    value[name] = substr($i, index($i, ":") + 1)
                }
                if (name !~ /^(types|uris|suites|components|enabled)$/) kept = kept "\n" $i
            }
            if (value["enabled"] ~ /no|false|off|0/) next
            if (has(value["types"], "deb") && has(value["uris"], site) && has(value["suites"], "bookworm") && has(value["components"], "main")) {
                print "Types: deb\nURIs: " site "\nSuites: trixie\nComponents: main" kept
                exit
            }
        }'
}
