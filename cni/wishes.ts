/** What a runtime may ask for one container: the keys of `runtimeConfig`, in either capitalisation. */
import ipaddr from 'ipaddr.js';
import * as z from 'zod';
import { Ipv4, Mac } from '../model/addresses.ts';
import { Bandwidth, type Dns, Protocol, type PublishedPort } from '../model/endpoint.ts';
import { ContainerName } from '../model/names.ts';
import { quoted, UNSUPPORTED } from './error.ts';

/** The capabilities a network configuration may declare (CNI conventions, 'Well-known Capabilities'). */
export const CAPABILITIES = [
  'aliases',
  'bandwidth',
  'cgroupPath',
  'dns',
  'io.kubernetes.cri.pod-annotations',
  'ips',
  'mac',
  'portMappings',
] as const;

/** Go programs send null for an empty list, and containerd the field names of its structs: HostPort. */
const goObject = <T extends z.ZodType>(schema: T): z.ZodType<z.output<T>> =>
  z.preprocess(withLowerCaseKeys, schema);

/** A key that stands in both spellings stays as it is, so that the schema refuses the second. */
function withLowerCaseKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const names = new Set(Object.keys(value));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const lower = key.charAt(0).toLowerCase() + key.slice(1);
      return [names.has(lower) ? key : lower, inner];
    }),
  );
}

/** An address with or without a prefix length. The length is not used: the node's block has its own. */
export const AddressWish = z.string().transform((text, context): Ipv4 => {
  const [address = '', prefix, ...more] = text.split('/');
  const parsed = Ipv4.safeParse(address);
  const prefixIsWell = prefix === undefined || (/^\d{1,2}$/.test(prefix) && Number(prefix) <= 32);
  if (parsed.success && prefixIsWell && more.length === 0) return parsed.data;
  if (ipaddr.IPv6.isValid(address)) {
    context.addIssue({
      code: 'custom',
      params: UNSUPPORTED,
      message: `${quoted(text)}: IPv6 addresses are not supported`,
    });
  } else {
    context.addIssue({
      code: 'custom',
      message: `${quoted(text)} must be an IPv4 address such as 10.64.0.7`,
    });
  }
  return z.NEVER;
});

/** A word for resolv.conf: white space would begin another entry, a line break another line. */
const ResolverWord = z.string().regex(/^[^\s\p{Cc}]{1,253}$/u, 'must be one word of at most 253 characters');
const NameServer = z.union([z.ipv4(), z.ipv6()], 'must be an IP address');

/** `dns` of a network configuration (CNI 1.1, section 1). */
export const DnsConfig = z.strictObject({
  nameservers: z.array(NameServer).optional(),
  domain: ResolverWord.optional(),
  search: z.array(ResolverWord).optional(),
  options: z.array(ResolverWord).optional(),
});

const DnsWish = goObject(
  z.strictObject({
    servers: z.array(NameServer).nullish(),
    searches: z.array(ResolverWord).nullish(),
    options: z.array(ResolverWord).nullish(),
  }),
).transform((wish): Dns | null => {
  const dns: Dns = {};
  if (wish.servers?.length) dns.nameservers = wish.servers;
  if (wish.searches?.length) dns.search = wish.searches;
  if (wish.options?.length) dns.options = wish.options;
  return Object.keys(dns).length === 0 ? null : dns;
});

/** 0 is not 'any port': runtimes choose one before they call us, and leave out what is not published. */
const PortNumber = z.int().min(1).max(65_535);

const TransportProtocol = z
  .string()
  .nullish()
  .transform((text, context): Protocol => {
    const protocol = Protocol.safeParse(text ? text.toLowerCase() : 'tcp');
    if (protocol.success) return protocol.data;
    context.addIssue({
      code: 'custom',
      params: UNSUPPORTED,
      message: `${quoted(text)} is not supported; tcp and udp are`,
    });
    return z.NEVER;
  });

const ANY_HOST_ADDRESS: readonly unknown[] = [null, undefined, '', '0.0.0.0', '::'];

const HostAddress = z
  .string()
  .nullish()
  .transform((text, context): Ipv4 | null => {
    if (text === null || text === undefined || ANY_HOST_ADDRESS.includes(text)) return null;
    const address = Ipv4.safeParse(text);
    if (address.success) return address.data;
    const params = ipaddr.IPv6.isValid(text) ? UNSUPPORTED : {};
    const message = `${quoted(text)} is not supported: ports are published on IPv4 addresses of the node`;
    context.addIssue({ code: 'custom', params, message });
    return z.NEVER;
  });

const PortMapping = goObject(
  z.strictObject({
    hostPort: PortNumber,
    containerPort: PortNumber,
    protocol: TransportProtocol,
    hostIP: HostAddress,
  }),
).transform(({ hostIP, ...port }): PublishedPort => ({ ...port, hostIp: hostIP }));

/** One mapping given twice counts once; two that want the same port of the node contradict each other. */
const PortMappings = z.array(PortMapping).transform((ports, context): PublishedPort[] => {
  const byHostSide = new Map<string, PublishedPort>();
  for (const port of ports) {
    const key = `${port.hostIp ?? '*'}:${port.hostPort}/${port.protocol}`;
    const other = byHostSide.get(key);
    if (other !== undefined && other.containerPort !== port.containerPort) {
      context.addIssue({ code: 'custom', message: `${key} is mapped twice` });
    }
    byHostSide.set(key, port);
  }
  return [...byHostSide.values()];
});

/** 0 means 'no limit' to the bandwidth plugin and to containerd, as a missing key does. */
const BandwidthWish = goObject(Bandwidth).transform((wish): Bandwidth | null => {
  const set = Object.entries(wish).filter(([, value]) => value !== undefined && value > 0);
  return set.length === 0 ? null : (Object.fromEntries(set) as Bandwidth);
});

const Aliases = z.union(
  [z.array(ContainerName), z.record(z.string(), z.array(ContainerName))],
  'must be a list of names, or a list of names per network',
);

const CgroupPath = z
  .string()
  .max(4096)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  .regex(/^[^\x00-\x1f\x7f]*$/, 'must not hold control characters')
  .refine((path) => !path.split('/').includes('..'), 'must not hold ".."');

/** `runtimeConfig`: every key is one of CAPABILITIES. */
export const RuntimeConfig = z.strictObject({
  aliases: Aliases.nullish(),
  bandwidth: BandwidthWish.nullish(),
  cgroupPath: CgroupPath.nullish(),
  dns: DnsWish.nullish(),
  'io.kubernetes.cri.pod-annotations': z.record(z.string(), z.string()).nullish(),
  ips: z.array(AddressWish).nullish(),
  mac: z.preprocess((text) => (text === '' ? null : text), Mac.nullish()),
  portMappings: PortMappings.nullish(),
});
export type RuntimeConfig = z.infer<typeof RuntimeConfig>;
