/** Says once of each brick of this node that its disk does not work any more, and once that it does again. */
import type { VolumeEvent } from '../model/volume-report.ts';
import type { HeldBrick } from './contract.ts';

export function watchBrokenDisks(tell: (event: VolumeEvent) => void): (bricks: readonly HeldBrick[]) => void {
  const told = new Set<string>();
  return (bricks) => {
    for (const { volume, index, broken } of bricks) {
      const brick = `${volume}-${index}`;
      const event = (what: VolumeEvent['what'], text: string): VolumeEvent => ({
        ...{ at: Date.now(), volume, what },
        text: `brick ${index}: ${text}`,
      });
      if (broken !== undefined && !told.has(brick)) {
        told.add(brick);
        tell(event('brick-down', `its disk does not work: ${broken}`));
      }
      if (broken === undefined && told.delete(brick)) tell(event('brick-up', 'its disk works again'));
    }
  };
}
