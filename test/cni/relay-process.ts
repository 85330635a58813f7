/** The built relay as a process, and a stand-in for netd on a socket of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_HEADER_BYTES } from '../../cni/relay.ts';

export interface Outcome {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What the environment of an ADD holds at least. */
export const ADD = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0' };

export function confOf(runDir: string, more: object = {}): string {
  return JSON.stringify({ cniVersion: '1.0.0', name: 'tenants', type: 'sluice-cni', runDir, ...more });
}

/** A refusal by the relay: exit code 1 and an error of the specification. */
export function errorOf({ exit, stdout }: Outcome): Record<string, unknown> {
  expect(exit).toBe(1);
  return JSON.parse(stdout);
}

export interface FakeNetd extends AsyncDisposable {
  readonly runDir: string;
  readonly seen: readonly Seen[];
}

/** A directory that is gone with the block that uses it. */
export function scratch(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'sluice-relay-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * Builds the relay of this checkout if it is stale, and copies it to where any user may start it.
 * SLUICE_CNI_BINARY names another one to test.
 */
export function buildRelay(directory: string): string {
  const root = new URL('../..', import.meta.url).pathname;
  execFileSync('make', ['--silent', 'bin/sluice-cni'], { cwd: root, stdio: 'pipe' });
  const copy = join(directory, 'sluice-cni');
  copyFileSync(process.env['SLUICE_CNI_BINARY'] ?? join(root, 'bin/sluice-cni'), copy);
  return copy;
}

/** Runs a program with nothing in its environment but `env` and PATH. Input that is null never ends. */
export async function run(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: string | Buffer | null = '',
  options: { readonly uid?: number } = {},
): Promise<Outcome> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { env: { PATH: process.env['PATH'], ...env }, ...options });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => undefined); // a relay that refuses early does not read to the end
  if (stdin !== null) child.stdin.end(stdin);
  const [exit] = (await once(child, 'close')) as [number | null];
  return { exit, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

/** Answers every request by `answer`, after reading it whole. */
export async function fakeNetd(answer: (response: ServerResponse, seen: Seen) => void): Promise<FakeNetd> {
  const directory = scratch();
  const seen: Seen[] = [];
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(body) };
      seen.push(one);
      answer(response, one);
    });
  });
  server.listen(join(directory.path, 'netd.sock'));
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await server[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  };
  return { runDir: directory.path, seen, [Symbol.asyncDispose]: stop };
}
