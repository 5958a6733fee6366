# shellcheck shell=bash
# A VM's disk: its keys, users and folders. `init` adds the machine's programs to it.

# disk_up STORE SWAP: makes the disk, once per VM; STORE is the engine's image store, own or containerd; SWAP is
# `machine` if it may turn on swap, which it does for the whole machine, else `ours`.
disk_up() {
    if [[ -s $VM/store ]]; then
        [[ $1 == "$(cat "$VM/store")" || $1 == own ]] ||
            fail "$NAME" "it has the image store $(cat "$VM/store")" "scripts/lab vm down $NAME, then this command again"
        return
    fi
    rm -rf --one-file-system "$VM"
    mkdir -p "$VM/root" "$DISK"/{home,srv,var/lib/docker,var/log}
    mkdir -m 700 "$DISK/root"
    mkdir -m 1777 "$DISK/tmp"
    cp -a /etc "$DISK/etc"
    rm -rf "$DISK"/etc/{docker,ssh}
    mkdir "$DISK"/etc/{docker,ssh}
    make_users
    make_keys
    [[ $1 == own ]] || printf '{"features": {"containerd-snapshotter": true}}\n' >"$DISK/etc/docker/daemon.json"
    printf '%s\n' "$NAME" >"$DISK/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$NAME" >"$DISK/etc/hosts"
    # The machine's disks and crontabs are not the VM's, though its /etc is a copy.
    : >"$DISK/etc/fstab"
    rm -f "$DISK"/etc/crontab "$DISK"/etc/cron.d/*
    printf '%s\n' "$2" >"$VM/swap"
    printf '%s\n' "$1" >"$VM/store"
}

# make_users: in the VM's own /etc; this machine's users stay as they are. A password of * admits keys only, where
# the ! of a fresh account would lock it.
make_users() {
    local etc=$DISK/etc user id=20001
    sed -i -e '/^deploy:/d' -e '/^nodocker:/d' "$etc"/{passwd,shadow,group}
    sed -i 's/^root:[^:]*:/root:*:/' "$etc/shadow"
    grep -q '^docker:' "$etc/group" || printf 'docker:x:20000:\n' >>"$etc/group"
    for user in deploy nodocker; do
        printf '%s:x:%d:%d::/home/%s:/bin/bash\n' $user $id $id $user >>"$etc/passwd"
        printf '%s:x:%d:\n' $user $id >>"$etc/group"
        printf '%s:*:20000:0:99999:7:::\n' $user >>"$etc/shadow"
        install -d -m 755 -o $id -g $id "$DISK/home/$user"
        id=$((id + 1))
    done
    sed -i 's/^\(docker:[^:]*:[^:]*:\).*/\1deploy/' "$etc/group"
    install -d -o 20001 -g 20001 "$DISK/srv/onevm"
}

make_keys() {
    local ssh=$DISK/etc/ssh
    ssh-keygen -q -t ed25519 -N '' -C "$NAME" -f "$ssh/ssh_host_ed25519_key"
    ssh-keygen -q -t ed25519 -N '' -C "lab" -f "$VM/key"
    cp "$VM/key.pub" "$ssh/authorized_keys"
    printf '%s %s\n' "$NAME" "$(cut -d' ' -f1,2 "$ssh/ssh_host_ed25519_key.pub")" >"$VM/known_hosts"
    cat >"$ssh/sshd_config" <<-'END'
	HostKey /etc/ssh/ssh_host_ed25519_key
	AuthorizedKeysFile /etc/ssh/authorized_keys .ssh/authorized_keys
	PermitRootLogin prohibit-password
	PasswordAuthentication no
	KbdInteractiveAuthentication no
	LogLevel VERBOSE
	AcceptEnv LANG LC_*
	Subsystem sftp internal-sftp
	END
}

# write_ssh_config: names the address, which another boot may change.
write_ssh_config() {
    cat >"$VM/ssh_config" <<-END
	Host $NAME
	    HostName $(vm_address)
	    HostKeyAlias $NAME
	    Port 22
	    User deploy
	    IdentityFile "$VM/key"
	    IdentitiesOnly yes
	    UserKnownHostsFile "$VM/known_hosts"
	    GlobalKnownHostsFile /dev/null
	    StrictHostKeyChecking yes
	END
}
