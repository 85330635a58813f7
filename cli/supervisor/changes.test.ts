import type { Link } from '../../linux/links.ts';
import { Config } from '../../model/config.ts';
import type { NodeName } from '../../model/names.ts';
import { type ChangesInput, changesOf } from './changes.ts';

const input: ChangesInput = {
  node: 'a' as NodeName,
  uplink: { index: 2, name: 'up0', mtu: 1_500, up: true, ethernet: true } as unknown as Link,
  listen: undefined,
  join: undefined,
  network: Config.parse({}).network,
  plane: 'ebpf',
  gear: 'packets',
  places: { runDir: '/r', stateDir: '/s', configFile: '/c', configNamed: false },
  storage: { volumes: false, bricks: false, network: 'private', pool: '/s/storage/pool' },
  observed: { links: [], addresses: [], routes: [], settings: new Map([['net/ipv4/ip_forward', '0']]) },
};
const texts = (changed: Partial<ChangesInput> = {}): string[] =>
  changesOf({ ...input, ...changed }).map(({ kind, what }) => `${kind} ${what}`);

describe('changesOf', () => {
  it('names the bridges with their MTU, the table, the programs, the mount and the files', () => {
    const all = texts();
    for (const line of [
      'interface bridge si-a, MTU 1450',
      'interface bridge se-a, MTU 1500',
      'nftables table ip sluice_a',
      'nftables table ip sluice_a_flows',
      'nftables table ip mangle, chain SLUICE-guard (iptables)',
      'program eBPF on up0 ingress (clsact)',
      'program eBPF on up0 egress (clsact)',
      'mount bpf on /r/bpf, pins in /r/bpf/a',
      'file /r/server.sock',
      'route unreachable 10.64.0.0/12',
    ]) {
      expect(all).toContain(line);
    }
  });

  it('shows old and new value of a setting, and only of those that would change', () => {
    expect(texts()).toContain('sysctl net.ipv4.ip_forward: 0 → 1');
    const settings = new Map([['net/ipv4/ip_forward', '1']]);
    expect(texts({ observed: { ...input.observed, settings } }).join('\n')).not.toContain('ip_forward');
  });

  it('names the rules of the plane without eBPF, and the tunnel only where flows use it', () => {
    const packets = texts({ plane: 'nfqueue' });
    expect(packets).toContain('nftables table bridge sluice_fence_a');
    expect(packets).toContain('nftables table ip raw, chain SLUICE-a-in (iptables)');
    expect(packets.join('\n')).not.toMatch(/eBPF|vxlan|bpf on/);
    const flows = texts({ plane: 'nfqueue', gear: 'flows' });
    expect(flows).toContain('nftables table ip mangle, chain SLUICE-a-flow (iptables)');
    expect(flows).toContain('listen UDP 4790 (sg-a), for other nodes');
  });

  it('says what the first volume will start, and the ports that Gluster has in a cluster', () => {
    expect(texts().join('\n')).not.toContain('glusterd');
    const alone = texts({
      storage: { volumes: true, bricks: true, network: 'private', pool: '/s/storage/pool' },
    });
    expect(alone.join('\n')).toMatch(
      /program with the first volume: glusterd in network and mount namespaces/,
    );
    expect(alone.join('\n')).toMatch(/images in \/s\/storage\/pool/);
    expect(alone.join('\n')).not.toContain('24007');
    const clustered = texts({
      storage: { ...input.storage, volumes: true, bricks: true, network: 'uplink' },
    });
    expect(clustered.join('\n')).toMatch(/listen TCP 24007-24008 and 49152-/);
  });

  it('names the listening socket, and no server on a machine that joins', () => {
    expect(texts({ listen: '192.0.2.1:7070' })).toContain('listen TCP 192.0.2.1:7070, for other nodes');
    expect(texts({ join: '192.0.2.9:7070' }).join('\n')).not.toContain('server.sock');
  });
});
