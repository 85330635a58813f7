/** What nodes say of their troubles, as a tenant may hear it. Pure. */

const ADDRESS = /\b(?:\d{1,3}\.){3}\d{1,3}\b(?::\d+)?/g;
/** Absolute ones; a slash within a word is none. */
const PATH = /(?<![\w…])\/[\w.@+-]+(?:\/[\w.@+-]*)*/g;
/** As pools tell how full they are (model/brick-size.ts). */
const ROOM = /\b\d+ MiB\b/g;

/** Where storage nodes listen, what lies where on them, and how full they are is no tenant's business. */
export function forTenants(text: string): string {
  return text.replaceAll(ADDRESS, 'a storage node').replaceAll(PATH, '…').replaceAll(ROOM, '… MiB');
}
