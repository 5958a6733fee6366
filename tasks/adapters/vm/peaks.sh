# Prints for each process of standard input (PID, one a line) its pid and the most memory that its control group has
# taken since it was made, in bytes; nothing for those of which the kernel does not say it.
# shellcheck shell=sh
set -u
while read -r pid; do
    group=$(awk -F : '$1 == 0 && $2 == "" {unified = $3} $2 ~ /(^|,)memory(,|$)/ {print "/memory" $3; found = 1} END {if (!found) print unified}' \
        "/proc/$pid/cgroup" 2>/dev/null) || continue
    for file in "/sys/fs/cgroup$group/memory.peak" "/sys/fs/cgroup$group/memory.max_usage_in_bytes"; do
        [ ! -r "$file" ] || echo "$pid $(cat "$file")"
    done
done
