/** Who reaches whom, asked by the containers themselves: `podman exec FROM ping TO`. */
import type { Running } from './running.ts';

export interface Matrix {
  readonly names: readonly string[];
  /** One row per sender; undefined on the diagonal. */
  readonly reached: readonly (readonly (boolean | undefined)[])[];
  /** Whether exactly the containers of one tenant reach each other. */
  readonly ok: boolean;
}

export async function pingMatrix(containers: readonly Running[]): Promise<Matrix> {
  const answers = await Promise.all(containers.map((from) => pingAll(from, containers)));
  const reached = containers.map((from, row) =>
    containers.map((to, column) => (from === to ? undefined : answers[row]?.[column])),
  );
  const ok = containers.every((from, row) =>
    containers.every((to, column) => from === to || reached[row]?.[column] === (from.tenant === to.tenant)),
  );
  return { names: containers.map(({ tenant, name }) => `${tenant}/${name}`), reached, ok };
}

/** All at once inside the container: those that are dropped would cost a second each. */
async function pingAll({ name, podman }: Running, to: readonly Running[]): Promise<boolean[]> {
  const addresses = to.map(({ address }) => address).join(' ');
  const script = `for a in ${addresses}; do ping -c1 -W1 $a >/dev/null 2>&1 && echo $a & done; wait`;
  const reached = new Set((await podman.exec(name, ['sh', '-c', script])).split('\n'));
  return to.map(({ address }) => reached.has(address));
}

const CORNER = 'from \\ to';

export function renderMatrix({ names, reached }: Matrix): string {
  const width = Math.max(...[CORNER, ...names].map(({ length }) => length)) + 2;
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell) => cell.padEnd(width))
      .join('')
      .trimEnd();
  const rows = names.map((name, row) => line([name, ...(reached[row] ?? []).map(word)]));
  return [line([CORNER, ...names]), ...rows].join('\n');
}

function word(reached: boolean | undefined): string {
  if (reached === undefined) return '·';
  return reached ? 'yes' : '-';
}
