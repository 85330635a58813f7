/** The OpenAPI 3.1 document, made from the operations themselves, so that it cannot be wrong about them. */
import * as z from 'zod';
import { type Operation, operation, type Reply } from './operation.ts';

/** @param others  every operation but this one */
export function openapiOperation(others: readonly Operation[], version: string): Operation {
  const self: Operation = operation({
    id: 'openapi.show',
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'This document.',
    answer: z.record(z.string(), z.unknown()),
    handle: (): Promise<Reply> => Promise.resolve({ json: document([...others, self], version) }),
  });
  return self;
}

function document(operations: readonly Operation[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of operations) {
    const path = one.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: describe(one) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sluice server', version },
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: z.toJSONSchema(Problem) },
    },
    security: [{ token: [] }],
  };
}

/** RFC 9457, with our code and hint (model/errors.ts). */
const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  hint: z.string(),
});

function describe({ id, summary, params, query, body, answer, status }: Operation): object {
  const failure = { $ref: '#/components/schemas/Problem' };
  return {
    operationId: id,
    summary,
    parameters: [...parameters(params, 'path'), ...parameters(query, 'query')],
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: input(body) } } },
    }),
    responses: {
      [status]: {
        description: 'Done.',
        ...(status !== 204 && { content: { 'application/json': { schema: z.toJSONSchema(answer) } } }),
      },
      default: { description: 'Refused.', content: { 'application/problem+json': { schema: failure } } },
    },
  };
}

function parameters(schema: z.ZodObject, where: 'path' | 'query'): object[] {
  return Object.entries(schema.shape).map(([name, one]) => ({
    name,
    in: where,
    required: where === 'path',
    schema: input(one as z.ZodType),
  }));
}

function input(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { io: 'input' });
}
