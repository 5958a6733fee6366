# Writes a file from standard input, beside and renamed, and keeps a copy of what was there.
#   put.sh PATH MODE SIZE SEEN BACKUPS [PROGRAM…]
# MODE `keep` is the mode and owner of the old file, `gone` takes it away; SEEN is its sha256, `absent`, or `any`;
# PROGRAM is given the new file as its last argument before it takes its place, and refuses it by its exit code.
# Exit code 4: the file has changed meanwhile.
# shellcheck shell=sh
set -eu
LC_ALL=C
export LC_ALL
path=$1 mode=$2 size=$3 seen=$4 backups=$5
shift 5
if [ -L "$path" ]; then path=$(readlink -f "$path"); fi
umask 022
mkdir -p "${path%/*}"
new=$(mktemp "$path.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' TERM INT HUP PIPE
cat >"$new"
# A connection that breaks ends the input early, and says nothing.
[ "$(wc -c <"$new")" -eq "$size" ] || { echo 'it did not arrive whole' >&2; exit 1; }
if [ $# -gt 0 ]; then "$@" "$new" >&2; fi
now=absent
if [ -e "$path" ]; then now=$(sha256sum <"$path" | cut -d ' ' -f 1); fi
[ "$seen" = any ] || [ "$now" = "$seen" ] || { echo "$path was changed meanwhile" >&2; exit 4; }
if [ "$mode" = gone ]; then
    :
elif [ "$mode" != keep ]; then
    chmod "$mode" "$new"
elif [ -e "$path" ]; then
    chmod --reference="$path" "$new"
    chown --reference="$path" "$new"
else
    chmod 644 "$new"
fi
if [ -e "$path" ]; then
    (umask 077 && mkdir -p "$backups${path%/*}")
    cp -p "$path" "$backups$path"
fi
if [ "$mode" = gone ]; then
    rm -f "$path"
    exit
fi
sync "$new" 2>/dev/null || sync
mv -f "$new" "$path"
