/** Rates as the cluster means them: queues count frames, and where payload is meant they are given, and asked for, more. */
import type { Side } from '../../model/endpoint.ts';
import type { NodeRates, RateKeeper, Rates } from '../../qos/contract.ts';
import { type RateMeaning, rateOfFrames } from '../../qos/rates/meaning.ts';

type Rate = number | null;

/** A rate so high that its rounding is none. */
const LARGE = 10 ** 12;

/**
 * @param meaning  asked anew at every call: when it changes, what the kernel holds means something else
 * @param mtu  of the containers' interfaces of a side, bytes
 */
export function meantRates(
  keeper: RateKeeper,
  meaning: () => RateMeaning,
  mtu: (side: Side) => number,
): RateKeeper {
  const intoFrames = (rate: number, side: Side): number => rateOfFrames(rate, meaning(), mtu(side));
  const outOfFrames = (rate: number, side: Side): number =>
    Math.round((rate * LARGE) / rateOfFrames(LARGE, meaning(), mtu(side)));
  return {
    apply: (wanted) => keeper.apply(mapped(wanted, intoFrames)),
    read: async () => mapped(await keeper.read(), outOfFrames),
    statistics: () => keeper.statistics(),
    close: () => keeper.close(),
  };
}

function mapped({ ports, tenants }: NodeRates, change: (rate: number, side: Side) => number): NodeRates {
  const both = <T extends Rates & { readonly side: Side }>(one: T): T => {
    const direction = (rate: Rate): Rate => (rate === null ? null : change(rate, one.side));
    return { ...one, in: direction(one.in), out: direction(one.out) };
  };
  return { ports: ports.map(both), tenants: tenants.map(both) };
}
