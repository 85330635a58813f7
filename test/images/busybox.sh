#!/bin/sh
# Makes a container image from the machine's own static busybox.
# Usage: busybox.sh NAME:TAG OUT.tar
set -eu

busybox=$(command -v busybox)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

mkdir -p "$root/bin" "$root/www" "$root/tmp" "$root/etc" "$root/proc" "$root/sys" "$root/dev"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo '<h1>A page behind a fence</h1>' >"$root/www/index.html"

sh "$(dirname "$0")/archive.sh" "$root" "$1" "$2" '["sleep","2147483647"]'
