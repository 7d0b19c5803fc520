// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

/** Core tests of dump and restore, which run again as other drivers (SOFTCUDA_DRIVER); the default is 580. */
const core = ['plugin/round-trip', 'plugin/roll-back', 'parallel/parallel'];
const drivers = [
  { driver: '610', files: core },
  {
    driver: '615',
    files: [
      ...core,
      ...['plugin/failures', 'plugin/interrupted', 'plugin/upstream-image', 'plugin/dead-leader'],
      ...['parallel/dump-failures', 'parallel/restore-failures'],
    ],
  },
];

/**
 * Tests that need nothing of the machine but processes, memory and loopback: no podman, no packages, no files of the
 * system. In CI they run in namespaces of their own, beside the others (`scripts/halves.mjs`); CCR_HALF is the half that
 * is wanted.
 */
const apart = [
  ...['context', 'gpu', 'group', 'parallel', 'plugin', 'pool', 'registry', 'restore'].map(
    (dir) => `${dir}/*`,
  ),
  'storage/!(container)', // those start podman
].map((path) => `test/software/${path}.test.ts`);
const all = ['test/software/**/*.test.ts', 'test/servers/**/*.test.ts'];
const halves: Record<string, { include: string[]; exclude: string[] }> = {
  apart: { include: apart, exclude: [] },
  machine: { include: all, exclude: apart },
};
const half = halves[process.env.CCR_HALF ?? ''] ?? { include: all, exclude: [] };

// Real processes are dumped and killed: forks, and one file after the other
// where CRIU or a GPU is involved.
export default defineConfig({
  test: {
    pool: 'forks',
    // what is waited for comes; on a busy machine not within the seconds that are vitest's defaults
    expect: { poll: { timeout: 60_000 } },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          maxWorkers: '100%', // the default leaves one processor out, which is half of a small machine
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'software',
          ...half,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      ...drivers.map(({ driver, files }, index) => ({
        extends: true as const,
        test: {
          name: `driver-${driver}`,
          include: files.map((file) => `test/software/${file}.test.ts`),
          env: { SOFTCUDA_DRIVER: driver },
          fileParallelism: false,
          sequence: { groupOrder: 2 + index },
        },
      })),
      {
        extends: true,
        test: {
          name: 'gpu',
          include: ['test/gpu/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
