/**
 * Runs test files one after the other, in a process of their own: when a native addon takes that
 * process down, jest reports one failed file and goes on with the next.
 */
import TestRunner from 'jest-runner';

/** Jest takes a time limit from the whole run only, not from one project of it. */
const TIMEOUT_MS = 60_000;

export default class OneAtATime extends TestRunner {
  constructor(globalConfig, context) {
    super({ ...globalConfig, maxWorkers: 1, testTimeout: TIMEOUT_MS }, context);
  }

  runTests(tests, watcher, options) {
    return super.runTests(tests, watcher, { ...options, serial: false });
  }
}
