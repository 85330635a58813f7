/** What `sluice doctor` finds on a node that lives among others: their marks, and what lies between it and its peers. */
import { createLab, type Lab } from '../../lab/lab.ts';
import { namespaceOf } from '../../lab/topology.ts';
import { runOk } from '../../linux/process.ts';

const PREFIX = 'tdoctor';
let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: PREFIX, nodes: ['a', 'b'] });
  await lab.start();
});
afterAll(() => lab?.close());

interface Check {
  readonly id: string;
  readonly level: string;
  readonly found: string;
  readonly advice?: string;
}

async function find(id: string): Promise<Check | undefined> {
  const { stdout } = await lab.node('a').sluice(['doctor', '--json']);
  return (JSON.parse(stdout) as { checks: Check[] }).checks.find((check) => check.id === id);
}

const on = (command: string): Promise<string> => lab.node('a').exec(['sh', '-ec', command]);

const onWire = (rule: string): Promise<string> =>
  runOk(['ip', 'netns', 'exec', namespaceOf(PREFIX, 'wire'), 'nft', rule]);

describe('sluice doctor', () => {
  it('minds no marks like those of kube-proxy', async () => {
    await on(`
      iptables-nft -t nat -N KUBE-MARK-MASQ
      iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
      iptables-nft -t nat -N KUBE-POSTROUTING
      iptables-nft -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
      iptables-nft -t nat -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
      iptables-nft -N KUBE-MARK-DROP
      iptables-nft -A KUBE-MARK-DROP -j MARK --or-mark 0x8000`);
    expect(await find('mark')).toMatchObject({
      level: 'ok',
      found: expect.stringContaining('3 rules write beside it'),
    });
  });

  it.each([
    [
      'nftables',
      'nft add table inet other; nft add chain inet other c "{ type filter hook prerouting priority 0; }"; nft add rule inet other c meta mark set meta mark or 0x10000000',
      'nftables: table inet other, chain c, rule with handle 2 writes 0x10000000 of the packet mark',
      'nft delete table inet other',
    ],
    [
      'iptables over nftables',
      'iptables-nft -t mangle -A PREROUTING -p udp -j MARK --set-xmark 0x100000/0x100000',
      'iptables-nft -t mangle: -A PREROUTING -p udp -j MARK --set-xmark 0x100000/0x100000 writes 0x00100000 of the packet mark',
      'iptables-nft -t mangle -F PREROUTING',
    ],
    [
      'iptables of the older kind',
      'iptables-legacy -t mangle -A OUTPUT -j CONNMARK --save-mark',
      'iptables-legacy -t mangle: -A OUTPUT -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff writes 0xfff00000 of the connection mark',
      'iptables-legacy -t mangle -F OUTPUT',
    ],
  ])('names the rule that writes into ours: %s', async (_kind, add, sentence, remove) => {
    await on(add);
    expect(await find('mark')).toMatchObject({
      level: 'warn',
      found: sentence,
      advice: expect.stringContaining('network.markMask'),
    });
    await on(remove);
    expect(await find('mark')).toMatchObject({ level: 'ok' });
  });

  it('tries the carriers to the other node', async () => {
    expect(await find('carriers-b')).toMatchObject({
      level: 'ok',
      found: expect.stringMatching(
        /^to node b: option passes, round trips take [\d.]+ ms and [\d.]+ ms \(small, full\); vxlan passes.*(faster|as fast)$/,
      ),
    });
  });

  it('fails when what the cluster sends does not get through', async () => {
    // Some fabrics drop packets whose IPv4 header is longer than 20 bytes.
    await onWire('add table bridge fabric');
    await onWire('add chain bridge fabric drops { type filter hook forward priority 0; }');
    await onWire('add rule bridge fabric drops ip hdrlength 9 drop');
    expect(await find('carriers-b')).toMatchObject({
      level: 'fail',
      found: expect.stringMatching(/option does not pass; vxlan passes/),
      advice: 'the cluster sends option: sluice cluster set --carrier vxlan',
    });
    await onWire('delete table bridge fabric');
    expect(await find('carriers-b')).toMatchObject({ level: 'ok' });
  });
});
