// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

/**
 * The tests of CCR_MUTANT_TESTS, of the project `unit`, as the only project, because StrykerJS does not support
 * projects.
 */
export default defineConfig({
  test: {
    include: [process.env.CCR_MUTANT_TESTS ?? 'test/unit/**/*.test.ts'],
    // tests that need the reference or a browser take longer than all others
    exclude: ['test/unit/documentation.test.ts', 'test/unit/report/browser.test.ts'],
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
