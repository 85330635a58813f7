/** Starts, asks and kills a tagqueue in a test's network namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { unmountBpffs } from '../../linux/bpffs.ts';
import { tagqueueSocketOf } from '../../tagqueue/main.ts';
import { PlaneIds } from '../../tagqueue/plane-ids.ts';
import type { PlaneSettings } from '../../tagqueue/settings.ts';
import type { Wire } from './wire.ts';
import { MARK_MASK } from './world.ts';

const SCRIPT = resolve(import.meta.dirname, 'tagqueue-process.ts');
export const NODE = 'n1';

/** A node's directories, and one tagqueue after another in them. */
export interface Daemon extends Disposable {
  readonly runDir: string;
  readonly stateDir: string;
  readonly api: ApiClient;
  /** @param mounts  `own`: in a mount namespace of its own, as under `ip netns exec`, which hides earlier pins */
  start(object: string, mounts: 'shared' | 'own'): void;
  tell(settings: PlaneSettings): void;
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>;
  ids(): Promise<PlaneIds>;
  /** Undefined while nobody answers. */
  status(): Promise<{ ready: boolean; guarded: boolean } | undefined>;
}

export function daemonOn(wire: Wire): Daemon {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-tagqueue-'));
  const [runDir, stateDir] = [join(directory, 'run'), join(directory, 'state')];
  mkdirSync(runDir, { mode: 0o700 });
  const api = localClient(tagqueueSocketOf(runDir));
  let child: ChildProcess | undefined;

  return {
    runDir,
    stateDir,
    api,
    start: (object, mounts) => {
      const enter =
        mounts === 'own' ? ['ip', 'netns', 'exec', wire.name] : ['nsenter', `--net=${wire.netns.path}`];
      const options = JSON.stringify({
        node: NODE,
        uplink: 'near0',
        runDir,
        stateDir,
        object,
        etherTypes: [],
        keepDays: 1,
        markMask: MARK_MASK,
        vxlanPort: 4789,
        fastPath: false,
      });
      const command = [...enter, process.execPath, SCRIPT, options] as const;
      child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'inherit', 'inherit'] });
    },
    tell: (settings) => child?.stdin?.write(`${JSON.stringify(settings)}\n`),
    end: async (signal) => {
      const ended = new Promise<number | null>((done) => child?.once('exit', done));
      child?.kill(signal);
      return ended;
    },
    ids: async () => PlaneIds.parse(await api.request('GET', '/v1/plane')),
    status: () => api.request('GET', '/v1/status').catch(() => undefined) as ReturnType<Daemon['status']>,
    [Symbol.dispose]: () => {
      child?.kill('SIGKILL');
      api.close();
      unmountBpffs(join(runDir, 'bpf'));
      rmSync(directory, { recursive: true });
    },
  };
}
