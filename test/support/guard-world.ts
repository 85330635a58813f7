/** The scene of the guard's tests: a node, a guarded tenant and one that is not, and an internet with every kind of server. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttps, type Server as HttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { writeAtomically } from '../../linux/files.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { run } from '../../linux/process.ts';
import type { Config } from '../../model/config.ts';
import { GuardRules } from '../../model/guard.ts';
import { makeCertificate } from '../../orchestrator/server/certificate.ts';
import { boundUdp, connectRaw, datagrams, type Heard, type RawClient } from './raw-client.ts';

export const PATIENCE_MS = 4_000;

export interface GuardWorld {
  readonly lab: Lab;
  readonly blue: LabContainer;
  readonly blue2: LabContainer;
  readonly red: LabContainer;
  /** What the servers have seen: protocol, and the client's address and port. */
  readonly visits: { readonly server: string; readonly from: string; readonly port: number }[];
}

/** Ports on which the internet answers the first words of anybody. */
const TALKERS = [22, 25, 443 + 8_000, 80 + 8_000, 9_999];
const UDP_PORTS = [53, 443];

/** Call it at the top of a test file. */
export function guardWorld(prefix: string, config: object = {}): () => GuardWorld {
  let lab: Lab | undefined;
  let world: GuardWorld | undefined;
  const servers: { close(): unknown }[] = [];
  const sockets = new Set<Socket>();
  beforeAll(async () => {
    lab = await createLab({ prefix, nodes: ['a'] });
    await lab.start(config as Config);
    for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
    const visits: GuardWorld['visits'] = [];
    servers.push(...(await openInternet(lab, visits, sockets)));
    const [blue, blue2, red] = await Promise.all([
      lab.container('a', 'blue', 'b1'),
      lab.container('a', 'blue', 'b2'),
      lab.container('a', 'red', 'r1'),
    ]);
    world = { lab, blue, blue2, red, visits };
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await lab?.close();
  });
  return () => world!;
}

async function openInternet(
  lab: Lab,
  visits: GuardWorld['visits'],
  sockets: Set<Socket>,
): Promise<{ close(): unknown }[]> {
  const pem = await makeCertificate(Date.now());
  using netns = openNetns(lab.internet.netns);
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const see = (server: string, { remoteAddress, remotePort }: Socket): void => {
    visits.push({ server, from: (remoteAddress ?? '').replace('::ffff:', ''), port: remotePort ?? 0 });
  };
  const https: HttpsServer = createHttps({ key: pem, cert: pem }, (request, response) => {
    see('https', request.socket);
    response.end(`hello ${request.headers.host}\n`);
  });
  https.on('connection', keep);
  https.on('tlsClientError', () => undefined);
  const opened: (Server | HttpsServer | UdpSocket)[] = [https];
  const ready: Promise<unknown>[] = [once(https, 'listening')];
  inNetns(netns, () => {
    https.listen(443);
  });
  for (const port of TALKERS) {
    const server = createServer((socket) => {
      keep(socket);
      see(`tcp ${port}`, socket);
      socket.on('data', (data) => socket.write(`heard ${data.length}\n`));
    });
    ready.push(once(server, 'listening'));
    inNetns(netns, () => {
      server.listen(port);
    });
    opened.push(server);
  }
  for (const port of UDP_PORTS) {
    const udp = createSocket('udp4');
    udp.on('message', (data, { address, port: from }) => {
      visits.push({ server: `udp ${port}`, from: address, port: from });
      udp.send(`heard ${data.length}`, from, address);
    });
    ready.push(once(udp, 'listening'));
    udp.bind({ fd: inNetns(netns, () => boundUdp(lab.internet.address, port)) });
    opened.push(udp);
  }
  await Promise.all(ready);
  return opened;
}

/** Sets rules by the command, and waits until both daemons go by them. */
export async function applyRules(
  { lab }: GuardWorld,
  rules: Readonly<Record<string, unknown>> & { readonly tenant: string },
): Promise<void> {
  const node = lab.node('a');
  const file = `${node.stateDir}/rules.yaml`;
  // JSON is YAML.
  writeAtomically(file, JSON.stringify(rules));
  const { code, stdout, stderr } = await node.sluice(['guard', 'apply', file]);
  if (code !== 0) throw new Error(stdout + stderr);
  const wanted = JSON.stringify(GuardRules.parse(rules));
  await until('tagqueue and netd know the rules', async () => {
    const saved = await node.exec(['cat', `${node.stateDir}/guards.json`]).catch(() => '[]');
    const all = JSON.parse(saved) as { tag: number; rules: { tenant: string } }[];
    const known = all.find((one) => one.rules.tenant === rules.tenant);
    const table = await node.exec(['nft', 'list', 'table', 'ip', 'sluice_a']);
    const egress = GuardRules.parse(rules).egress.length > 0;
    return (
      JSON.stringify(known?.rules) === wanted &&
      /set guarded \{[^}]*elements/.test(table) &&
      table.includes(`egress_${known?.tag}`) === egress
    );
  });
  await until('the guard reads its queue', () => guardIsReady(lab));
}

export async function guardIsReady(lab: Lab): Promise<boolean> {
  const client = localClient(`${lab.node('a').runDir}/tagqueue.sock`);
  try {
    const status = (await client.request('GET', '/v1/status')) as { guard?: { ready: boolean } };
    return status.guard?.ready === true;
  } catch {
    return false;
  } finally {
    client.close();
  }
}

export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  ms = 15_000,
): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`in vain waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A real client: 'ok', or curl's exit code (7 refused, 28 too late, 35 cut off in the handshake). */
export async function curl({ lab }: GuardWorld, from: LabContainer, url: string): Promise<string> {
  const { hostname, port, protocol } = new URL(url);
  const where = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}:${lab.internet.address}`;
  const { code, stdout } = await run([
    'nsenter',
    `--net=${from.netns}`,
    ...['--', 'curl', '-sk', '--max-time', '4', '--resolve', where, url],
  ]);
  return code === 0 ? stdout.trim() : `curl ${code}`;
}

/** Connects and says these things one after the other. */
export async function say(
  { lab }: GuardWorld,
  from: LabContainer,
  port: number,
  segments: readonly Uint8Array[],
): Promise<Heard> {
  const client = await connectRaw(from.netns, lab.internet.address, port, PATIENCE_MS);
  if (typeof client === 'string') return client;
  using _client = client;
  for (const segment of segments) if (!client.send(segment)) break;
  return await client.hear(PATIENCE_MS);
}

export async function sayUdp(
  { lab }: GuardWorld,
  from: LabContainer,
  port: number,
  payloads: readonly Uint8Array[],
  patienceMs = 500,
): Promise<Heard> {
  using client: RawClient = datagrams(from.netns, lab.internet.address, port);
  for (const payload of payloads) client.send(payload);
  return await client.hear(patienceMs);
}
