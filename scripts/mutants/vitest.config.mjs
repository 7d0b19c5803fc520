// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

/** The tests of CCR_MUTANT_TESTS, of the project `unit`, as the only project, because StrykerJS drives no projects. */
export default defineConfig({
  test: {
    include: [process.env.CCR_MUTANT_TESTS ?? 'test/unit/**/*.test.ts'],
    // what needs the reference or a browser takes longer than all other tests
    exclude: ['test/unit/documentation.test.ts', 'test/unit/report/browser.test.ts'],
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
