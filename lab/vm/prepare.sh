#!/usr/bin/env bash
# Prepares the second kernel under build/vm: Debian's stock kernel with its modules, and an initramfs that brings it to
# the root served by share.sh. Nothing is installed on the machine. Does only what is missing, and prints what it made.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The kernel for virtual machines: what a guest needs to find its root is in it, and little else.
PACKAGE=linux-image-cloud-amd64
# How the guest finds its root, its commands and its disk.
BOOT_MODULES=(virtio_pci virtio_console virtio_blk virtiofs overlay)

main() {
  local wanted
  # The kernel's version is no part of it: a newer one comes when build/vm is removed.
  wanted=$(cat lab/vm/prepare.sh lab/vm/init.sh "$(command -v busybox)" | sha256sum)
  if [[ -f build/vm/made-of && $(<build/vm/made-of) == "$wanted" ]]; then return; fi

  mkdir -p build
  fresh=$(mktemp -d build/vm.XXXXXX)
  trap 'rm -rf "$fresh"' EXIT
  unpack_kernel
  build_initramfs
  echo "$wanted" >"$fresh/made-of"
  chmod 755 "$fresh"
  rm -rf build/vm
  mv "$fresh" build/vm
  echo "build/vm ($version)"
}

# Leaves $fresh/kernel and $fresh/modules/$version.
unpack_kernel() {
  # Lists of packages may be absent, or older than what the mirrors still have.
  if ! download; then
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    download
  fi
  dpkg-deb --extract "$fresh"/*.deb "$fresh/unpacked"
  version=$(ls "$fresh/unpacked/lib/modules")
  busybox depmod -b "$fresh/unpacked" "$version"
  mv "$fresh/unpacked/boot/vmlinuz-$version" "$fresh/kernel"
  mv "$fresh/unpacked/lib/modules" "$fresh/modules"
  rm -r "$fresh/unpacked" "$fresh"/*.deb
}

# $PACKAGE is empty: it depends on the newest kernel's package.
download() {
  local package
  package=$(apt-cache depends --important "$PACKAGE" | awk '$1 == "Depends:" { print $2; exit }')
  [[ $package ]] && (cd "$fresh" && apt-get -qq -o APT::Sandbox::User=root download "$package")
}

build_initramfs() {
  local root=$PWD/$fresh/initramfs.d modules=lib/modules/$version module
  mkdir -p "$root/$modules" "$root/dev" "$root/proc" "$root/bin"
  install -m 755 lab/vm/init.sh "$root/init"
  install -m 755 "$(command -v busybox)" "$root/bin/busybox"
  install -m 644 "$fresh/modules/$version/modules.dep" "$root/$modules/"
  for module in "${BOOT_MODULES[@]}"; do
    # A line is the module's file, a colon, and the files of all that it needs.
    grep "/$module\.ko:" "$fresh/modules/$version/modules.dep" | tr -d : | tr ' ' '\n' |
      (cd "$fresh/modules/$version" && xargs cp --parents --target-directory "$root/$modules")
  done
  echo "${BOOT_MODULES[*]}" >"$root/modules"
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$fresh/initramfs"
  rm -r "$root"
}

main "$@"
