import { SluiceError } from '../../model/errors.ts';
import type { LimitsReport } from '../../model/limits-report.ts';
import { silentLog } from '../../model/log.ts';
import { NodeName } from '../../model/names.ts';
import { SimulatedNode } from '../../test/support/limits-world.ts';
import { anEndpoint } from '../../test/support/samples.ts';
import { createReports } from './report.ts';
import { type LimitsReporter, reportLimits } from './reporter.ts';

/** A server that can be away, and that can have forgotten everything. */
class Server {
  readonly heard: LimitsReport[] = [];
  refusals = 0;
  forgetful = false;

  async request(_method: string, _path: string, body?: unknown): Promise<unknown> {
    if (this.refusals > 0) {
      this.refusals -= 1;
      throw new SluiceError('unreachable', 'nobody answers', 'start it');
    }
    const message = body as LimitsReport;
    this.heard.push(message);
    const whole = this.forgetful && !message.whole;
    if (message.whole) this.forgetful = false;
    return { whole };
  }
}

const stopping = new AbortController();
const server = new Server();
let node: SimulatedNode;
let reporter: LimitsReporter;

beforeAll(async () => {
  node = await SimulatedNode.start();
  node.attach(anEndpoint(1));
  await node.round();
  server.refusals = 2;
  const name = NodeName.parse('a');
  const reports = createReports(node.keeper, name, () => ({ cpu: 1, memory: 1, uplink: null }));
  reporter = reportLimits(reports, server, name, stopping.signal, silentLog);
});
afterAll(() => stopping.abort());

/** In what is heard from now on, within a time that is shorter than a node's ordinary pause. */
async function hears(what: string, fits: (message: LimitsReport) => boolean): Promise<LimitsReport> {
  const end = performance.now() + 700;
  for (let at = 0; performance.now() < end; ) {
    const message = server.heard[at];
    if (message !== undefined && fits(message)) return message;
    if (message === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    else at += 1;
  }
  throw new Error(`did not hear ${what}`);
}

describe('the reporter of limits', () => {
  it('tells all of it soon after the server has come up', async () => {
    const { containers } = await hears('all', ({ whole }) => whole);
    expect(containers.map(({ subject }) => subject.containerId)).toEqual(['c1']);
  });

  it('tells news at once', async () => {
    server.heard.length = 0;
    node.attach(anEndpoint(2));
    await node.round();
    reporter.nudge(true);
    const news = await hears('news', ({ containers }) => containers.length > 0);
    expect([news.whole, news.containers.map(({ subject }) => subject.containerId)]).toEqual([false, ['c2']]);
  });

  it('tells a server all of it that has forgotten', async () => {
    server.heard.length = 0;
    server.forgetful = true;
    reporter.nudge(false);
    expect((await hears('all', ({ whole }) => whole)).containers).toHaveLength(2);
  });
});
