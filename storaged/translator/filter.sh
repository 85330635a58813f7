#!/bin/sh
# Puts the translator into every volfile: on top of those that clients mount by, and in those of bricks right above the
# disk. glusterd runs what lies in the directory filter/ of its library with the name of each volfile it has written
# (docs/translator.md).
grep -q '^ *type features/sluice-io$' "$1" && exit 0
case "$1" in
  *-fuse.vol)
    top=$(awk '$1 == "volume" { name = $2 } END { print name }' "$1")
    [ -n "$top" ] || exit 1
    # One write: a client that asks at this moment gets the file without it or with all of it.
    printf '\nvolume %s-sluice-io\n    type features/sluice-io\n    subvolumes %s\nend-volume\n' "$top" "$top" >>"$1"
    ;;
  *)
    grep -q '^ *type storage/posix$' "$1" || exit 0
    # A file of another name, and renamed: glusterd reads volfiles while it answers.
    awk '
      $1 == "volume" { name = $2 }
      $1 == "type" && $2 == "storage/posix" { disk = name }
      $1 == "subvolumes" && $2 == disk && disk != "" { sub(disk "$", disk "-sluice-io") }
      { print }
      $1 == "end-volume" && name == disk {
        printf "\nvolume %s-sluice-io\n    type features/sluice-io\n    option role brick\n    subvolumes %s\nend-volume\n", disk, disk
      }' "$1" >"$1.sluice" && mv "$1.sluice" "$1"
    ;;
esac
