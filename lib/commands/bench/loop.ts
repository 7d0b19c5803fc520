// SPDX-License-Identifier: MIT
/** `bench loop`: restores one checkpoint many times and looks for leaks. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples, requiredOption } from '../../command-line/index.ts';
import { BenchmarkDaemon, parseCase, restoreLoop, type LoopResult } from '../../benchmark/index.ts';
import { formatBytes, formatDuration, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { useDriver } from './driver.ts';
import { wholeNumber } from '../operation-options.ts';

interface LoopFlags {
  case: string;
  upstream?: string | undefined;
  alloc: string[];
  rounds: number;
  store: string;
}

/** What was lost between the first restore and the last, in words. */
export function lossesOf({ freeBytes, runDirEntries }: LoopResult): string[] {
  const memory = freeBytes.first - freeBytes.last;
  const entries = runDirEntries.last - runDirEntries.first;
  return [
    ...(memory > 0 ? [`${formatBytes(memory)} of device memory`] : []),
    ...(entries > 0 ? [`${entries} files left in the run directory`] : []),
  ];
}

function loopText(result: LoopResult, losses: readonly string[]): string {
  const { rounds, verifiedMs } = result;
  return [
    `${result.case}: ${rounds} restores, every byte correct each time`,
    `restore to verified: median ${formatDuration(verifiedMs.median)}, ${formatDuration(verifiedMs.min)} to ${formatDuration(verifiedMs.max)}`,
    losses.length === 0 ? 'nothing was lost' : `lost between the first and the last: ${losses.join(', ')}`,
  ].join('\n');
}

export function defineLoop(command: Command, io: Io): void {
  addExamples(
    command,
    'criu-cuda bench loop --store /mnt/images',
    'criu-cuda bench loop --store /mnt/images --case full --rounds 1000',
  );
  command
    .option('--case <name>', 'as in --cases of bench run', 'stock')
    .option('--upstream <dir>', 'directory for the case upstream')
    .option('--alloc <size...>', 'device memory of the workload, SIZE or SIZExCOUNT', ['64M'])
    .option('--rounds <n>', 'number of restores', wholeNumber(1, 1_000_000), 100)
    .addOption(requiredOption('--store <dir>', 'directory for images'))
    .action(async (flags: LoopFlags) => {
      await useDriver(io);
      const one = parseCase(flags.case, flags.upstream);
      const daemon = new BenchmarkDaemon(io.signal);
      const run = withProgress(io, 'restoring', async (report) => {
        await daemon.prepare(one);
        return restoreLoop({
          one,
          workload: flags.alloc.flatMap((size) => ['--alloc', size]),
          rounds: flags.rounds,
          store: resolve(flags.store),
          signal: io.signal,
          onRound: (round, ms) => {
            report(`${round + 1} of ${flags.rounds}: ${formatDuration(ms)}`);
          },
        });
      });
      const result = await run.finally(() => daemon.stop());
      const losses = lossesOf(result);
      if (losses.length > 0) io.exitCode = 1;
      io.result({ ...result, losses }, () => loopText(result, losses));
    });
}
