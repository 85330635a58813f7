/** `prevResult`: what the plugins before us in a chain have made, in the one shape all our versions share. */
import * as z from 'zod';
import { SluiceError } from '../model/errors.ts';

/** Unknown fields pass through: the specification asks for the previous result, with only our changes. */
const Interface = z.looseObject({
  name: z.string(),
  mac: z.string().optional(),
  /** Bytes. Since 1.1.0. */
  mtu: z.number().optional(),
  /** The container's namespace as CNI_NETNS gave it; empty or missing for an interface of the host. */
  sandbox: z.string().optional(),
});
export type Interface = z.infer<typeof Interface>;

const IpConfig = z.looseObject({
  /** 0.4.0 only. */
  version: z.string().optional(),
  address: z.string().includes('/'),
  gateway: z.string().optional(),
  /** Index into `interfaces`. */
  interface: z.int().min(0).optional(),
});
export type IpConfig = z.infer<typeof IpConfig>;

const Route = z.looseObject({ dst: z.string().includes('/'), gw: z.string().optional() });
export type Route = z.infer<typeof Route>;

const Dns = z.looseObject({
  nameservers: z.array(z.string()).optional(),
  domain: z.string().optional(),
  search: z.array(z.string()).optional(),
  options: z.array(z.string()).optional(),
});

const list = <T extends z.ZodType>(item: T): z.ZodType<z.output<T>[]> =>
  z
    .array(item)
    .nullish()
    .transform((items) => items ?? []);

/** CNI 1.1, 'ADD Success'. */
export const PreviousResult = z
  .looseObject({
    cniVersion: z.string().optional(),
    interfaces: list(Interface),
    ips: list(IpConfig),
    routes: list(Route),
    dns: Dns.nullish(),
  })
  .refine(
    ({ interfaces, ips }) => ips.every((ip) => (ip.interface ?? -1) < interfaces.length),
    'an address names an interface that is not in the list',
  );
export type PreviousResult = z.infer<typeof PreviousResult>;

/** Results of these versions differ only in fields that result.ts adds or leaves out. */
const CONVERTIBLE = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];

/**
 * @throws SluiceError `incompatible_version`: results before 0.3.0 know no interfaces, so nothing can be
 *   appended to them
 */
export function requireConvertible(result: PreviousResult): void {
  if (result.cniVersion === undefined || CONVERTIBLE.includes(result.cniVersion)) return;
  throw new SluiceError(
    'incompatible_version',
    `prevResult has cniVersion ${JSON.stringify(result.cniVersion)}`,
    `use plugins before this one in the chain that speak one of ${CONVERTIBLE.join(', ')}`,
  );
}
