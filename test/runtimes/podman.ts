/** What tests of podman do over and over. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Podman } from '../../cli/sample/podman.ts';
import type { LabNode } from '../../lab/node.ts';
import { run } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { exampleNetwork } from './page.ts';

/** Declares a network on a node: one of docs/runtimes.md, with these keys of the plugin's besides. */
export function network(
  node: LabNode,
  name: string,
  conf: Readonly<Record<string, unknown>>,
  base = "a tenant's network",
): void {
  const file = path.join(path.dirname(node.runDir), 'podman/networks', `${name}.conflist`);
  const documented = exampleNetwork(`podman, ${base}`, { runDir: node.runDir, ...conf });
  writeFileSync(file, JSON.stringify({ ...documented, name }));
}

export async function addressOf(podman: Podman, name: string, ifName: 'eth0' | 'eth1'): Promise<Ipv4> {
  const [line = ''] = (await podman.exec(name, ['ip', '-o', '-4', 'address', 'show', 'dev', ifName])).split(
    '\n',
  );
  return /inet (\S+)\//.exec(line)?.[1] as Ipv4;
}

interface Inspected {
  readonly State: { readonly Pid: number; readonly ConmonPid: number };
  readonly NetworkSettings: {
    readonly SandboxKey: string;
    readonly Networks: Readonly<Record<string, { readonly MacAddress: string }>>;
  };
}

export async function inspect(podman: Podman, name: string): Promise<Inspected> {
  return (JSON.parse(await podman.call(['inspect', name])) as [Inspected])[0];
}

/** The page, asked for in a namespace of the lab. */
export async function pageFrom(netns: string, url: string): Promise<string> {
  return (await run(['nsenter', `--net=${netns}`, 'curl', '--silent', '--max-time', '3', url])).stdout;
}
