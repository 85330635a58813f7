/** Results are valid by the specification for any endpoint and whatever came before it in the chain. */
import fc from 'fast-check';
import * as z from 'zod';
import { PreviousResult } from '../../cni/previous.ts';
import { addResult, type Made, missingFromResult } from '../../cni/result.ts';
import { CNI_VERSIONS, type CniVersion } from '../../cni/version.ts';
import { bytesToMac, type Cidr, cidrNth, numberToIpv4 } from '../../model/addresses.ts';
import { Nic } from '../../model/endpoint.ts';

/** CNI 'ADD Success' of each version, written from the specification alone; unknown keys fail. */
function schemaOf(version: CniVersion): z.ZodType {
  const of11 = version === '1.1.0';
  const text = z.string().optional();
  const number = z.int().min(0).optional();
  const only11 = of11 ? number : z.never().optional();
  const only11Text = of11 ? text : z.never().optional();
  return z.strictObject({
    cniVersion: z.literal(version),
    interfaces: z.array(
      z.strictObject({
        name: z.string(),
        mac: text,
        mtu: only11,
        sandbox: text,
        socketPath: only11Text,
        pciID: only11Text,
      }),
    ),
    ips: z.array(
      z.strictObject({
        version: version === '0.4.0' ? z.enum(['4', '6']) : z.never().optional(),
        address: z.union([z.cidrv4(), z.cidrv6()]),
        gateway: text,
        interface: number,
      }),
    ),
    routes: z.array(
      z.strictObject({
        dst: z.union([z.cidrv4(), z.cidrv6()]),
        gw: text,
        ...{ mtu: only11, advmss: only11, priority: only11, table: only11, scope: only11 },
      }),
    ),
    dns: z
      .strictObject({
        nameservers: z.array(z.string()).optional(),
        domain: text,
        search: z.array(z.string()).optional(),
        options: z.array(z.string()).optional(),
      })
      .optional(),
  });
}

const nic = (side: Nic['side'], ifName: string): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.nat(1000), fc.integer({ min: 2, max: 1000 }), fc.integer({ min: 576, max: 9000 }))
    .map(([block, host, mtu]) => {
      const at = cidrNth('10.64.0.0/12' as Cidr, 22, block);
      const first = 0x0a40_0000 + block * 1024;
      const mac = bytesToMac(Uint8Array.of(2, 0, 0, block >> 8, block & 255, host & 255));
      const addresses = { address: numberToIpv4(first + host), block: at, gateway: numberToIpv4(first + 1) };
      return {
        side,
        ifName,
        hostIf: `h${side}`,
        ...addresses,
        mac,
        mtu,
        routes: [side === 'external' ? 'default' : '10.64.0.0/12'],
      };
    });

const dns = fc.option(
  fc.record({ nameservers: fc.array(fc.ipV4()), search: fc.array(fc.domain()) }, { requiredKeys: [] }),
);
const endpoint = fc
  .tuple(nic('external', 'eth0'), fc.option(nic('internal', 'eth1')), dns)
  .map(([first, second, resolver]): Made => {
    const nics = z.array(Nic).parse(second === null ? [first] : [first, second]);
    return { netns: '/run/netns/c1', nics, dns: resolver };
  });

const previous = fc.option(
  fc.nat(3).chain((count) =>
    fc.record({
      cniVersion: fc.constantFrom('0.3.1', '0.4.0', '1.0.0', '1.1.0'),
      interfaces: fc.array(
        fc.record(
          {
            name: fc.constantFrom('net1', 'vf0'),
            mac: fc.constant('06:00:00:00:00:01'),
            mtu: fc.nat(9000),
            pciID: fc.constant('0'),
          },
          { requiredKeys: ['name'] },
        ),
        { minLength: count, maxLength: count },
      ),
      ips: fc.array(
        fc.record({
          address: fc.ipV6().map((address) => `${address}/64`),
          ...(count > 0 ? { interface: fc.nat(count - 1) } : {}),
        }),
        { maxLength: 3 },
      ),
      routes: fc.array(
        fc.record({ dst: fc.constant('192.0.2.0/24'), priority: fc.nat(9), scope: fc.nat(254) }),
      ),
    }),
  ),
);

describe('addResult', () => {
  it('is valid by the specification of its version', () => {
    fc.assert(
      fc.property(endpoint, previous, fc.constantFrom(...CNI_VERSIONS), (made, before, version) => {
        const result = addResult(made, version, before === null ? null : PreviousResult.parse(before));
        schemaOf(version).parse(JSON.parse(JSON.stringify(result)));
      }),
    );
  });

  it('changes nothing of what was before, and its own addresses lead to its own interfaces', () => {
    fc.assert(
      fc.property(endpoint, previous, fc.constantFrom(...CNI_VERSIONS), (made, before, version) => {
        const chain = before === null ? null : PreviousResult.parse(before);
        const { interfaces, ips, routes } = addResult(made, version, chain);
        const [had, hadIps, hadRoutes] = [chain?.interfaces ?? [], chain?.ips ?? [], chain?.routes ?? []];
        expect(interfaces.slice(0, had.length).map(({ name, mac }) => [name, mac])).toEqual(
          had.map(({ name, mac }) => [name, mac]),
        );
        expect(ips.slice(0, hadIps.length).map((ip) => [ip.address, ip.interface])).toEqual(
          hadIps.map((ip) => [ip.address, ip.interface]),
        );
        expect(routes.slice(0, hadRoutes.length).map(({ dst }) => dst)).toEqual(
          hadRoutes.map(({ dst }) => dst),
        );
        const own = ips
          .slice(hadIps.length)
          .map((ip) => [ip.address.split('/')[0], interfaces[ip.interface ?? -1]?.name]);
        expect(own).toEqual(made.nics.map(({ address, ifName }) => [address, ifName]));
      }),
    );
  });

  it('comes back in CHECK with nothing missing, and something missing when any of it is taken out', () => {
    fc.assert(
      fc.property(
        endpoint,
        previous,
        fc.constantFrom(...CNI_VERSIONS),
        fc.nat(1),
        (made, before, version, which) => {
          const result = addResult(made, version, before === null ? null : PreviousResult.parse(before));
          const final = PreviousResult.parse(JSON.parse(JSON.stringify(result)));
          expect(missingFromResult(made, final)).toEqual([]);
          const gone = made.nics[which % made.nics.length]!;
          const without = {
            ...final,
            ips: final.ips.filter((ip) => !ip.address.startsWith(`${gone.address}/`)),
          };
          expect(missingFromResult(made, without)).not.toEqual([]);
        },
      ),
    );
  });
});
