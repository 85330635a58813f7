#!/bin/sh
# The guest's only program: completes the root, then runs the commands that the host sends, one after the other.
# A command is a line 'TOKEN BASE64' on the port 'commands'; what it prints leaves by the ports 'stdout' and 'stderr',
# each time ended by 'TOKEN CODE'. When the host closes the port, the guest is switched off.
#
# Not the shell of busybox, which prefers its own programs to the machine's.
export PATH=/usr/sbin:/usr/bin:/guest HOME=/root LANG=C.UTF-8
bb=/guest/busybox

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
# A file system on a disk, because limits of disks and of page cache mean nothing in memory.
mkdir /var/tmp
mkfs.ext4 -q /dev/vda && mount /dev/vda /var/tmp
# The kernel loads modules by itself when they are asked for, with this program; but nobody has made this one's device.
echo /guest/modprobe >/proc/sys/kernel/modprobe
modprobe loop
hostname guest
ip link set lo up

# Prints the device of a port, once it is there.
port() {
  while :; do
    for one in /sys/class/virtio-ports/*; do
      if [ "$(cat "$one/name")" = "$1" ]; then
        echo "/dev/${one##*/}"
        return
      fi
    done
    $bb usleep 10000
  done
}

exec 3<>"$(port commands)" 4>"$(port stdout)" 5>"$(port stderr)"
cd "$(readlink /guest/checkout)"
echo ready >&3
while read -r token command <&3; do
  (eval "$(echo "$command" | base64 -d)") </dev/null >&4 2>&5 3>&- 4>&- 5>&-
  code=$?
  echo "$token $code" >&5
  echo "$token $code" >&4
done
$bb poweroff -f
