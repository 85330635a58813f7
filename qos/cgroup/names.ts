/** What runtimes call a container's group, and which group stands for the container. Pure. */

/** A pod's group by the kubelet: `pod<uid>`, under systemd `kubepods-burstable-pod<uid_with_underscores>.slice`. */
const KUBELET_POD = /^(?:kubepods(?:-[a-z]+)*-)?pod[0-9a-f](?:[-_]?[0-9a-f]){7,}(?:\.slice)?$/i;
/** A pod's group by podman under systemd. */
const PODMAN_POD_SLICE = /(?:^|[-_])libpod_pod_[0-9a-f]{64}\.slice$/;
/** A pod's group by podman itself: the pod's id, below this. */
const PODMAN_PARENT = 'libpod_parent';
const POD_ID = /^[0-9a-f]{64}$/;
/** A helper of the runtime that has a group named after its container. */
const HELPER = /conmon/;

/**
 * The group that stands for the container: the folder that is named after it, or the one around it where that is a
 * pod's, so that all containers of a pod are held together. The outermost of that name: whoever may make groups inside
 * of the container's chooses their names.
 * @param path  of one of its processes (/proc/PID/cgroup)
 * @returns undefined when no folder of the path is named after the container
 */
export function containerGroup(path: string, containerId: string): string | undefined {
  const names = namesIn(path);
  if (names === undefined) return undefined;
  const own = names.findIndex((name) => isNamedAfter(name, containerId));
  if (own < 0) return undefined;
  const end = isPod(names, own - 1) ? own : own + 1;
  return `/${names.slice(0, end).join('/')}`;
}

/**
 * The id itself, or a runtime's prefix before it: `libpod-ID.scope`, `cri-containerd-ID.scope`, `docker-ID.scope`. Not
 * any name that holds it: ids may be short words.
 */
function isNamedAfter(name: string, containerId: string): boolean {
  const plain = name.replace(/\.scope$/, '');
  return plain === containerId || (plain.endsWith(`-${containerId}`) && !HELPER.test(plain));
}

function isPod(names: readonly string[], index: number): boolean {
  const name = names[index];
  if (name === undefined) return false;
  if (KUBELET_POD.test(name) || PODMAN_POD_SLICE.test(name)) return true;
  return POD_ID.test(name) && names[index - 1] === PODMAN_PARENT;
}

/** @returns undefined for a path that climbs, as the kernel shows those outside of our own group namespace */
function namesIn(path: string): string[] | undefined {
  const names = path.split('/').filter((name) => name !== '');
  return names.includes('..') || names.includes('.') ? undefined : names;
}

/**
 * The group that the runtime's `cgroupPath` means: a path, or `slice:prefix:name` as systemd is asked (runc,
 * docs/systemd.md), where the name may be missing.
 * @returns undefined where it names none that could be a pod's or a container's alone
 */
export function groupOfHint(cgroupPath: string): string | undefined {
  const [slice = '', prefix, name] = cgroupPath.split(':');
  if (prefix !== undefined) {
    const around = expandSlice(slice === '' ? 'system.slice' : slice);
    if (around === undefined) return undefined;
    return name ? `${around}/${unitName(prefix, name)}` : around;
  }
  if (cgroupPath.endsWith('.slice') && !cgroupPath.includes('/')) return expandSlice(cgroupPath);
  const names = namesIn(cgroupPath);
  return names === undefined || names.length === 0 ? undefined : `/${names.join('/')}`;
}

function unitName(prefix: string, name: string): string {
  if (name.endsWith('.slice')) return name;
  return prefix === '' ? `${name}.scope` : `${prefix}-${name}.scope`;
}

/** `a-b-c.slice` lies in /a.slice/a-b.slice (systemd.slice(5)). */
function expandSlice(slice: string): string | undefined {
  const words = slice.replace(/\.slice$/, '').split('-');
  if (!slice.endsWith('.slice') || slice.includes('/') || words.includes('')) return undefined;
  return words.map((_, index) => `/${words.slice(0, index + 1).join('-')}.slice`).join('');
}

/** Whether the last folder of a path is a pod's. */
export function isPodGroup(path: string): boolean {
  const names = namesIn(path) ?? [];
  return isPod(names, names.length - 1);
}

/** Whether one group is the other, or lies around it. */
export function isAround(outer: string, inner: string): boolean {
  return outer === '/' || inner === outer || inner.startsWith(`${outer}/`);
}

/**
 * Whether a process is still the runtime's own, before it becomes the container's: until then the runtime may write
 * limits of its own. `runc:[2:INIT]` is runc's name for it; crun and youki are seen by the file they run, which may be
 * a copy of theirs in memory.
 */
export function isRuntimes({ comm, exe }: { readonly comm: string; readonly exe: string }): boolean {
  return /^runc:\[/.test(comm) || /^(?:.*\/)?(?:memfd:)?(?:runc|crun|youki)(?![-.a-z0-9])/.test(exe);
}
