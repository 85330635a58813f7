/** A refused packet in one line. */
import type { DropEvent, HeaderSummary, MissedEvents } from '../../model/drop.ts';

export function dropLine(event: DropEvent | MissedEvents): string {
  if ('missed' in event) return `… ${event.missed} more came faster than they could be shown`;
  const reason = event.rule === undefined ? event.reason : `${event.reason} (${event.rule})`;
  const columns: readonly (readonly [string, number])[] = [
    [event.time.slice(11, 23), 12],
    [event.node, 8],
    [reason, 14],
    [event.hook, 10],
    [whereOf(event), 15],
    [event.tenant ?? (event.tag === 0 ? 'nobody' : `tag ${event.tag}`), 10],
  ];
  return [...columns.map(([text, width]) => text.padEnd(width)), packetOf(event)].join('  ');
}

function whereOf({ container, interface: name, ifindex }: DropEvent): string {
  if (container !== null) return `${container.name ?? container.id.slice(0, 12)}/${container.ifName}`;
  return name ?? `interface ${ifindex}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6' };
const ARP = 0x0806;
const ARP_OPERATIONS: Readonly<Record<number, string>> = { 1: 'arp request', 2: 'arp reply' };

function packetOf({ header, length }: DropEvent): string {
  if (header === undefined) return `${length} bytes`;
  const { source, destination } = header;
  if (source === undefined || destination === undefined) {
    return `${header.sourceMac} → ${header.destinationMac} ethertype 0x${header.etherType.toString(16).padStart(4, '0')}, ${length} bytes`;
  }
  const claim = header.claimedTag === undefined ? '' : `, claims tag ${header.claimedTag}`;
  return `${end(source, header.sourcePort)} → ${end(destination, header.destinationPort)} ${kindOf(header)}, ${length} bytes${claim}`;
}

function end(address: string, port: number | undefined): string {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function kindOf({ etherType, arpOperation = 0, protocol = 0 }: HeaderSummary): string {
  if (etherType === ARP) return ARP_OPERATIONS[arpOperation] ?? 'arp';
  return PROTOCOLS[protocol] ?? `protocol ${protocol}`;
}
