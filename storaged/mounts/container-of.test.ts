import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { identify, type ProcessId } from '../../linux/process.ts';
import { containerOf } from './jobs.ts';

const self = identify(process.pid) as ProcessId;
const code = (word: string): Error => expect.objectContaining({ code: word }) as Error;

it('is not that of whoever has the number of a process now', () => {
  expect(() => containerOf(self.pid, self.startedAt - 1)).toThrow(code('not_found'));
  expect(() => containerOf(self.pid, null)).toThrow(code('not_found'));
});

it('is none when its process has ended', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const { pid, startedAt } = identify(child.pid ?? 0) as ProcessId;
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(() => containerOf(pid, startedAt)).toThrow(code('not_found'));
});

it("is never the machine's own", () => {
  expect(() => containerOf(self.pid, self.startedAt)).toThrow(code('refused'));
});
