/** What a tenant may do on the internet side: the schema of its guard rules (docs/guard.md). */
import * as z from 'zod';
import { Cidr, Ipv4, ipv4ToNumber, numberToIpv4 } from './addresses.ts';
import { NodeName, TenantName } from './names.ts';

/** What a flow's first bytes show it to be; `other` is all that they do not. */
export const GUARD_PROTOCOLS = ['tls', 'http', 'dns', 'ssh', 'quic', 'other'] as const;
export const GuardProtocol = z.enum(GUARD_PROTOCOLS);
export type GuardProtocol = z.infer<typeof GuardProtocol>;

/** Verdicts that no rule of the file gives bear these names. */
export const DEFAULT_RULE = 'default';
export const LIMITS_RULE = 'limits';
/** A TCP flow whose beginning was not seen: it could have said anything. The client connects again. */
export const UNSEEN_RULE = 'begun-unseen';
const TAKEN: readonly string[] = [DEFAULT_RULE, LIMITS_RULE, UNSEEN_RULE];

const MOST_RULES = 256;
const MOST_ALTERNATIVES = 256;
const MOST_POOL_ADDRESSES = 16;

const LABEL = '[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?';
const PATTERN = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`);

/** `example.com` is that name alone; `*.example.com` is every name below it, however deep, and not itself. */
export const DomainPattern = z
  .string()
  .max(253)
  .regex(PATTERN, "must be a name such as example.com, or *.example.com; small letters, '*' only in front");

const PortNumber = z.int().min(1).max(65_535);

/** A port, or `first-last`. */
const PortRange = z
  .string()
  .refine((text) => parsePorts(text) !== undefined, 'must be two ports such as 20000-29999, the lower first');

/** An address, or `first-last`. */
const AddressPool = z
  .string()
  .refine(
    (text) => parsePool(text) !== undefined,
    `must be an address such as 192.0.2.7, or first-last with at most ${MOST_POOL_ADDRESSES} addresses`,
  );

/** @param what  said when neither fits: a union by itself only says that its input is wrong */
const oneOrMore = <T extends z.ZodType>(one: T, what: string): z.ZodUnion<readonly [T, z.ZodArray<T>]> =>
  z.union([one, z.array(one).min(1).max(MOST_ALTERNATIVES)], `must be ${what}, or a list of such`);

/** All that is given must fit; of several values for one key, any. An empty match fits every flow. */
export const GuardMatch = z.strictObject({
  domain: oneOrMore(DomainPattern, 'a domain name').optional(),
  protocol: oneOrMore(GuardProtocol, `one of ${GUARD_PROTOCOLS.join(', ')}`).optional(),
  destination: oneOrMore(Cidr, 'a block such as 192.0.2.0/24').optional(),
  ports: oneOrMore(z.union([PortNumber, PortRange]), 'a port, or a range such as 8000-8999').optional(),
});
export type GuardMatch = z.infer<typeof GuardMatch>;

const perSecond = z.number().min(0.01).max(1_000_000);
const flows = z.int().min(0).max(65_536);

const Limit = z.strictObject({
  /** New flows a second, on average. */
  newPerSecond: perSecond.optional(),
  /** How many may come at once after a pause; default: those of one second, at least one. */
  burst: z.int().min(1).max(1_000_000).optional(),
  /** Flows at one time. */
  concurrent: flows.optional(),
});

const given = ({ newPerSecond, concurrent }: z.infer<typeof Limit>): boolean =>
  newPerSecond !== undefined || concurrent !== undefined;
const NOTHING_LIMITED = 'a limit needs newPerSecond, concurrent, or both';

export const TenantLimits = Limit.refine(given, NOTHING_LIMITED);
export type TenantLimits = z.infer<typeof TenantLimits>;

export const RuleLimit = Limit.extend({
  /** What is counted apart: all flows of the rule together, those of each domain, or those of each protocol. */
  per: z.enum(['rule', 'domain', 'protocol']).default('rule'),
}).refine(given, NOTHING_LIMITED);
export type RuleLimit = z.infer<typeof RuleLimit>;

const RuleName = z
  .string()
  .regex(
    /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/,
    "a rule's name must be 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit",
  )
  .refine((name) => !TAKEN.includes(name), `the names ${TAKEN.join(', ')} are taken`);

const Verdict = z.enum(['allow', 'deny']);

export const GuardRule = z
  .strictObject({
    name: RuleName,
    match: GuardMatch.default({}),
    verdict: Verdict.optional(),
    /** Allows up to the limit and denies beyond it. */
    limit: RuleLimit.optional(),
  })
  .refine(
    ({ verdict, limit }) => (verdict === undefined) !== (limit === undefined),
    'a rule has either a verdict (allow or deny) or a limit',
  );
export type GuardRule = z.infer<typeof GuardRule>;

/** The addresses by which the tenant's flows leave one node; no other node and no other tenant uses them. */
export const Egress = z.strictObject({
  node: NodeName,
  address: AddressPool,
  /** Source ports that TCP and UDP flows get; disjoint ranges let tenants share an address. */
  ports: PortRange.optional(),
});
export type Egress = z.infer<typeof Egress>;

/** The file that `sluice guard apply` takes. */
export const GuardRules = z.strictObject({
  tenant: TenantName,
  egress: z
    .array(Egress)
    .max(64)
    .refine(
      (all) => new Set(all.map(({ node }) => node)).size === all.length,
      'a node may be named only once',
    )
    .default([]),
  limits: TenantLimits.optional(),
  /** The first that matches decides. */
  rules: z
    .array(GuardRule)
    .max(MOST_RULES)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two rules have the same name')
    .default([]),
  /** For flows that no rule matches. */
  default: Verdict.default('allow'),
});
export type GuardRules = z.infer<typeof GuardRules>;

export interface Range<T> {
  readonly first: T;
  readonly last: T;
}

/** @returns undefined when the text is no range of ports. */
export function parsePorts(text: string): Range<number> | undefined {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  return range.first >= 1 && range.first <= range.last && range.last <= 65_535 ? range : undefined;
}

/** @returns undefined when the text is no address and no short enough range of addresses. */
export function parsePool(text: string): Range<Ipv4> | undefined {
  const [first, last = first, ...rest] = text.split('-');
  const ends = { first: Ipv4.safeParse(first), last: Ipv4.safeParse(last) };
  if (!ends.first.success || !ends.last.success || rest.length > 0) return undefined;
  const span = ipv4ToNumber(ends.last.data) - ipv4ToNumber(ends.first.data);
  if (span < 0 || span >= MOST_POOL_ADDRESSES) return undefined;
  return { first: ends.first.data, last: ends.last.data };
}

/** Every address of an egress, lowest first. */
export function addressesOf({ address }: Pick<Egress, 'address'>): Ipv4[] {
  const pool = parsePool(address);
  if (pool === undefined) return [];
  const first = ipv4ToNumber(pool.first);
  return Array.from({ length: ipv4ToNumber(pool.last) - first + 1 }, (_, i) => numberToIpv4(first + i));
}

/** Two egresses that could give two flows one source address and port, or one address to two nodes. */
export function egressesCollide(a: Egress, b: Egress): boolean {
  const shared = addressesOf(a).some((address) => addressesOf(b).includes(address));
  if (!shared) return false;
  if (a.node !== b.node) return true;
  const [mine, theirs] = [a.ports, b.ports].map((ports) => ports && parsePorts(ports));
  return !mine || !theirs || (mine.first <= theirs.last && theirs.first <= mine.last);
}
