/** Chooses addresses from the node's block. Pure: who holds what is passed in. */
import {
  type Cidr,
  cidrContains,
  cidrNetwork,
  cidrSize,
  type Ipv4,
  ipv4ToNumber,
  numberToIpv4,
} from '../model/addresses.ts';
import { SluiceError } from '../model/errors.ts';

/** What is known about one block at the moment of choosing. */
export interface BlockState {
  readonly block: Cidr;
  /** Held by an endpoint, ready or not. */
  isLive(address: Ipv4): boolean;
  /** Given back too recently to be given again. */
  isCooling(address: Ipv4): boolean;
  /** Reserved for the container of another name. */
  isReservedForOthers(address: Ipv4): boolean;
  /** The address chosen last: the search goes on behind it, so that addresses rest as long as they can. */
  readonly last: Ipv4 | undefined;
}

/** The block's first two and last address are not for containers: network, gateway, broadcast. */
const FIRST_OFFSET = 2;

/**
 * The next free address of the block.
 * @throws SluiceError `addresses_exhausted` saying how many are live and how many only rest.
 */
export function chooseAddress(state: BlockState): Ipv4 {
  const base = ipv4ToNumber(cidrNetwork(state.block));
  const usable = cidrSize(state.block) - FIRST_OFFSET - 1;
  const start = state.last === undefined ? 0 : ipv4ToNumber(state.last) - base - FIRST_OFFSET + 1;
  let resting = 0;
  for (let step = 0; step < usable; step++) {
    const address = numberToIpv4(base + FIRST_OFFSET + ((start + step) % usable));
    if (state.isLive(address) || state.isReservedForOthers(address)) continue;
    if (!state.isCooling(address)) return address;
    resting++;
  }
  throw new SluiceError(
    'addresses_exhausted',
    `block ${state.block} has no free address: ${usable - resting} in use or reserved, ${resting} released a moment ago`,
    resting > 0
      ? 'try again in a minute, or lower network.addressCooldownSeconds'
      : 'remove containers, or use nodes with larger blocks (network.blockPrefix)',
  );
}

/**
 * Checks an address somebody asked for by number. The cool-down does not bind it: who names an
 * address means exactly that one (a container that is restarted with its static address).
 *
 * @throws SluiceError `invalid_request` outside the block, `address_taken` when held or reserved.
 */
export function checkRequested(state: BlockState, address: Ipv4): void {
  const base = ipv4ToNumber(cidrNetwork(state.block));
  const offset = ipv4ToNumber(address) - base;
  if (!cidrContains(state.block, address) || offset < FIRST_OFFSET || offset === cidrSize(state.block) - 1) {
    throw new SluiceError(
      'invalid_request',
      `${address} is not a container address of this node's block ${state.block}`,
      `ask for one between ${numberToIpv4(base + FIRST_OFFSET)} and ${numberToIpv4(base + cidrSize(state.block) - 2)}`,
    );
  }
  if (state.isLive(address))
    throw new SluiceError(
      'address_taken',
      `${address} is held by a running container`,
      'see `sluice endpoint list`; stop that container or ask for another address',
    );
  if (state.isReservedForOthers(address))
    throw new SluiceError(
      'address_taken',
      `${address} is reserved for a container of another name`,
      'see `sluice endpoint list --reserved`, or ask for another address',
    );
}
