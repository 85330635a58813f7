/** What Sluice's network needs of the kernel, under Debian's: its eBPF programs pass the verifier, HTB holds a rate. */
import { bootGuest, type Guest } from '../../lab/vm/guest.ts';
import { nodeIn } from '../support/guest-node.ts';

let guest: Guest;

beforeAll(async () => {
  guest = await bootGuest();
});
afterAll(() => guest?.stop());

const RATE = 20_000_000;

describe("on Debian's stock kernel", () => {
  it('the verifier takes every program of the fence', async () => {
    const { stdout, stderr, code } = await nodeIn(guest, ['test/vm/inside/plane.ts']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    process.stdout.write(`taken: ${stdout}`);
    expect(JSON.parse(stdout)).toEqual(
      expect.arrayContaining(['port_in', 'port_out', 'uplink_out', 'uplink_in']),
    );
  });

  it('HTB holds a rate', async () => {
    const script = `
      ip netns add other
      ip link add near type veth peer name far netns other
      ip address add 192.0.2.1/24 dev near; ip link set near up
      ip -n other address add 192.0.2.2/24 dev far; ip -n other link set far up
      tc qdisc add dev near root handle 1: htb default 1
      tc class add dev near parent 1: classid 1:1 htb rate ${RATE}bit burst 64k
      ip netns exec other iperf3 -s -1 -D
      iperf3 -c 192.0.2.2 -t 3 -O 1 -J`;
    const { stdout, code } = await guest.run(['sh', '-ec', script]);
    expect(code).toBe(0);
    const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
    const share = end.sum_received.bits_per_second / RATE;
    process.stdout.write(`TCP payload through HTB: ${share.toFixed(3)} of its rate\n`);
    // Headers take four to five percent of what HTB counts.
    expect(share).toBeGreaterThan(0.86);
    expect(share).toBeLessThan(1.05);
  });
});
