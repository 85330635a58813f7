#!/bin/sh
# Packs a directory as a container image: no registry, no downloads.
# Usage: archive.sh ROOT NAME:TAG OUT.tar COMMAND     COMMAND is a JSON list
# OUT is a docker-archive: podman, docker, containerd and skopeo load it.
set -eu

root=$1
name=$2
out=$3
command=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The same input gives the same image, byte by byte.
tar --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in aarch64) architecture=arm64 ;; *) architecture=amd64 ;; esac
cat >"$work/config.json" <<EOF
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":{"Env":["PATH=/bin"],"Cmd":$command},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}
EOF
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$config.json"
echo "[{\"Config\":\"$config.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}]" >"$work/manifest.json"

mkdir -p "$(dirname "$out")"
tar --mtime=@0 -C "$work" -cf "$out.$$" manifest.json "$config.json" layer.tar
mv "$out.$$" "$out"
