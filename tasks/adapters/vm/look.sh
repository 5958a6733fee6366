# Prints what is there, one fact a line: NAME VALUE; the contents of files in base64.
#   look.sh SWAP_FILE FILE…
# shellcheck shell=sh
set -u
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
swap_file=$1
shift
encoded() { base64 <"$1" | tr -d '\n'; }
# of_this_machine PID: not a container's, which the machine sees among its own.
of_this_machine() {
    theirs=$(readlink "/proc/$1/ns/mnt" 2>/dev/null) || theirs=
    [ -z "$theirs" ] || [ "$theirs" = "$(readlink /proc/self/ns/mnt)" ]
}
[ ! -d /run/systemd/system ] || echo 'systemd yes'
pid=$(cat /run/docker.pid 2>/dev/null)
[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || pid=
for entry in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$entry/comm" || continue
    case $name in
    cron | crond | cronie) if of_this_machine "${entry#/proc/}"; then cron=yes; fi ;;
    dockerd) if [ -z "$pid" ] && of_this_machine "${entry#/proc/}"; then pid=${entry#/proc/}; fi ;;
    esac
done
[ -z "${cron:-}" ] || echo 'cron yes'
daemon=/etc/docker/daemon.json
if [ -n "$pid" ]; then
    echo "dockerd $(readlink "/proc/$pid/exe" || command -v dockerd)"
    echo "pid $pid"
    echo "flags $(encoded "/proc/$pid/cmdline")"
    named=$(tr '\0' '\n' <"/proc/$pid/cmdline" | awk '
        next_one {print; exit} $0 ~ /^--?config-file$/ {next_one = 1} sub(/^--?config-file=/, "") {print; exit}')
    daemon=${named:-$daemon}
    if [ -e "$daemon" ] && [ -e /run/docker.pid ] && [ -n "$(find -L "$daemon" -newer /run/docker.pid)" ]; then
        echo 'newer yes'
    fi
fi
echo "daemon $daemon"
set -- "$@" "$daemon" /etc/fstab
for file in "$@"; do
    if [ -f "$file" ]; then
        echo "mode $file $(stat -L -c %a "$file")"
        [ ! -r "$file" ] || echo "file $file $(encoded "$file")"
    elif [ -e "$file" ]; then
        echo "odd $file"
    fi
done
echo "memory $(awk '$1 == "MemTotal:" {print $2}' /proc/meminfo)"
echo "swaps $(encoded /proc/swaps)"
echo "swappiness $(cat /proc/sys/vm/swappiness)"
set_in=$(grep -l -s '^[[:space:]]*vm[./]swappiness' /etc/sysctl.conf /etc/sysctl.d/*.conf | grep -v -x /etc/sysctl.d/60-onevm.conf | head -n 1)
[ -z "$set_in" ] || echo "swappiness_set_in $set_in"
folder=$(dirname "$swap_file")
if [ -d "$folder" ]; then
    echo "filesystem $(stat -f -c %T "$folder")"
    echo "free $(df -Pk "$folder" | awk 'NR == 2 {print $4}')"
fi
if [ -e "$swap_file" ]; then
    echo "swap_file $(dd if="$swap_file" bs=1 skip=4086 count=10 2>/dev/null | tr -cd '[:alnum:]')."
fi
for tool in mkswap swapon chattr flock curl wget logger; do
    ! command -v "$tool" >/dev/null || echo "tool $tool"
done
for timer in onevm-prune onevm-alert; do
    [ "$(systemctl is-enabled $timer.timer 2>/dev/null)/$(systemctl is-active $timer.timer 2>/dev/null)" != enabled/active ] ||
        echo "timer $timer"
done
exit 0
