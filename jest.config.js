/** One jest run over every kind of test. docs/decisions/0001-tests-run-as-es-modules.md says why it looks so. */
import { readdirSync } from 'node:fs';

const everywhere = {
  testEnvironment: 'node',
  setupFiles: ['<rootDir>/test/setup.js'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.js' },
  modulePathIgnorePatterns: ['<rootDir>/build/'],
};

/** Tests that touch nothing outside their process: they share the machine's cores. */
const pure = (displayName, testMatch) => ({ ...everywhere, displayName, testMatch });

/** Tests that build networks, mounts and containers: one after the other, and given a minute each. */
const real = (displayName) => ({
  ...everywhere,
  displayName,
  testMatch: [`<rootDir>/test/${displayName}/**/*.test.ts`],
  runner: '<rootDir>/test/one-at-a-time.js',
});

/** Every other folder of test/, so that no test is ever left out: cni, e2e, attacks, faults… */
const others = readdirSync(new URL('test/', import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['unit', 'property', 'contract'].includes(entry.name))
  .map((entry) => entry.name);

export default {
  maxWorkers: 2,
  projects: [
    pure('unit', ['<rootDir>/!(test|build|node_modules)/**/*.test.ts', '<rootDir>/test/unit/**/*.test.ts']),
    pure('property', ['<rootDir>/test/property/**/*.test.ts']),
    pure('contract', ['<rootDir>/test/contract/**/*.test.ts']),
    ...others.map(real),
  ],
};
