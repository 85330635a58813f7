/** The carrier is changed while packets flow. */
import { readFileSync } from 'node:fs';
import { startDaemon } from '../../linux/process.ts';
import { carry, type End, type Scene, type Stage } from './scene.ts';

const CHANGES = 4;
const INTERVAL_SECONDS = '0.001';
const LEAST_SENT = 1_000;

/** Pings, a thousand times a second, until it is told to stop. */
async function pinging(
  { lab }: Scene,
  from: End,
  to: End,
  way: string,
): Promise<() => Promise<{ sent: number; lost: number }>> {
  const logFile = `${lab.directory}/ping-${from.node}-${way}`;
  const ping = await startDaemon(
    ['nsenter', `--net=${from.container.netns}`, '--', 'ping', '-q', '-i', INTERVAL_SECONDS, to.address],
    { logFile },
  );
  return async () => {
    process.kill(ping.id.pid, 'SIGINT');
    await ping.exited;
    const [, sent = '', received = ''] =
      /(\d+) packets transmitted, (\d+) received/.exec(readFileSync(logFile, 'utf8')) ?? [];
    // The last one may have been on its way when ping was told to stop.
    return { sent: Number(sent), lost: Math.max(0, Number(sent) - Number(received) - 1) };
  };
}

export function changesUnderLoad({ scene, way }: Omit<Stage, 'carrier'>): void {
  it('a change of the carrier loses nothing, in either direction', async () => {
    const { near, far } = scene();
    await carry(scene(), 'option');
    const ends = await Promise.all([pinging(scene(), near, far, way), pinging(scene(), far, near, way)]);
    for (let i = 0; i < CHANGES; i++) await carry(scene(), i % 2 === 0 ? 'vxlan' : 'option');
    const pings = await Promise.all(ends.map((end) => end()));
    const sent = pings.reduce((sum, one) => sum + one.sent, 0);
    const lost = pings.reduce((sum, one) => sum + one.lost, 0);
    process.stdout.write(
      `  both    ${way.padEnd(10)} ${CHANGES} changes under load: sent ${sent} pings, lost ${lost}\n`,
    );
    expect(sent).toBeGreaterThan(LEAST_SENT);
    expect(lost).toBe(0);
  }, 60_000);
}
