/**
 * Proves the limits of cgroups on the kernel it runs on, whichever version that has: real groups, real processes. A
 * plain program, so that it also runs where there is no jest:
 * `node test/cgroup/limits-on-this-kernel.ts [--slow] [NAME…]`.
 * Prints a line of JSON for each test: {test, ok, figures, why}. Exit code 1 when one has failed. Needs root and
 * build/bench/limitload; makes its mounts in a mount namespace of its own (run it by `unshare --mount`).
 */

import { createContainer } from '../../bench/limits/container.ts';
import { openCgroupKeeper } from '../../qos/cgroup/keeper.ts';
import { CASES, type World } from './cases.ts';

const PREFIX = 'cgproof';
const containers: ReturnType<typeof createContainer>[] = [];

async function removeAll(): Promise<void> {
  for (const container of containers.splice(0).reverse()) await container.remove();
}

async function main(names: readonly string[]): Promise<number> {
  let failed = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void removeAll().finally(() => process.exit(1)));
  }
  for (const [test, prove] of Object.entries(CASES)) {
    if (names.length > 0 && !names.includes(test)) continue;
    const world: World = {
      keeper: openCgroupKeeper(),
      container(around) {
        const made = createContainer(PREFIX, around);
        containers.push(made);
        return made;
      },
    };
    const result = await prove(world).then(
      (figures) => ({ test, ok: true, figures }),
      (error: unknown) => ({
        test,
        ok: false,
        figures: {},
        why: error instanceof Error ? (error.stack ?? '') : String(error),
      }),
    );
    await removeAll();
    if (!result.ok) failed = 1;
    process.stdout.write(`${JSON.stringify({ version: world.keeper.version, ...result })}\n`);
  }
  return failed;
}

process.exitCode = await main(process.argv.slice(2).filter((word) => word !== '--slow'));
