/** The one place where packets are led into the guard's queue; what gets there is the node's table's business (netd). */
import type { OwnChain } from '../../linux/iptables.ts';
import type { MarkMask } from '../../model/mark.ts';
import type { IfName } from '../../model/names.ts';

/** No other queue of ours, nor of anybody we know of, has this number. */
export const GUARD_QUEUE = 23_100;

export const GUARD_CHAIN = { table: 'mangle', name: 'SLUICE-guard' } as const;

/**
 * Static: it knows no tenants. A packet that begins a flow is either marked, because its tenant has no rules or the
 * guard has vouched for it, and then the mark goes into the connection; or it has no mark, and then it goes to the
 * guard. Without `queue-bypass`: nobody there means nobody through.
 */
export function guardChain(externalBridge: IfName, markMask: MarkMask): OwnChain {
  const mask = `0x${markMask.toString(16)}`;
  return {
    ...GUARD_CHAIN,
    hook: 'FORWARD',
    rules: [
      `! -i ${externalBridge} -j RETURN`,
      `-o ${externalBridge} -j RETURN`,
      `-m connmark ! --mark 0x0/${mask} -j RETURN`,
      '-m conntrack --ctdir REPLY -j RETURN',
      `-m mark ! --mark 0x0/${mask} -j CONNMARK --save-mark --nfmask ${mask} --ctmask ${mask}`,
      `-m mark ! --mark 0x0/${mask} -j RETURN`,
      `-j NFQUEUE --queue-num ${GUARD_QUEUE}`,
    ],
  };
}
