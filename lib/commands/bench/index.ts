// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import type { Io } from '../../output.ts';
import { addCommands, type CommandEntry } from '../table.ts';

const commands: readonly CommandEntry[] = [
  {
    name: 'run',
    description:
      'measure dump and restore of a workload with one or more plugins; every run checks every byte',
    load: async () => (await import('./run.ts')).defineRun,
  },
  {
    name: 'matrix',
    description: 'measure every combination of settings; lists are joined by commas',
    load: async () => (await import('./run.ts')).defineMatrix,
  },
  {
    name: 'loop',
    description: 'restore one checkpoint repeatedly, and fail if device memory or files leak',
    load: async () => (await import('./loop.ts')).defineLoop,
  },
  {
    name: 'limits',
    description:
      'measure the limits of this machine (PCIe, staging, storage, page faults) and predict the least time of a restore',
    load: async () => (await import('./limits.ts')).defineLimits,
  },
  {
    name: 'report',
    description:
      'show results as tables and charts: on the terminal, in report.md with pictures, in report.html',
    load: async () => (await import('./report.ts')).defineReport,
  },
];

export function defineBench(bench: Command, io: Io): void {
  addCommands(bench, commands, io);
}
