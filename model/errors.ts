/** All errors of the system: a stable code, what happened, what to do; and what each code is to HTTP, CNI, gRPC and the shell. */

/** How one code looks to each kind of caller. */
interface Face {
  /** HTTP status (RFC 9110). */
  readonly http: number;
  /** CNI error code: 1 to 99 are the specification's, from 100 on ours (CNI 1.1, 'Error'). */
  readonly cni: number;
  /** gRPC status code (google.rpc.Code). */
  readonly grpc: number;
  /** Exit code of the `sluice` command (docs/cli.md). */
  readonly exit: number;
}

const FACES = {
  invalid_request: { http: 400, cni: 7, grpc: 3, exit: 2 },
  invalid_environment: { http: 400, cni: 4, grpc: 3, exit: 2 },
  invalid_json: { http: 400, cni: 6, grpc: 3, exit: 2 },
  invalid_network_config: { http: 400, cni: 7, grpc: 3, exit: 2 },
  incompatible_version: { http: 400, cni: 1, grpc: 3, exit: 2 },
  unsupported_field: { http: 400, cni: 2, grpc: 3, exit: 2 },
  unknown_container: { http: 404, cni: 3, grpc: 5, exit: 4 },
  not_found: { http: 404, cni: 104, grpc: 5, exit: 4 },
  too_large: { http: 413, cni: 6, grpc: 8, exit: 2 },
  unauthenticated: { http: 401, cni: 103, grpc: 16, exit: 3 },
  refused: { http: 403, cni: 103, grpc: 7, exit: 3 },
  already_exists: { http: 409, cni: 105, grpc: 6, exit: 1 },
  conflict: { http: 409, cni: 106, grpc: 10, exit: 1 },
  unknown_tenant: { http: 404, cni: 100, grpc: 5, exit: 4 },
  addresses_exhausted: { http: 409, cni: 101, grpc: 8, exit: 1 },
  address_taken: { http: 409, cni: 101, grpc: 6, exit: 1 },
  port_taken: { http: 409, cni: 102, grpc: 6, exit: 1 },
  netns_unusable: { http: 400, cni: 107, grpc: 9, exit: 1 },
  state_drifted: { http: 409, cni: 108, grpc: 9, exit: 6 },
  check_failed: { http: 409, cni: 108, grpc: 9, exit: 6 },
  try_again: { http: 503, cni: 11, grpc: 14, exit: 5 },
  not_ready: { http: 503, cni: 50, grpc: 14, exit: 5 },
  limited: { http: 503, cni: 51, grpc: 14, exit: 5 },
  unreachable: { http: 503, cni: 11, grpc: 14, exit: 5 },
  kernel_refused: { http: 500, cni: 5, grpc: 13, exit: 1 },
  program_failed: { http: 500, cni: 5, grpc: 13, exit: 1 },
  store_failed: { http: 500, cni: 5, grpc: 13, exit: 1 },
  storage_failed: { http: 500, cni: 5, grpc: 13, exit: 1 },
  compacted: { http: 410, cni: 5, grpc: 11, exit: 1 },
  internal: { http: 500, cni: 999, grpc: 13, exit: 1 },
} as const satisfies Record<string, Face>;

export type ErrorCode = keyof typeof FACES;

/** The one error class of the system. `message` says what happened, `hint` what to do about it. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}

/** Everything a program can throw, as one of ours; a stranger becomes `internal`. */
export function asSluiceError(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new SluiceError('internal', message, 'this is a defect in sluice; the daemon log has the stack', {
    cause: thrown,
  });
}

export function httpStatusOf(code: ErrorCode): number {
  return FACES[code].http;
}

export function cniCodeOf(code: ErrorCode): number {
  return FACES[code].cni;
}

export function grpcStatusOf(code: ErrorCode): number {
  return FACES[code].grpc;
}

export function exitCodeOf(code: ErrorCode): number {
  return FACES[code].exit;
}

/** The body of an error answer over HTTP (RFC 9457, problem details), with our code and hint as extension members. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly hint: string;
}

export function problemOf(error: SluiceError): Problem {
  return {
    type: `urn:sluice:error:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status: httpStatusOf(error.code),
    detail: error.message,
    code: error.code,
    hint: error.hint,
  };
}

/** The error a problem document stands for, so that it travels through any number of daemons unchanged. */
export function errorOfProblem(body: unknown, fallback: string): SluiceError {
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
  const code = problem.code !== undefined && Object.hasOwn(FACES, problem.code) ? problem.code : 'internal';
  return new SluiceError(code, problem.detail ?? fallback, problem.hint ?? '');
}
