#!/bin/sh
# Serves the guest's root (virtiofs): this machine's programs, this checkout and the kernel's modules, at the paths they
# have here, all of it read-only. Runs in a mount namespace of its own.
#
#   share.sh CHECKOUT DIRECTORY    the socket is DIRECTORY/root.sock; ends when the guest does
set -eu
checkout=$1
directory=$2
root=$directory/root

mkdir "$root"
mount -t tmpfs -o mode=755 root "$root"

# A bind mount takes its flags only when it is mounted once more.
show() {
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}

cd "$root"
mkdir dev etc guest mnt proc root run sys tmp var
chmod 1777 tmp
for merged in bin sbin lib lib64; do ln -s "usr/$merged" "$merged"; done
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
echo '127.0.0.1 localhost' >etc/hosts

show /usr /usr
show /etc/alternatives /etc/alternatives
show "$checkout" "$checkout"
if [ -L "$checkout/node_modules" ]; then
  modules=$(readlink -f "$checkout/node_modules")
  show "$modules" "$modules"
fi

# Beside the machine's programs, those that the guest cannot do without.
cp "$(command -v busybox)" guest/busybox
ln -s busybox guest/modprobe
cp "$checkout/lab/vm/agent.sh" guest/agent
chmod 755 guest/agent
ln -s "$checkout" guest/checkout
show "$checkout/build/vm/modules" /guest/modules

# 'always': nobody changes the files while a guest lives. Without the right to raise limits, they stay as they are.
exec /usr/lib/qemu/virtiofsd -f --socket-path="$directory/root.sock" --rlimit-nofile=0 \
  -o source="$root",cache=always,log_level=warn
