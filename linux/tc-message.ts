/** The header of every traffic control message (linux/rtnetlink.h). */

/** struct tcmsg: family, interface, handle, parent, info (priority and protocol). */
export function tcmsg(ifindex: number, handle: number, parent: number, info: number): Buffer {
  const out = Buffer.alloc(20);
  out.writeInt32LE(ifindex, 4);
  out.writeUInt32LE(handle >>> 0, 8);
  out.writeUInt32LE(parent >>> 0, 12);
  out.writeUInt32LE(info >>> 0, 16);
  return out;
}
