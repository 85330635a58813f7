/** Decides about a flow by its tenant's rules: the first that matches, as soon as it is certain which that is. */
import { type Cidr, cidrNetwork, cidrPrefix, type Ipv4, ipv4ToNumber } from '../../model/addresses.ts';
import {
  DEFAULT_RULE,
  type GuardMatch,
  type GuardProtocol,
  type GuardRules,
  LIMITS_RULE,
  parsePorts,
  type RuleLimit,
} from '../../model/guard.ts';
import { LimitAccounts } from './limits.ts';
import type { Recognised } from './recognise.ts';

/** What is known of a flow. */
export interface FlowFacts {
  readonly destination: Ipv4;
  /** Undefined for protocols without ports. */
  readonly port: number | undefined;
  /** Undefined as long as its bytes have not shown it. */
  readonly seen: Recognised | undefined;
}

export interface Decision {
  readonly verdict: 'allow' | 'deny';
  /** Name of the rule that decided. */
  readonly rule: string;
  /** To be called once the flow has ended; undefined when it holds no place that others could want. */
  readonly leave: (() => void) | undefined;
}

/** One tenant's rules with what their limits have counted. */
export interface Policy {
  /** Lets the flow in under the tenant's own limits, before anything else is known of it. */
  admit(now: number): Decision;
  /** @returns undefined as long as more must be known. Charges the limit of the rule that it decides by */
  decide(facts: FlowFacts, now: number): Decision | undefined;
  /** What would be decided about a flow of which all is known; charges nothing. */
  foretell(facts: FlowFacts & { readonly seen: Recognised }): Foretold;
  /** Whether DNS questions are told apart by name, so that each of them must be looked at. */
  readonly judgesEveryQuestion: boolean;
  /** Takes in a flow of before, whose rule nobody remembers: it holds a place of the tenant's own limit. */
  occupy(now: number): Decision['leave'];
}

export interface Foretold {
  readonly verdict: 'allow' | 'limit' | 'deny';
  readonly rule: string;
  readonly limit?: RuleLimit;
}

interface CompiledRule {
  readonly name: string;
  readonly match: CompiledMatch;
  readonly verdict: 'allow' | 'deny';
  readonly limit: RuleLimit | undefined;
  readonly accounts: LimitAccounts | undefined;
}

/** @param rules  as validated (model/guard.ts); counting begins from nothing */
export function compilePolicy(rules: GuardRules): Policy {
  const compiled = rules.rules.map(
    ({ name, match, verdict = 'allow', limit }): CompiledRule => ({
      name,
      match: compileMatch(match, limit !== undefined && limit.per !== 'rule'),
      verdict,
      limit,
      accounts: limit && new LimitAccounts(limit),
    }),
  );
  const whole = rules.limits && new LimitAccounts(rules.limits);

  /** The first rule that fits for certain; 'unknown' when one before it might. */
  function find(facts: FlowFacts): CompiledRule | 'default' | 'unknown' {
    for (const rule of compiled) {
      const fits = rule.match(facts);
      if (fits === 'unknown') return 'unknown';
      if (fits) return rule;
    }
    return 'default';
  }

  return {
    judgesEveryQuestion: rules.rules.some(
      ({ match }) => match.domain !== undefined && listed(match.protocol, ['dns']).includes('dns'),
    ),
    occupy: (now) => whole && leaving(whole, whole.occupy('', now)),
    admit: (now) => enter(LIMITS_RULE, whole, '', now),
    decide(facts, now): Decision | undefined {
      const rule = find(facts);
      if (rule === 'unknown') return undefined;
      if (rule === 'default') return { verdict: rules.default, rule: DEFAULT_RULE, leave: undefined };
      if (rule.accounts === undefined) return { verdict: rule.verdict, rule: rule.name, leave: undefined };
      return enter(rule.name, rule.accounts, holderOf(rule.limit, facts.seen), now);
    },
    foretell(facts): Foretold {
      const rule = find(facts);
      if (rule === 'unknown' || rule === 'default') return { verdict: rules.default, rule: DEFAULT_RULE };
      if (rule.limit === undefined) return { verdict: rule.verdict, rule: rule.name };
      return { verdict: 'limit', rule: rule.name, limit: rule.limit };
    },
  };
}

function enter(rule: string, accounts: LimitAccounts | undefined, holder: string, now: number): Decision {
  if (accounts === undefined) return { verdict: 'allow', rule, leave: undefined };
  const account = accounts.enter(holder, now);
  if (account === undefined) return { verdict: 'deny', rule, leave: undefined };
  return { verdict: 'allow', rule, leave: leaving(accounts, account) };
}

function leaving(accounts: LimitAccounts, account: string): Decision['leave'] {
  return accounts.countsFlows ? () => accounts.leave(account) : undefined;
}

/** Whose account a flow is charged to. A limit for each domain or protocol can only be reached knowing it. */
function holderOf(limit: RuleLimit | undefined, seen: Recognised | undefined): string {
  switch (limit?.per) {
    case 'domain':
      return seen?.domain ?? '';
    case 'protocol':
      return seen?.protocol ?? '';
    default:
      return '';
  }
}

type Fits = boolean | 'unknown';
type CompiledMatch = (facts: FlowFacts) => Fits;

/**
 * Cheap and certain things first: what does not fit need not be known further.
 * @param asks  whether the flow must be known even where the match does not need it: its account hangs on it
 */
function compileMatch({ destination, ports, protocol, domain }: GuardMatch, asks: boolean): CompiledMatch {
  const blocks = listed(destination, []).map(blockTest);
  const ranges = listed(ports, []).map(rangeOf);
  const protocols: ReadonlySet<GuardProtocol> = new Set(listed(protocol, []));
  const names = domain === undefined ? undefined : domainTest(listed(domain, []));
  const leads = ({ destination: to, port }: FlowFacts): boolean =>
    (blocks.length === 0 || blocks.some((test) => test(ipv4ToNumber(to)))) &&
    (ranges.length === 0 || ranges.some(({ first, last }) => isWithin(port, first, last)));
  const shows = ({ protocol: seen, domain: name }: Recognised): boolean =>
    (protocols.size === 0 || protocols.has(seen)) && (names === undefined || (name !== null && names(name)));
  const mustSee = asks || protocols.size > 0 || names !== undefined;
  return (facts) => {
    if (!leads(facts)) return false;
    if (!mustSee) return true;
    return facts.seen === undefined ? 'unknown' : shows(facts.seen);
  };
}

function listed<T>(value: T | readonly T[] | undefined, otherwise: readonly T[]): readonly T[] {
  if (value === undefined) return otherwise;
  return Array.isArray(value) ? value : [value as T];
}

const isWithin = (port: number | undefined, first: number, last: number): boolean =>
  port !== undefined && first <= port && port <= last;

function rangeOf(ports: number | string): { readonly first: number; readonly last: number } {
  // The schema has refused what is no range.
  if (typeof ports === 'string') return parsePorts(ports) ?? { first: 1, last: 0 };
  return { first: ports, last: ports };
}

function blockTest(block: Cidr): (address: number) => boolean {
  const size = 2 ** (32 - cidrPrefix(block));
  const first = ipv4ToNumber(cidrNetwork(block));
  return (address) => first <= address && address < first + size;
}

/** One look-up per label, however many patterns there are. */
function domainTest(patterns: readonly string[]): (domain: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.startsWith('*.')));
  const below = new Set(patterns.filter((pattern) => pattern.startsWith('*.')).map((name) => name.slice(2)));
  return (domain) => {
    if (exact.has(domain)) return true;
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
      if (below.has(domain.slice(dot + 1))) return true;
    }
    return false;
  };
}
