/** One of our daemons as a command sees it: a socket, and answers that the test decides. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { asSluiceError, problemOf, SluiceError } from '../../model/errors.ts';

/** What was asked, as a test compares it. */
export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body: unknown;
}

/** @returns what is sent as JSON; a list is sent as lines. @throws SluiceError sent as a problem document */
export type Answer = (asked: Asked) => unknown;

export class FakeApi {
  readonly asked: Asked[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  set answer(answer: Answer) {
    this.#answer = answer;
  }

  listen(socket: string): Promise<void> {
    return new Promise((resolve) => this.#server.listen(socket, resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const asked: Asked = {
      ...{ method: request.method ?? '', path: request.url ?? '' },
      body: body === '' ? undefined : JSON.parse(body),
    };
    this.asked.push(asked);
    try {
      const answer = this.#answer(asked);
      if (answer === undefined) throw new SluiceError('not_found', `${asked.path} is not faked`, '');
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        Array.isArray(answer)
          ? answer.map((line) => `${JSON.stringify(line)}\n`).join('')
          : JSON.stringify(answer),
      );
    } catch (thrown) {
      const problem = problemOf(asSluiceError(thrown));
      response.writeHead(problem.status, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify(problem));
    }
  }
}
