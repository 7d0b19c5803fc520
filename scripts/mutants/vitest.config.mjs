// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

/** The project `unit` as the only one, because StrykerJS drives no projects. */
export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts'],
    // what needs a build or a browser takes longer than all other tests
    exclude: ['test/unit/documentation.test.ts', 'test/unit/report/browser.test.ts'],
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
