#!/bin/sh
# Makes the image that containerd keeps a pod's namespaces alive with.
# Usage: pause.sh PROGRAM NAME:TAG OUT.tar     PROGRAM is build/pause
set -eu

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
cp "$1" "$root/pause"

sh "$(dirname "$0")/archive.sh" "$root" "$2" "$3" '["/pause"]'
