import { containerGroup, groupOfHint, isAround, isPodGroup, isRuntimes } from './names.ts';

const ID = 'a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90';
const POD = 'pod0f1e2d3c-1111-2222-3333-444455556666';
const POD_SLICE = 'kubepods-burstable-pod0f1e2d3c_1111_2222_3333_444455556666.slice';

describe('the group of a container', () => {
  it.each([
    ['podman under systemd', `/machine.slice/libpod-${ID}.scope`, `/machine.slice/libpod-${ID}.scope`],
    [
      'podman with crun, which puts processes one further in',
      `/machine.slice/libpod-${ID}.scope/container`,
      `/machine.slice/libpod-${ID}.scope`,
    ],
    ['podman by itself', `/libpod_parent/libpod-${ID}`, `/libpod_parent/libpod-${ID}`],
    ['docker', `/docker/${ID}`, `/docker/${ID}`],
    ['docker under systemd', `/system.slice/docker-${ID}.scope`, `/system.slice/docker-${ID}.scope`],
    ['docker in docker', `/docker/${'f'.repeat(64)}/docker/${ID}`, `/docker/${'f'.repeat(64)}/docker/${ID}`],
    ['ctr', `/default/${ID}`, `/default/${ID}`],
    ['a pod of containerd', `/kubepods/besteffort/${POD}/${ID}`, `/kubepods/besteffort/${POD}`],
    [
      'a pod of containerd under systemd',
      `/kubepods.slice/kubepods-burstable.slice/${POD_SLICE}/cri-containerd-${ID}.scope`,
      `/kubepods.slice/kubepods-burstable.slice/${POD_SLICE}`,
    ],
    ['a static pod', `/kubepods/pod${'0f'.repeat(16)}/crio-${ID}`, `/kubepods/pod${'0f'.repeat(16)}`],
    ['a pod of podman', `/libpod_parent/${'c'.repeat(64)}/libpod-${ID}`, `/libpod_parent/${'c'.repeat(64)}`],
    [
      'a pod of podman under systemd',
      `/machine.slice/machine-libpod_pod_${'c'.repeat(64)}.slice/libpod-${ID}.scope`,
      `/machine.slice/machine-libpod_pod_${'c'.repeat(64)}.slice`,
    ],
    ['a folder that is called much like a pod', `/podium/${ID}`, `/podium/${ID}`],
    ['groups that the container has made in its own', `/docker/${ID}/x/${ID}/y`, `/docker/${ID}`],
  ])('of %s', (_, path, group) => {
    expect(containerGroup(path, ID)).toBe(group);
  });

  it.each([
    ['the root', '/', ID],
    ['another container', `/docker/${'b'.repeat(64)}`, ID],
    ["the runtime's helper", `/machine.slice/libpod-conmon-${ID}.scope`, ID],
    ['a short id, which is a part of other names', '/system.slice/docker.service', 'docker'],
    ['half of an id', `/docker/${ID}`, ID.slice(0, 12)],
    ['a path that climbs out of our own group', `/../../docker/${ID}`, ID],
  ])('is none for %s', (_, path, id) => {
    expect(containerGroup(path, id)).toBeUndefined();
  });
});

describe("the runtime's hint", () => {
  it.each([
    ['/kubepods/besteffort/pod1', '/kubepods/besteffort/pod1'],
    ['kubepods/pod1/', '/kubepods/pod1'],
    [POD_SLICE, `/kubepods.slice/kubepods-burstable.slice/${POD_SLICE}`],
    ['system.slice:runc:434234', '/system.slice/runc-434234.scope'],
    [':docker:name', '/system.slice/docker-name.scope'],
    [
      `${POD_SLICE}:cri-containerd:${ID}`,
      `/kubepods.slice/kubepods-burstable.slice/${POD_SLICE}/cri-containerd-${ID}.scope`,
    ],
  ])('%s means %s', (hint, path) => {
    expect(groupOfHint(hint)).toBe(path);
  });

  it.each(['', '/', '/../x', 'a/../../b', 'no-slice:prefix:name', 'a--b.slice', '../x.slice:a:b'])(
    '%j means none',
    (hint) => {
      expect(groupOfHint(hint)).toBeUndefined();
    },
  );

  it('counts for pods only', () => {
    expect(isPodGroup(`/kubepods/${POD}`)).toBe(true);
    expect(isPodGroup(`/a.slice/${POD_SLICE}`)).toBe(true);
    for (const path of [
      '/',
      '/system.slice',
      '/kubepods',
      '/kubepods.slice/kubepods-besteffort.slice',
      '/docker',
    ]) {
      expect(isPodGroup(path)).toBe(false);
    }
  });
});

it('knows which group is around which', () => {
  expect(isAround('/', '/a')).toBe(true);
  expect(isAround('/a', '/a')).toBe(true);
  expect(isAround('/a', '/a/b')).toBe(true);
  expect(isAround('/a', '/ab')).toBe(false);
  expect(isAround('/a/b', '/a')).toBe(false);
});

it.each([
  ['runc:[2:INIT]', '/usr/bin/runc', true],
  ['runc:[1:CHILD]', '/memfd:runc_cloned:/proc/self/exe (deleted)', true],
  ['exe', '/memfd:runc_cloned:/proc/self/exe (deleted)', true],
  ['crun', '/usr/bin/crun', true],
  ['3', '/memfd:crun_cloned:/proc/self/exe (deleted)', true],
  ['sleep', '/bin/busybox', false],
  ['runcible', '/usr/bin/runcible', false],
  ['nginx', '/usr/sbin/nginx', false],
  ['', '', false],
])('a process called %s of %s is the runtime itself: %s', (comm, exe, expected) => {
  expect(isRuntimes({ comm, exe })).toBe(expected);
});
