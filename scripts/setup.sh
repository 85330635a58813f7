#!/usr/bin/env bash
# Prepares a checkout: Debian packages, npm packages (with them Node 24), native pieces.
# Does only what is missing, so it can run before every command.
#
#   scripts/setup.sh                  everything; needs root only when a Debian package is missing
#   scripts/setup.sh --unprivileged   no Debian packages (also: SLUICE_SETUP_ROOTLESS=1)
set -euo pipefail
cd "$(dirname "$0")/.."

# Each with its reason in docs/dependencies.md.
PACKAGES=(
  # to run
  nftables libnftables1 iptables iproute2 conntrack # rules, addresses, connection marks
  libbpf1 bpftool                                    # the eBPF plane
  containerd runc crun conmon podman                 # runtimes
  containernetworking-plugins                        # loopback, and the reference for comparisons
  lxcfs                                              # containers' own figures in /proc
  glusterfs-server glusterfs-client xfsprogs         # shared volumes, and the file systems of their bricks
  util-linux procps ca-certificates                  # nsenter, mount, sysctl; roots of trust
  # to build
  clang llvm libbpf-dev gcc libc6-dev make git
  libglusterfs-dev liburcu-dev uuid-dev pkg-config # the translator
  # to prove: tests, the sample, benchmarks
  busybox-static iperf3 tcpdump arping iputils-ping ethtool curl e2fsprogs fio attr
  qemu-system-x86 # a second kernel
)

main() {
  unprivileged=${SLUICE_SETUP_ROOTLESS:-}
  case ${1:-} in
    '') ;;
    --unprivileged) unprivileged=1 ;;
    *) fail "unknown option $1: only --unprivileged is known" ;;
  esac

  started=${EPOCHREALTIME/./}
  changed=()
  leave_npm_path
  mkdir -p build
  exec 9>build/.setup.lock
  flock 9 # two set-ups at once would remove each other's node_modules

  debian_packages
  npm_packages
  native_pieces
  second_kernel
  warm_cache

  local summary='nothing to change'
  if ((${#changed[@]})); then
    summary="changed: ${changed[*]}"
    sync # else whoever comes next waits seconds for each of its own writes
  fi
  say set-up "$summary, $(elapsed)"
}

debian_packages() {
  [[ $(uname -s) == Linux ]] || fail "Sluice runs on Linux only: this is $(uname -s)"
  local missing
  if ! command -v dpkg-query >/dev/null; then
    [[ $unprivileged ]] || fail 'this is no Debian: install what docs/dependencies.md lists, then use --unprivileged'
    return 0
  fi
  missing=$(comm -23 <(printf '%s\n' "${PACKAGES[@]}" | sort) <(installed | sort))
  if [[ -z $missing ]]; then
    say Debian "already there, ${#PACKAGES[@]} packages"
  elif [[ $unprivileged ]]; then
    say Debian "left out, as asked:" $missing
  elif ((EUID != 0)); then
    fail "root is needed to install: ${missing//$'\n'/ }" 'Run this as root, or with --unprivileged to do without them.'
  else
    say Debian 'installing' $missing
    apt update
    apt install --no-install-recommends $missing
    [[ $missing != *glusterfs-server* ]] || no_gluster_of_its_own
    changed+=(Debian)
  fi
}

# Whoever had no Gluster gets none that runs by itself: Debian's package leaves it off, others do not. Ours needs no unit.
no_gluster_of_its_own() {
  [[ -d /run/systemd/system ]] || return 0
  local unit
  for unit in glusterd glustereventsd; do
    systemctl --quiet is-enabled "$unit" 2>/dev/null || systemctl --quiet is-active "$unit" || continue
    systemctl --quiet disable --now "$unit"
    say Debian "switched off $unit, which the package had started"
  done
}

installed() {
  dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null | sed -n 's/^installed //p'
}

# Asks nothing, waits for another package manager to finish, and speaks only when it fails.
apt() {
  local log
  if ! log=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null); then
    fail "apt-get $1 failed:" "$log"
  fi
}

npm_packages() {
  local stamp=node_modules/.lock-hash wanted
  wanted=$(cat package-lock.json package.json | sha256sum)
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    say npm 'already there'
    return
  fi
  command -v npm >/dev/null || fail 'npm is missing: install Node 20 or later, with npm'
  # npm would empty the folder behind it, which is somebody else's.
  [[ -L node_modules ]] && fail 'node_modules is a symbolic link: remove it first'
  say npm 'installing, with Node 24'
  # All kinds, whatever NODE_ENV says: the tests need the one, Node itself comes with the other.
  npm ci --include=dev --include=optional --loglevel=error </dev/null
  [[ $(node_modules/.bin/node --version) == v24.* ]] ||
    fail "there is no Node 24 for $(uname -m) in the npm packages: x86_64 and aarch64 are supported"
  echo "$wanted" >"$stamp"
  changed+=(npm)
}

native_pieces() {
  local tool built
  for tool in make gcc clang; do
    if ! command -v "$tool" >/dev/null; then
      say native "left out: there is no $tool"
      return
    fi
  done
  built=$(make --silent --jobs=2)
  if [[ -z $built ]]; then
    say native 'already there'
  else
    say native 'built' $built
    changed+=(native)
  fi
}

# Debian's stock kernel for guests; what the machine itself boots stays as it is.
second_kernel() {
  local built
  if [[ $unprivileged ]] || ((EUID != 0)) || ! command -v dpkg-deb >/dev/null; then
    say kernel 'left out: guests take root, and Debian'
  elif [[ $(uname -m) != x86_64 ]]; then
    say kernel "left out: guests are x86_64, this is $(uname -m)"
  else
    built=$(bash lab/vm/prepare.sh) || fail 'the second kernel cannot be prepared' 'Its packages come by apt-get download: see above.'
    if [[ -z $built ]]; then
      say kernel 'already there'
    else
      say kernel 'prepared' $built
      changed+=(kernel)
    fi
  fi
}

# Without compiled sources each daemon's first start loads what takes types out: 13 MB more, until it
# is restarted. An option that no daemon knows ends it as soon as it has loaded everything.
warm_cache() {
  local stamp=build/.warm daemon
  if [[ -f $stamp && -z $(find cli cni linux model netd orchestrator qos storaged store tagqueue -name '*.ts' -newer "$stamp" -print -quit) ]]; then
    say cache 'already there'
    return
  fi
  for daemon in server tagqueue netd storaged; do
    bin/sluice "$daemon" --only-load >/dev/null 2>&1 || [[ $? == 2 ]] || fail "sluice $daemon does not start"
  done
  # With the flags of bin/sluice: what was compiled with others does not count.
  NODE_COMPILE_CACHE=$PWD/build/compile-cache node_modules/.bin/node --max-semi-space-size=1 --optimize-for-size \
    --single-threaded --disable-warning=ExperimentalWarning storaged/every-part.ts ||
    fail 'the parts of storaged cannot be loaded'
  touch "$stamp"
  say cache 'compiled the daemons'
}

# Under `npm start`, PATH begins with node_modules/.bin: npm would delete the Node it runs on. Without the directories of
# daemons, which plain su leaves out, dpkg installs nothing.
leave_npm_path() {
  PATH=$(tr : '\n' <<<"$PATH" | grep -v '/node_modules/' | paste -sd :):/usr/local/sbin:/usr/sbin:/sbin
}

say() {
  printf '%-7s %s\n' "$1" "${*:2}"
}

fail() {
  printf 'set-up failed: %s\n' "$1" >&2
  if (($# > 1)); then printf '%s\n' "${@:2}" >&2; fi
  exit 1
}

elapsed() {
  local ms=$(((${EPOCHREALTIME/./} - started) / 1000))
  printf '%d.%02d s' $((ms / 1000)) $((ms % 1000 / 10))
}

main "$@"
