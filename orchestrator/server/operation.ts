/** One thing that can be asked of the server: where, with what, by whom, and what comes back. */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import type { Fingerprint } from '../../model/join.ts';
import type { Store } from '../../store/contract.ts';
import type { OperationId } from './authorization.ts';
import type { LimitReports } from './limit-reports.ts';
import type { Mutate } from './mutate.ts';
import type { Principal } from './principal.ts';
import type { Rotator } from './rotator.ts';
import type { Random } from './secrets.ts';
import type { SwitchClock } from './switch-clock.ts';
import type { SwitchRules } from './switch-rules.ts';
import type { VolumeClock } from './volume-clock.ts';
import type { VolumeReports } from './volume-reports.ts';
import type { VolumeRules } from './volume-rules.ts';

/** What every operation works with. */
export interface Cluster {
  readonly store: Store;
  readonly mutate: Mutate;
  /** Unix time in ms. */
  readonly now: () => number;
  readonly random: Random;
  readonly rotator: Rotator;
  readonly limits: LimitReports;
  readonly switches: SwitchClock;
  readonly switchRules: SwitchRules;
  /** What nodes have told of storage. */
  readonly storage: VolumeReports;
  readonly volumes: VolumeClock;
  readonly volumeRules: VolumeRules;
  /** Of the certificate that nodes will see. */
  readonly fingerprint: Fingerprint;
  readonly version: string;
}

export interface RawRequest {
  readonly who: Principal;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  /** Aborted when the client goes away and when the server stops. */
  readonly signal: AbortSignal;
}

export type Reply =
  | { readonly json: unknown }
  | { readonly text: string; readonly contentType: string }
  | { readonly stream: AsyncIterable<unknown> };

export interface Operation {
  readonly id: OperationId;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Such as '/v1/tenants/:tenant'. */
  readonly path: string;
  /** One sentence for the API document. */
  readonly summary: string;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | undefined;
  /** How long the body may be, where that is not as for all (http.ts). */
  readonly bodyBytes?: number;
  readonly answer: z.ZodType;
  /** HTTP status of success. */
  readonly status: 200 | 201 | 204;
  /** @throws SluiceError `invalid_request` before anything is done, and what the operation itself throws */
  run(cluster: Cluster, request: RawRequest): Promise<Reply>;
}

const Nothing = z.strictObject({});

interface Definition<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType>
  extends Pick<Operation, 'id' | 'method' | 'path' | 'summary' | 'answer' | 'bodyBytes'> {
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly status?: Operation['status'];
  handle(cluster: Cluster, request: Parsed<P, Q, B>): Promise<Reply>;
}

export interface Parsed<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType>
  extends Pick<RawRequest, 'who' | 'signal'> {
  readonly params: z.infer<P>;
  readonly query: z.infer<Q>;
  readonly body: z.infer<B>;
}

/** Binds validation to the handler, so that no handler can be reached with anything unchecked. */
export function operation<
  P extends z.ZodObject = typeof Nothing,
  Q extends z.ZodObject = typeof Nothing,
  B extends z.ZodType = z.ZodUndefined,
>(definition: Definition<P, Q, B>): Operation {
  const { params = Nothing, query = Nothing, body, status = 200, handle, ...rest } = definition;
  return {
    ...rest,
    params,
    query,
    body,
    status,
    run: (cluster, { who, signal, ...raw }) =>
      handle(cluster, {
        who,
        signal,
        params: check(params, raw.params ?? {}, 'path') as z.infer<P>,
        query: check(query, raw.query ?? {}, 'query') as z.infer<Q>,
        body: check(body ?? z.undefined(), raw.body ?? undefined, 'body') as z.infer<B>,
      }),
  };
}

function check(schema: z.ZodType, value: unknown, where: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const what = parsed.error.issues.map((issue) =>
    [issue.path.join('.'), issue.message].filter(Boolean).join(': '),
  );
  throw new SluiceError(
    'invalid_request',
    `the ${where} of the request is wrong: ${what.join('; ')}`,
    '/v1/openapi.json describes what is expected',
  );
}
