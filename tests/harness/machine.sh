#!/bin/sh
# machine.sh LOWER DIRECTORY INIT: a throw-away machine, for machine.py. In namespaces of our own (mounts,
# processes, network, host name, control groups), over the tree LOWER, which nothing changes: what is
# written lands in memory below DIRECTORY and is gone with the last process. INIT yes: systemd is its
# process 1; no: a shell that waits, as in a container.
set -eu
lower=$1 directory=$2 init=$3

mount --make-rprivate /
mount -t tmpfs machine "$directory"
mkdir "$directory/written" "$directory/work" "$directory/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$directory/written,workdir=$directory/work" "$directory/root"
cd "$directory/root"

mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ip link set lo up
hostname machine

# Nothing of the machine underneath: its services, its reluctance to start any, its disks.
rm -rf etc/systemd/system var/log/journal usr/sbin/policy-rc.d etc/machine-id etc/fstab run/systemd
mkdir -p etc/systemd/system var/log/journal var/lib/dpkg
touch etc/fstab etc/machine-id
for unit in systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service \
    systemd-update-utmp.service systemd-journald-audit.socket systemd-udevd.service systemd-udev-trigger.service \
    systemd-timesyncd.service systemd-logind.service systemd-binfmt.service systemd-hwdb-update.service \
    systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer systemd-journal-flush.service \
    systemd-sysusers.service systemd-network-generator.service dev-hugepages.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount dev-mqueue.mount; do
    ln -s /dev/null etc/systemd/system/$unit
done

# Of the machine underneath dpkg knows which packages are there, but not their files and scripts: to
# read 150,000 names each time, and to let man-db look for pages, is no part of any test.
if [ "$lower" = / ]; then
    mount -t tmpfs -o mode=755 dpkg var/lib/dpkg
    mkdir var/lib/dpkg/info var/lib/dpkg/updates var/lib/dpkg/triggers
    cp /var/lib/dpkg/status /var/lib/dpkg/diversions var/lib/dpkg/
    cp /var/lib/dpkg/info/format var/lib/dpkg/info/
    for list in /var/lib/dpkg/info/*.list; do
        : >"var/lib/dpkg/info/${list##*/}"
    done
fi

mkdir old
pivot_root . old
umount -l old
rmdir old
set -- /bin/sleep infinity
if [ "$init" = yes ]; then
    set -- /lib/systemd/systemd --system --unit=basic.target
fi
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null >/dev/null 2>&1
