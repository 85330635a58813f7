/** Calls the CNI plugin as a runtime does: the built relay as a process, environment and configuration given. */
import { run } from '../linux/process.ts';

export type CniVerb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export interface CniCall {
  readonly containerId?: string;
  /** Path of the container's network namespace. */
  readonly netns?: string;
  /** Default eth0. */
  readonly ifname?: string;
  /** Replaces keys of the network configuration. */
  readonly conf?: Readonly<Record<string, unknown>>;
  /** CNI_ARGS, such as 'IgnoreUnknown=1;SLUICE_TENANT=blue'. */
  readonly args?: string;
  readonly runtimeConfig?: Readonly<Record<string, unknown>>;
}

export interface CniOutcome {
  readonly code: number;
  /** What the plugin printed: a result, an error of the specification, or nothing. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

/** The network that labs and proofs attach to, unless the call says otherwise. */
export const NETWORK = { cniVersion: '1.1.0', name: 'tenants', type: 'sluice-cni', trustArgs: true } as const;

/**
 * @param plugin  path of bin/sluice-cni
 * @throws SluiceError `program_failed` when it cannot be run or answers with something else than JSON
 */
export async function callPlugin(
  plugin: string,
  runDir: string,
  verb: CniVerb,
  call: CniCall,
): Promise<CniOutcome> {
  const conf = {
    ...NETWORK,
    runDir,
    ...call.conf,
    ...(call.runtimeConfig && { runtimeConfig: call.runtimeConfig }),
  };
  const env = {
    PATH: process.env['PATH'],
    CNI_COMMAND: verb,
    CNI_PATH: plugin.slice(0, plugin.lastIndexOf('/')),
    CNI_IFNAME: call.ifname ?? 'eth0',
    ...(call.containerId !== undefined && { CNI_CONTAINERID: call.containerId }),
    ...(call.netns !== undefined && { CNI_NETNS: call.netns }),
    ...(call.args !== undefined && { CNI_ARGS: call.args }),
  };
  const { code, stdout } = await run([plugin], { env, stdin: JSON.stringify(conf) });
  return { code, json: stdout.trim() === '' ? undefined : (JSON.parse(stdout) as Record<string, unknown>) };
}
