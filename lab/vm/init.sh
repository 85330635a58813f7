#!/bin/busybox sh
# The guest's first program, in the initramfs: finds the root that the host serves, puts a writable layer over it, and
# hands over to agent.sh there. The layer is memory, and gone with the guest.
bb=/bin/busybox

$bb mount -t proc proc /proc
$bb modprobe -a $($bb cat /modules)

$bb mkdir /served /layer /root
$bb mount -t virtiofs root /served
$bb mount -t tmpfs layer /layer
$bb mkdir /layer/upper /layer/work
$bb mount -t overlay root /root -o lowerdir=/served,upperdir=/layer/upper,workdir=/layer/work

# Not part of what is served, because there it would have to be written into the machine's own /usr.
$bb mkdir -p /root/usr/lib/modules
$bb mount --bind /root/guest/modules /root/usr/lib/modules

$bb umount /proc
exec $bb switch_root /root /guest/agent
