/** `npm start`: the whole system in a sandbox of network namespaces, with its proof. Ctrl-C takes everything away. */
import path from 'node:path';
import { untilInterrupted } from './commands/interrupt.ts';
import { showError } from './output.ts';
import { type Matrix, pingMatrix, renderMatrix } from './sample/matrix.ts';
import { proveSample, type Sample, startSample, WEB_PORT } from './sample/sample.ts';
import { COLOURFUL, PLAIN, type Report, renderReport } from './verify/report.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const CHECK_FAILED = 6;
const WRONG_USE = 2;
/** 128 + SIGINT, as shells have it. */
const INTERRUPTED = 130;

async function main(words: readonly string[]): Promise<number> {
  const once = words.includes('--once');
  if (words.some((word) => word !== '--once')) {
    process.stderr.write('usage: npm start [-- --once]\n');
    return WRONG_USE;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('the sandbox is made of network namespaces: run this as root\n');
    return WRONG_USE;
  }
  const signal = untilInterrupted();
  const begun = performance.now();
  const say = (text: string): void => {
    process.stdout.write(`${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
  };
  const sample = await startSample(ROOT, signal, say);
  try {
    const { report, matrix } = await prove(sample, signal);
    say('proved');
    process.stdout.write(
      `\n${renderReport(report, process.stdout.isTTY ? COLOURFUL : PLAIN)}\n\n${renderMatrix(matrix)}\n`,
    );
    if (!once) {
      process.stdout.write(`\n${whatNext(sample)}\n`);
      await fired(signal);
    }
    return report.ok && matrix.ok ? 0 : CHECK_FAILED;
  } finally {
    await sample.close();
    say('everything is taken away');
  }
}

async function prove(sample: Sample, signal: AbortSignal): Promise<{ report: Report; matrix: Matrix }> {
  const report = await proveSample(sample, signal);
  signal.throwIfAborted();
  return { report, matrix: await pingMatrix(sample.containers) };
}

function whatNext({ lab, containers, web }: Sample): string {
  const node = lab.node('a');
  const [first] = containers;
  return [
    'What to try next, in another terminal:',
    `  the page, from the internet   ip netns exec ${lab.internet.namespace} curl ${web}`,
    `  what the fence refuses        SLUICE_RUN_DIR=${node.runDir} bin/sluice drops --follow`,
    `  the containers of node a      SLUICE_RUN_DIR=${node.runDir} bin/sluice endpoint list`,
    `  the volume blue shares        SLUICE_RUN_DIR=${node.runDir} bin/sluice volume stats shared --follow`,
    `  a shell in blue/b1            ${first?.podman.commandLine} exec -it b1 sh`,
    `  the proof again               SLUICE_RUN_DIR=${node.runDir} bin/sluice verify`,
    '',
    `It runs until Ctrl-C. The page is ${web} (port ${WEB_PORT} of node a, inside the sandbox).`,
  ].join('\n');
}

function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A signal handler alone keeps no process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const interrupted = thrown instanceof DOMException && thrown.name === 'AbortError';
  process.exitCode = interrupted ? INTERRUPTED : showError(thrown, false);
}
