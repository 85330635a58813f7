/** The namespaces in which glusterd and all it starts live: what is mounted there in the places Gluster knows. */
import path from 'node:path';
import type { LastingPlan } from '../../linux/lasting-namespaces.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { BRICK_PORTS } from '../../model/gluster-ports.ts';

/** Of a machine that stands alone, on the loopback interface of a network namespace with nothing else (RFC 3927: never routed). */
export const PRIVATE_ADDRESS = '169.254.24.7' as Ipv4;

/** What is kept of Gluster on a node, below one directory. */
export interface GlusterPlace {
  /** In the place of /var/lib/glusterd: what this glusterd knows of its cluster. */
  readonly lib: string;
  /** In the place of /var/log/glusterfs. */
  readonly log: string;
  /** In the places of /etc/ssl and /usr/lib/ssl: in OpenSSL's directory Gluster knows certificates by fixed names. */
  readonly tls: string;
  /** In the places of /etc/hosts and /etc/nsswitch.conf. */
  readonly names: string;
  /** Laid over Gluster's own library directory: links to files in `additions`, which may be replaced at any time. */
  readonly overlay: string;
  readonly additions: string;
  readonly bricks: string;
  readonly volfile: string;
  readonly lockFile: string;
}

export function placeOf(directory: string): GlusterPlace {
  return {
    lib: path.join(directory, 'lib'),
    log: path.join(directory, 'log'),
    tls: path.join(directory, 'tls'),
    names: path.join(directory, 'names'),
    overlay: path.join(directory, 'overlay'),
    additions: path.join(directory, 'additions'),
    bricks: path.join(directory, 'bricks'),
    volfile: path.join(directory, 'glusterd.vol'),
    lockFile: path.join(directory, 'namespaces'),
  };
}

/**
 * /run is covered because glusterd's socket and pid files have their places there; what must be seen below it is put
 * back. `-c` keeps mount(8) from taking the relative path for one below the new /run.
 */
const SCRIPT = `lib=$1 log=$2 tls=$3 names=$4 overlay=$5 library=$6 address=$7
shift 7
mount --bind "$lib" /var/lib/glusterd
mount --bind "$log" /var/log/glusterfs
for directory in /etc/ssl /usr/lib/ssl; do
  [ ! -d "$directory" ] || mount --bind "$tls" "$directory"
done
for file in hosts nsswitch.conf; do
  [ ! -e "/etc/$file" ] || mount --bind "$names/$file" "/etc/$file"
done
mount -t overlay -o "ro,lowerdir=$overlay:$library" sluice-gluster "$library"
cd /run
mount -t tmpfs -o mode=755 sluice-gluster /run
for directory in "$@"; do
  case $directory in /run/*)
    mkdir -p "$directory"
    mount -c --rbind "./\${directory#/run/}" "$directory";;
  esac
done
cd /
if [ -n "$address" ]; then
  ip link set lo up
  ip address add "$address/32" dev lo
fi`;

export interface NamespacesWanted {
  /** All that is kept, and what names them. */
  readonly directory: string;
  /** Other directories that are seen inside as they are outside. */
  readonly visible: readonly string[];
  /** Gluster's: the parent of its directory of translators. */
  readonly library: string;
  /** On lo of a network namespace of their own; or the namespace to be in, null: the caller's. */
  readonly network: { readonly ownAddress: Ipv4 } | { readonly path: string } | null;
}

export function markerOf(directory: string): string {
  return `sluice-gluster:${directory}`;
}

export function namespacesPlan({ directory, visible, library, network }: NamespacesWanted): LastingPlan {
  const place = placeOf(directory);
  const ownAddress = network !== null && 'ownAddress' in network ? network.ownAddress : '';
  return {
    marker: markerOf(directory),
    lockFile: place.lockFile,
    logFile: `${place.lockFile}.log`,
    script: SCRIPT,
    args: [
      ...[place.lib, place.log, place.tls, place.names, place.overlay, library, ownAddress],
      ...[directory, ...visible],
    ],
    network: network !== null && 'ownAddress' in network ? 'own' : network,
  };
}

/**
 * Gluster asks for the name of every address that it hears from, and stands still meanwhile: with a resolver that does
 * not answer, its peers take it for dead. In here nobody has a name, and peers are known by their addresses.
 */
export const NAME_FILES: Readonly<Record<string, string>> = {
  hosts: '127.0.0.1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n',
};

export const MANAGEMENT_PORT = 24_007;

/**
 * glusterd's own configuration. A peer that is cut off is noticed in 10 s; by default never, and orders to the cluster
 * would wait for it for two minutes each.
 */
export function volfileText(address: Ipv4): string {
  const options = {
    'working-directory': '/var/lib/glusterd',
    'transport-type': 'socket',
    'transport.address-family': 'inet',
    'transport.socket.bind-address': address,
    'transport.socket.listen-port': MANAGEMENT_PORT,
    'transport.socket.keepalive-time': 5,
    'transport.socket.keepalive-interval': 1,
    'transport.socket.keepalive-count': 5,
    'transport.socket.read-fail-log': 'off',
    'ping-timeout': 10,
    'event-threads': 1,
    'base-port': BRICK_PORTS.first,
    'max-port': BRICK_PORTS.last,
  };
  const lines = Object.entries(options).map(([name, value]) => `    option ${name} ${value}\n`);
  return `volume management\n    type mgmt/glusterd\n${lines.join('')}end-volume\n`;
}
