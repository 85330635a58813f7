/** A client of the Container Runtime Interface: what the kubelet says to containerd. */
import path from 'node:path';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface PodConfig {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname?: string;
  readonly dnsConfig?: { readonly servers?: readonly string[]; readonly searches?: readonly string[] };
  readonly portMappings?: readonly {
    readonly protocol: 'TCP' | 'UDP';
    readonly containerPort: number;
    readonly hostPort: number;
    readonly hostIp?: string;
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: { readonly cgroupParent: string };
}

export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: { readonly image: string };
  readonly command: readonly string[];
  readonly mounts?: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly readonly: boolean;
  }[];
  readonly linux?: {
    readonly resources?: {
      readonly cpuPeriod: number;
      readonly cpuQuota: number;
      readonly memoryLimitInBytes: number;
    };
    readonly securityContext?: { readonly namespaceOptions: { readonly pid: 'POD' | 'CONTAINER' } };
  };
}

/** Request and response of every call: cri.proto, in camel case. */
interface Calls {
  Status: [
    object,
    { status: { conditions: { type: string; status: boolean; reason: string; message: string }[] } },
  ];
  RunPodSandbox: [{ config: PodConfig }, { podSandboxId: string }];
  StopPodSandbox: [{ podSandboxId: string }, object];
  RemovePodSandbox: [{ podSandboxId: string }, object];
  PodSandboxStatus: [
    { podSandboxId: string },
    { status: { network: { ip: string; additionalIps: { ip: string }[] } } },
  ];
  ListPodSandbox: [object, { items: { id: string; metadata: PodConfig['metadata'] }[] }];
  CreateContainer: [
    { podSandboxId: string; config: ContainerConfig; sandboxConfig: PodConfig },
    { containerId: string },
  ];
  StartContainer: [{ containerId: string }, object];
  ExecSync: [
    { containerId: string; cmd: readonly string[]; timeout: number },
    { stdout: Buffer; stderr: Buffer; exitCode: number },
  ];
}

export interface Cri {
  /** @throws Error with what the runtime says */
  call<M extends keyof Calls>(method: M, request: Calls[M][0]): Promise<Calls[M][1]>;
  close(): void;
}

type Method = (
  request: object,
  options: object,
  done: (error: ServiceError | null, answer: object) => void,
) => void;

const PROTO = path.join(import.meta.dirname, 'cri.proto');
const LONGEST_MS = 60_000;

/** @param socket  path of containerd's socket */
export function connectCri(socket: string): Cri {
  const definition = loadPackageDefinition(loadSync(PROTO, { defaults: true, longs: Number, enums: String }));
  const { v1 } = definition['runtime'] as unknown as {
    v1: { RuntimeService: new (address: string, how: object) => object };
  };
  const client = new v1.RuntimeService(`unix:${socket}`, credentials.createInsecure());
  const methods = client as Readonly<Record<string, Method>> & { close(): void };
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        const answered = (error: ServiceError | null, answer: object): void => {
          if (error === null) resolve(answer as never);
          else reject(new Error(`${method}: ${error.details}`, { cause: error }));
        };
        methods[method]!.call(client, request, { deadline: Date.now() + LONGEST_MS }, answered);
      }),
    close: () => methods.close(),
  };
}
