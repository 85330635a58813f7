/** IPv4 options (RFC 791): which of them may pass the fence. tagqueue/bpf/options.h has the same rules. */

/** Copied into fragments, class 0, number 30: experimental (RFC 4727). */
export const TAG_OPTION = 0x9e;
export const TAG_BYTES = 16;

const END = 0;
const NOTHING = 1;
const LOOSE_SOURCE_ROUTE = 0x83;
const STRICT_SOURCE_ROUTE = 0x89;
/** Of the 40 that there are, what the tag leaves. */
const MOST_OPTION_BYTES = 24;

/**
 * Whether a container may send these options: they can be walked from end to end, none is a tag, and none says where
 * the packet has to go.
 *
 * @param from  of the first option
 * @param to    behind the last one
 */
export function areHarmlessOptions(bytes: DataView, from: number, to: number): boolean {
  if (to - from > MOST_OPTION_BYTES || to > bytes.byteLength) return false;
  for (let at = from; at < to; ) {
    const type = bytes.getUint8(at);
    if (type === END) return true;
    if (type === NOTHING) {
      at += 1;
      continue;
    }
    const length = at + 1 < to ? bytes.getUint8(at + 1) : 0;
    if (isHarmful(type) || length < 2 || at + length > to) return false;
    at += length;
  }
  return true;
}

function isHarmful(type: number): boolean {
  return type === TAG_OPTION || type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE;
}
