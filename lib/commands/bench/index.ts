// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import type { Io } from '../../output.ts';
import { registerLimits } from './limits.ts';
import { registerLoop } from './loop.ts';
import { registerReport } from './report.ts';
import { registerMatrix, registerRun } from './run.ts';

export function registerBench(program: Command, io: Io): void {
  const bench = program
    .command('bench')
    .description('measure dump and restore, and report what was measured');
  registerRun(bench, io);
  registerMatrix(bench, io);
  registerLoop(bench, io);
  registerLimits(bench, io);
  registerReport(bench, io);
}
