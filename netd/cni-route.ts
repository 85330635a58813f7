/** The relay's route: one call of the plugin in, what it prints out. */
import { cniError } from '../cni/error.ts';
import { CNI_ROUTE, type RelayedCall, readRelayedCall } from '../cni/relay.ts';
import { type CniRequest, parseRequest } from '../cni/request.ts';
import { versionForErrors, versionResult } from '../cni/version.ts';
import type { ApiReply, Route } from '../linux/local-routes.ts';
import { asSluiceError, cniCodeOf, httpStatusOf } from '../model/errors.ts';
import type { Netd } from './context.ts';
import type { NetdMetrics } from './metrics.ts';
import { add } from './verbs/add.ts';
import { check } from './verbs/check.ts';
import { del } from './verbs/del.ts';
import { gc } from './verbs/gc.ts';
import { status } from './verbs/status.ts';

export function cniRoute(netd: Netd, metrics: NetdMetrics): Route {
  return {
    method: 'POST',
    path: CNI_ROUTE,
    async handle({ headers, body }): Promise<ApiReply> {
      const begun = performance.now();
      let stdin = '';
      let verb = 'unknown';
      let outcome = 'ok';
      try {
        const call = readRelayedCall(headers, body);
        stdin = call.stdin;
        const request = parseRequest(call.env, call.stdin);
        verb = request.command;
        return answer(await run(netd, request, call));
      } catch (thrown) {
        const error = asSluiceError(thrown);
        if (error.code === 'internal')
          netd.log.error({ err: thrown }, 'a call of the plugin failed in a way nobody foresaw');
        outcome = String(cniCodeOf(error.code));
        return { status: httpStatusOf(error.code), json: cniError(error, versionForErrors(stdin)) };
      } finally {
        metrics.observe(verb, outcome, (performance.now() - begun) / 1000);
      }
    },
  };
}

/** Verbs without a result print nothing. */
function answer(result: object | undefined): ApiReply {
  return result === undefined ? { text: '', contentType: 'application/json' } : { json: result };
}

async function run(netd: Netd, request: CniRequest, call: RelayedCall): Promise<object | undefined> {
  switch (request.command) {
    case 'ADD':
      return add(netd, request, call);
    case 'CHECK':
      await check(netd, { ...request, command: 'CHECK' }, call);
      return undefined;
    case 'DEL':
      await del(netd, request);
      return undefined;
    case 'GC':
      await gc(netd, request);
      return undefined;
    case 'STATUS':
      await status(netd);
      return undefined;
    case 'VERSION':
      return versionResult(request.cniVersion);
  }
}
