/** A tagqueue of its own process, for tests that kill it: options come as JSON, settings line by line. */
import { createInterface } from 'node:readline';
import { silentLog } from '../../model/log.ts';
import { runTagqueue } from '../../tagqueue/main.ts';
import { PlaneSettings } from '../../tagqueue/settings.ts';

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

async function* settingsFromStdin(): AsyncGenerator<PlaneSettings> {
  for await (const line of createInterface(process.stdin)) yield PlaneSettings.parse(JSON.parse(line));
}

await runTagqueue({
  ...JSON.parse(process.argv[2] ?? ''),
  settings: settingsFromStdin(),
  signal: stop.signal,
  log: silentLog,
});
process.exit();
